"""pyojeong (표정): face-api.js and MobileNetV3-Small compared fairly on Korean faces, and the model that replaces it."""

__version__ = "0.1.0"
