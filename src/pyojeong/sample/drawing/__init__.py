"""Parametric faces: people who stay the same, expressions that move brows, eyes and mouth, photographs of both."""

from pyojeong.sample.drawing.photo import draw_face, draw_photo, random_pose
from pyojeong.sample.drawing.sitter import Expression, Person, Pose, face_box, random_expression, random_person

__all__ = [
    "Expression",
    "Person",
    "Pose",
    "draw_face",
    "draw_photo",
    "face_box",
    "random_expression",
    "random_person",
    "random_pose",
]
