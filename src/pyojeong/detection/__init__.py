"""The face detector of this package's own chain: BlazeFace's short-range network, applied at several scales.

``detector.Detector`` finds faces near, far and in a crowd, upright or turned, and their landmarks. Its network comes
from the npm package ``@mediapipe/face_detection`` (Apache-2.0). face-api.js's own detector, the baseline's, is in
``pyojeong.faceapi``.
"""
