"""The baseline: face-api.js's TinyFaceDetector and FaceExpressionNet, run by onnxruntime.

In: photographs, and the weights of the npm package @vladmandic/face-api. Out: faces with box, score and seven
probabilities. ``detector.FaceApi`` is the port, ``engines.FaceApiContender`` lets ``evaluation.evaluate`` score it, and
``node`` holds the scripts that run the original library as the reference. The arithmetic is that of face-api's tensor
path; its canvas path, where the browser resizes, gives other probabilities. Imports ``core`` and ``evaluation``.
``model`` (for the weights), ``analyzer`` (for the detector), ``demo``, ``experiments`` and ``cli`` may import it.
"""
