"""The baseline: face-api.js's TinyFaceDetector and FaceExpressionNet, run by onnxruntime.

``detector.FaceApi`` is the port, ``engines`` makes a contender of it (``evaluation.evaluate`` scores it), and ``node``
holds the scripts that run the real library as the referee. The arithmetic is that of face-api's tensor path. The canvas
path, which lets the browser resize, gives other probabilities.
"""
