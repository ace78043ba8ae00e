"""Draws photographs of synthetic people whose expressions move brows, eyes and mouth.

Input: a ``Person``, an ``Expression`` and a ``Pose``, or a label and a seed. Output: RGB pixels and the face box.
This package imports only ``core``; the rest of ``sample`` may import it, and tests and benchmarks that need a face.
"""

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
