"""Boxes that lie on a face only when they are read in another way."""

from collections.abc import Callable

import numpy as np
import pytest

from pyojeong.core.boxes import Look, first_flat, misread, resized, strays
from pyojeong.core.geometry import Box
from pyojeong.core.images import Measure
from tests.faceapi.faces import stored_as

FACES = [(200.0, 240.0, 490.0, 550.0), (700.0, 150.0, 850.0, 330.0), (90.0, 500.0, 260.0, 720.0)]
SIZE = Measure(1000, 800, 0)
CENTER = "x_center, y_center, width, height"


def looks(boxes: list[Box], size: Measure = SIZE, faces: list[Box] = FACES) -> list[Look]:
    return [Look(row, box, [face], size) for row, (box, face) in enumerate(zip(boxes, faces, strict=False))]


@pytest.mark.parametrize(
    ("written", "holds", "remedy"),
    [
        (lambda a, b, c, d: (a, b, c - a, d - b), "x, y, width, height", "name the columns x, y, width, height"),
        (lambda a, b, c, d: (a, b, a + c, b + d), "minX, minY, maxX, maxY", "name the columns minX, minY, maxX, maxY"),
        (lambda a, b, c, d: (b, a, d, c), "minY, minX, maxY, maxX", "name the columns minY, minX, maxY, maxX"),
        (lambda a, b, c, d: (a, c, b, d), "minX, maxX, minY, maxY", "name the columns minX, maxX, minY, maxY"),
        (lambda a, b, c, d: (b, a, d - b, c - a), "y, x, height, width", "name the columns y, x, height, width"),
        (lambda a, b, c, d: ((a + c) / 2, (b + d) / 2, c - a, d - b), CENTER, f"name the columns {CENTER}"),
        (lambda a, b, c, d: ((a + c) / 2, (b + d) / 2, c + (c - a) / 2, d + (d - b) / 2), CENTER, "name the columns"),
        (lambda a, b, c, d: (a / 10, b / 8, c / 10, d / 8), "per cent of the photograph", "multiply x and widths by"),
        (lambda a, b, c, d: (3 * a, 3 * b, 3 * c, 3 * d), "pixels of photographs 3 times as large", "convert them"),
        (lambda a, b, c, d: (a / 4, b / 4, c / 4, d / 4), "pixels of photographs 0.25 times as large", "convert them"),
    ],
)
def test_the_way_in_which_boxes_are_written_is_found(written: Callable[..., Box], holds: str, remedy: str) -> None:
    other = misread(looks([written(*face) for face in FACES]))
    assert other is not None
    assert (other.holds, other.hits) == (holds, len(FACES))
    assert other.remedy.startswith(remedy)


def test_nothing_is_found_where_boxes_lie_anywhere() -> None:
    elsewhere = [(10.0, 900.0, 60.0, 990.0), (5.0, 5.0, 40.0, 50.0), (900.0, 20.0, 950.0, 60.0)]
    assert misread(looks(elsewhere)) is None
    assert misread([]) is None


def test_boxes_that_are_merely_too_large_are_not_read_otherwise() -> None:
    assert misread(looks([(0.0, 0.0, 1200.0, 1600.0)] * 3)) is None


def test_one_photograph_may_be_chance() -> None:
    sized = [(a, b, c - a, d - b) for a, b, c, d in FACES]
    assert misread(looks(sized[:1])) is None
    assert misread(looks(sized[:2])) is not None


def test_any_of_several_faces_will_do() -> None:
    assert Look(0, FACES[1], FACES, SIZE).is_on_a_face
    assert not Look(0, (0.0, 0.0, 20.0, 20.0), FACES, SIZE).is_on_a_face


def test_the_first_box_without_an_area_is_named() -> None:
    boxes = np.array([[1, 2, 3, 4], [1, 5, 3, 4], [9, 2, 3, 4]], np.float64)
    assert first_flat(boxes) == (2, 1, "maxY is 4 and minY 5")
    assert first_flat(boxes[:1]) == (0, 0, "")


@pytest.mark.parametrize("orientation", range(2, 9))
def test_boxes_of_the_stored_photograph_are_told(orientation: int) -> None:
    stored = []
    for min_x, min_y, max_x, max_y in FACES:
        pixels = np.zeros((800, 1000, 1), np.uint8)
        pixels[int(min_y) : int(max_y), int(min_x) : int(max_x)] = 1
        rows, columns, _ = np.nonzero(stored_as(pixels, orientation))
        stored.append((float(columns.min()), float(rows.min()), columns.max() + 1.0, rows.max() + 1.0))
    other = misread(looks(stored, Measure(1000, 800, orientation)))
    assert other is not None
    assert (other.holds.partition(",")[0], other.hits) == ("pixels of the photograph as it is stored", 3)
    upright = looks(FACES[:1] * 9, faces=FACES[:1] * 9)
    mixed = misread([*upright, *looks(stored, Measure(1000, 800, orientation))])
    assert mixed is not None
    assert (mixed.holds, len(mixed.looks)) == (other.holds, 3)
    assert misread(looks(FACES, Measure(1000, 800, orientation))) is None


def test_photographs_that_were_shrunk_a_little_are_told() -> None:
    for factor in (0.8, 0.9, 1.1):
        shrunk = [(a * factor, b * factor, c * factor, d * factor) for a, b, c, d in FACES * 3]
        assert resized(looks(FACES * 3, faces=shrunk)) == f"pixels of photographs {1 / factor:.3g} times as large"
        assert resized(looks(FACES, faces=shrunk[:3])) is None, "too few to tell"
    assert resized(looks(FACES * 3, faces=FACES * 3)) is None
    with_forehead = [(a, b - (d - b) / 4, c, d) for a, b, c, d in FACES * 3]
    assert resized(looks(with_forehead, faces=FACES * 3)) is None
    assert resized([]) is None


def test_boxes_are_stray_where_most_lie_on_no_face() -> None:
    beside = [(0.0, 0.0, 20.0, 20.0)]
    assert [look.row for look in strays(looks([*beside * 2, FACES[2]]))] == [0, 1]
    assert strays(looks([*beside, *FACES[1:]])) == []
    assert strays([]) == []
