"""The baseline: face-api.js's TinyFaceDetector and FaceExpressionNet, run by onnxruntime.

``detector.FaceApi`` is the port, ``engines`` makes a contender of it (``pyojeong.evaluate`` scores it), ``node`` holds
the scripts that run the real library as referee. The arithmetic is that of face-api's tensor path; the canvas path,
which lets the browser resize, gives other probabilities.
"""
