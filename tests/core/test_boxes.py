"""Boxes that lie on a face only when they are read in another way."""

from collections.abc import Callable

import numpy as np
import pytest

from pyojeong.core.boxes import first_flat, lies_on_a_face, misread
from pyojeong.core.geometry import Box

FACES = [(200.0, 240.0, 490.0, 550.0), (700.0, 150.0, 850.0, 330.0), (90.0, 500.0, 260.0, 720.0)]


@pytest.mark.parametrize(
    ("written", "holds", "remedy"),
    [
        (lambda a, b, c, d: (a, b, c - a, d - b), "x, y, width, height", "name the columns x, y, width, height"),
        (lambda a, b, c, d: (a, b, a + c, b + d), "minX, minY, maxX, maxY", "name the columns minX, minY, maxX, maxY"),
        (lambda a, b, c, d: (b, a, d, c), "minY, minX, maxY, maxX", "name the columns minY, minX, maxY, maxX"),
        (lambda a, b, c, d: (a, c, b, d), "minX, maxX, minY, maxY", "name the columns minX, maxX, minY, maxY"),
        (lambda a, b, c, d: (b, a, d - b, c - a), "y, x, height, width", "name the columns y, x, height, width"),
        (lambda a, b, c, d: ((a + c) / 2, (b + d) / 2, c - a, d - b), "center and size", "convert them to minX, minY"),
        (lambda a, b, c, d: (3 * a, 3 * b, 3 * c, 3 * d), "pixels of photographs 3 times as large", "convert them"),
        (lambda a, b, c, d: (a / 4, b / 4, c / 4, d / 4), "pixels of photographs 0.25 times as large", "convert them"),
    ],
)
def test_the_way_in_which_boxes_are_written_is_found(written: Callable[..., Box], holds: str, remedy: str) -> None:
    other = misread([written(*face) for face in FACES], [[face] for face in FACES])
    assert other is not None
    assert (other.holds, other.hits) == (holds, len(FACES))
    assert other.remedy.startswith(remedy)


def test_nothing_is_found_where_boxes_lie_anywhere() -> None:
    elsewhere = [(10.0, 900.0, 60.0, 990.0), (5.0, 5.0, 40.0, 50.0), (900.0, 20.0, 950.0, 60.0)]
    assert misread(elsewhere, [[face] for face in FACES]) is None
    assert misread([], []) is None


def test_boxes_that_are_merely_too_large_are_not_read_otherwise() -> None:
    assert misread([(0.0, 0.0, 1200.0, 1600.0)] * 3, [[face] for face in FACES]) is None


def test_one_photograph_may_be_chance() -> None:
    sized = [(a, b, c - a, d - b) for a, b, c, d in FACES]
    assert misread(sized[:1], [FACES[:1]]) is None
    assert misread(sized[:2], [FACES[:1], FACES[1:2]]) is not None


def test_any_of_several_faces_will_do() -> None:
    assert lies_on_a_face(FACES[1], FACES)
    assert not lies_on_a_face((0.0, 0.0, 20.0, 20.0), FACES)
    assert not lies_on_a_face(FACES[0], [])


def test_the_first_box_without_an_area_is_named() -> None:
    boxes = np.array([[1, 2, 3, 4], [1, 5, 3, 4], [9, 2, 3, 4]], np.float64)
    assert first_flat(boxes) == (2, 1, "maxY is 4 and minY 5")
    assert first_flat(boxes[:1]) == (0, 0, "")
