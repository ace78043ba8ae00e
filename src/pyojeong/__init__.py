"""pyojeong (표정): face-api.js and MobileNetV3-Small compared fairly on Korean faces, and a better model."""

__version__ = "0.1.0"
