import math
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import annotator_box, iou
from pyojeong.core.images import Pixels
from pyojeong.detection.detector import CLOSE, Detector
from pyojeong.detection.network import Detection, Network, View
from tests.browser.faces import draw_tight
from tests.faceapi.faces import portrait


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(threads=1)


@pytest.mark.parametrize("min_face", [0, -0.1, 1.01, math.nan])
def test_an_impossible_size_is_refused(min_face: float) -> None:
    with pytest.raises(InputError, match=r"the smallest face is .*above 0"):
        Detector(min_face)


@pytest.mark.parametrize("threshold", [0, 0.3, 1, math.nan])
def test_an_impossible_threshold_is_refused(threshold: float) -> None:
    with pytest.raises(InputError, match=r"the score threshold is .*from 0\.4 to 1"):
        Detector(threshold=threshold)


@pytest.mark.parametrize("number", range(6))
def test_the_box_is_that_of_the_face(number: int, detector: Detector) -> None:
    image, box = portrait(number)
    (face,) = detector.detect(image)
    assert 0.75 < face.score < 1
    assert iou(annotator_box(face.box, "blazeface"), box) > 0.6


@pytest.mark.parametrize("seed", [1, 5, 10, 12, 13])
@pytest.mark.parametrize("share", [1.3, 1.0, 0.9])
def test_a_face_that_fills_its_frame_is_found(seed: int, share: float, detector: Detector) -> None:
    pixels = draw_tight(seed, share)
    side = pixels.shape[0]
    outside = side * (1 / share - 1) / 2
    (face,) = detector.detect(pixels)
    # The frame is ``share`` of the longer side of the box that the drawing gives.
    assert iou(annotator_box(face.box, "blazeface"), (-outside, -outside, side + outside, side + outside)) > 0.5


@pytest.mark.parametrize("side", [60, 128, 400, 1600])
def test_the_picture_may_have_any_size(side: int, detector: Detector) -> None:
    image, box = portrait(0)
    scaled = Image.fromarray(image).resize((side * 3 // 4, side), Image.Resampling.BOX if side < 640 else None)
    (face,) = detector.detect(np.asarray(scaled))
    scale = side / image.shape[0]
    (left, top, right, bottom) = (value * scale for value in box)
    assert iou(annotator_box(face.box, "blazeface"), (left, top, right, bottom)) > 0.5


@pytest.mark.parametrize("share", [0.25, 0.12, 0.06, 0.03])
def test_a_face_is_found_at_every_distance(share: float, detector: Detector) -> None:
    """``share`` of the longer side of the frame is the face's own."""
    image, (_, y0, _, y1) = portrait(0)
    height = round(1600 * share * image.shape[0] / (y1 - y0))
    small = Image.fromarray(image).resize((height * 3 // 4, height), Image.Resampling.LANCZOS)
    frame = Image.new("RGB", (1600, 1200), (120, 130, 120))
    frame.paste(small, (700, 300))
    (face,) = detector.detect(np.asarray(frame))
    scale = height / image.shape[0]
    x0, y0, x1, y1 = (value * scale for value in portrait(0)[1])
    assert iou(annotator_box(face.box, "blazeface"), (x0 + 700, y0 + 300, x1 + 700, y1 + 300)) > 0.5


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("degrees", [-60, -45, -30, -15, 15, 30, 45, 60])
def test_a_tilted_face_is_found_with_its_tilt(degrees: int, number: int, detector: Detector) -> None:
    image, _ = portrait(number)
    (upright,) = detector.detect(image)
    turned = Image.fromarray(image).rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(128, 128, 128))
    (face,) = detector.detect(np.asarray(turned))

    (x0, y0), (x1, y1) = upright.landmarks[:2]
    (u0, v0), (u1, v1) = face.landmarks[:2]
    found = math.degrees(math.atan2(y1 - y0, x1 - x0) - math.atan2(v1 - v0, u1 - u0))
    assert found == pytest.approx(degrees, abs=8)


def crowd(count: int, columns: int) -> Pixels:
    tiles = [np.asarray(Image.fromarray(portrait(number)[0]).resize((160, 213))) for number in range(count)]
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, count, columns)]
    return np.vstack(rows)


@pytest.mark.parametrize(("count", "columns"), [(2, 2), (4, 2), (12, 4), (24, 6), (48, 8)])
def test_every_face_of_a_crowd_is_found_once(count: int, columns: int, detector: Detector) -> None:
    faces = detector.detect(crowd(count, columns))
    cells = {(int((face.box[0] + face.box[2]) / 320), int((face.box[1] + face.box[3]) / 426)) for face in faces}

    assert (len(faces), len(cells)) == (count, count)
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


def textures() -> dict[str, Pixels]:
    dice = np.random.default_rng(0)
    y, x = np.mgrid[:300, :400]
    waves = 127 + 60 * np.sin(x * 0.05 + y * 0.02) + 60 * np.sin(x * 0.03 - y * 0.11)
    shapes = Image.new("RGB", (400, 300), (90, 140, 160))
    draw = ImageDraw.Draw(shapes)
    for _ in range(60):
        left, top, width, height = (int(value) for value in dice.integers(5, 200, 4))
        color = (int(dice.integers(256)), int(dice.integers(256)), int(dice.integers(256)))
        draw.ellipse((left, top, left + width, top + height), fill=color)
    coarse = Image.fromarray(dice.integers(0, 256, (15, 20, 3), dtype=np.uint8))
    return {
        "plain": np.full((300, 400, 3), 90, np.uint8),
        "noise": dice.integers(0, 256, (300, 400, 3), dtype=np.uint8),
        "coarse noise": np.asarray(coarse.resize((400, 300), Image.Resampling.BICUBIC)),
        "waves": np.repeat(waves[..., None], 3, 2).astype(np.uint8),
        "checkers": np.repeat((((x // 20 + y // 20) % 2) * 255)[..., None], 3, 2).astype(np.uint8),
        "shapes": np.asarray(shapes),
    }


@pytest.mark.parametrize("name", textures())
def test_nobody_is_seen_in_a_texture(name: str, detector: Detector) -> None:
    assert detector.detect(textures()[name]) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (3, 5000), (5000, 3), (7, 416)])
def test_a_strip_shows_nobody(size: tuple[int, int], detector: Detector) -> None:
    assert detector.detect(np.full((*size, 3), 128, np.uint8)) == []


def test_a_smallest_face_leaves_smaller_ones_out() -> None:
    image = np.full((1200, 1600, 3), 120, np.uint8)
    small = Image.fromarray(portrait(0)[0]).resize((150, 200))
    image[100:300, 100:250] = np.asarray(small)
    image[400:1040, 800:1280] = portrait(1)[0]
    sides = [face.box[2] - face.box[0] for face in Detector(0.02, threads=1).detect(image)]
    limit = (min(sides) + max(sides)) / 2 / 1600

    assert len(sides) == 2
    (large,) = Detector(limit, threads=1).detect(image)
    assert large.box[2] - large.box[0] == pytest.approx(max(sides), rel=0.05)


class Watched(Network):
    """Remembers the sizes of the views it was shown, and finds what it is told to find in each look."""

    def __init__(self, *answers: list[Detection]) -> None:
        self.answers = list(answers)
        self.shown: list[tuple[int, ...]] = []

    def finds(self, views: Sequence[View], least: float) -> list[list[Detection]]:
        self.shown += [view.pixels.shape[:2] for view in views]
        answers = [self.answers.pop(0) if self.answers else [] for _ in views]
        return [[find for find in answer if find.score > least] for answer in answers]


def looks(
    image: Pixels, *answers: list[Detection], min_face: float = 0.02, thorough: bool = False
) -> tuple[list[Detection], list[int]]:
    """What is found where the network answers so, and the longer sides of the looks."""
    detector = Detector(min_face, thorough=thorough, threads=1)
    detector._network = watched = Watched(*answers)
    return detector.detect(image), [max(shape) for shape in watched.shown]


def face_at(x: float, y: float, side: float, score: float) -> Detection:
    points = [(0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.5, 0.8), (0.0, 0.4), (1.0, 0.4)]
    return Detection((x, y, x + side, y + side), score, tuple((x + side * u, y + side * v) for u, v in points))


EMPTY = np.zeros((1000, 1000, 3), np.uint8)


def test_a_clear_face_takes_a_look_and_a_close_one() -> None:
    first, again = face_at(300, 300, 400, 0.9), face_at(310, 305, 390, 0.95)
    (face,), sides = looks(EMPTY, [first], [again])
    assert face.box == pytest.approx(again.box)
    assert face.score == 0.95
    assert sides == [128, 128]


def test_the_close_look_may_only_raise_a_score() -> None:
    first, again = face_at(300, 300, 400, 0.9), face_at(310, 305, 390, 0.5)
    (face,), _ = looks(EMPTY, [first], [again])
    assert face.box == pytest.approx(again.box)
    assert face.score == 0.9
    (kept,), _ = looks(EMPTY, [first], [face_at(0, 0, 100, 0.95)])
    assert kept.box == pytest.approx(first.box), "what lies elsewhere is not this face"


@pytest.mark.parametrize(
    ("find", "sides"),
    [
        ([], [128, 384, 1152]),
        ([face_at(0, 0, 300, 0.2)], [128, 384, 1152]),  # something faint
        ([face_at(0, 0, 300, 0.9)], [128, 128]),
        ([face_at(0, 0, 300, 0.9), face_at(20, 20, 250, 0.3)], [128, 128]),  # a part of the face
        ([face_at(0, 0, 300, 0.9), face_at(600, 0, 300, 0.3)], [128, 128, 384]),
        ([face_at(0, 0, 160, 0.9)], [128, 128, 384]),  # as small as the first look can see
    ],
)
def test_finer_looks_come_only_where_something_may_be_missing(find: list[Detection], sides: list[int]) -> None:
    assert looks(EMPTY, find)[1] == sides


def test_a_thorough_search_takes_every_look() -> None:
    near = [face_at(0, 0, 300, 0.9)]
    assert looks(EMPTY, near, near, thorough=True)[1] == [128, 128, 384, 1152]


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...], detector: Detector) -> None:
    with pytest.raises(ValueError, match="an image is uint8"):
        detector.detect(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("min_face", "longer", "sides"),
    [
        (0.2, 4000, [128]),
        (0.1, 4000, [128, 384]),
        (0.05, 4000, [128, 384, 1152]),
        (0.01, 4000, [128, 384, 1152, 3456]),
        (0.01, 400, [128, 384]),  # an image is not enlarged more than a little
        (0.01, 100, [128]),
    ],
)
def test_the_smallest_face_limits_the_looks(min_face: float, longer: int, sides: list[int]) -> None:
    assert looks(np.zeros((longer, longer, 3), np.uint8), min_face=min_face)[1] == sides


def test_a_hint_that_a_finer_look_does_not_confirm_ends_the_search() -> None:
    near, faint, behind = face_at(300, 300, 400, 0.9), face_at(20, 20, 100, 0.2), face_at(800, 20, 60, 0.9)
    assert looks(EMPTY, [near, faint], [near], [faint])[1] == [128, 128, 384]
    # What it does confirm may have others beside it.
    confirmed = looks(EMPTY, [near, faint], [near], [behind, faint], [behind], [])
    assert [face.box for face in confirmed[0]] == [near.box, behind.box]
    assert confirmed[1] == [128, 128, 384, 128, 1152]


def test_a_finer_look_does_not_see_large_faces_or_faint_ones() -> None:
    large, faint = face_at(0, 0, 600, 0.9), face_at(700, 700, 60, 0.83)
    clear = face_at(200, 200, 60, 0.87)
    faces, sides = looks(EMPTY, [], [large, faint, clear], [], [])
    assert [face.score for face in faces] == [0.87]
    assert sides[:2] == [128, 384]


def test_a_known_face_is_looked_at_closely(detector: Detector) -> None:
    image, box = portrait(2)
    (found,) = detector.detect(image)
    for known in (found.box, box):
        face = detector.look_at(image, known)
        assert face is not None
        assert iou(face.box, found.box) > 0.8
        assert np.abs(np.subtract(face.landmarks, found.landmarks)).max() < 0.1 * (box[3] - box[1])


def test_where_no_face_is_none_is_found(detector: Detector) -> None:
    image, _ = portrait(2)
    plain = np.full_like(image, 120)
    assert detector.look_at(plain, (100, 100, 300, 350)) is None
    assert detector.look_at(image, (-5000, -5000, -4800, -4800)) is None
    for impossible in ((0, 0, 0, 0), (10, 10, 5, 5), (0, 0, 5000, 5000), (0, 0, math.nan, 9), (0, 0, math.inf, 9)):
        assert detector.look_at(image, impossible) is None


def test_the_close_look_takes_in_twice_the_box() -> None:
    detector = Detector(threads=1)
    detector._network = watched = Watched([])
    seen: list[View] = []
    watched.finds = lambda views, least: seen.extend(views) or [[] for _ in views]  # type: ignore[method-assign,func-returns-value]
    detector.look_at(EMPTY, (400, 300, 500, 420))
    (view,) = seen
    assert view.pixels.shape == (128, 128, 3)
    assert view.scale[0] * 128 == CLOSE * 120
    assert view.origin == (330, 240)


def test_many_candidates_are_looked_at_in_batches_and_keep_their_order(detector: Detector) -> None:
    image = crowd(48, 8)
    together = detector.detect(image)
    for face in together[::6]:
        alone = detector.look_at(image, face.box)
        assert alone is not None
        assert iou(alone.box, face.box) > 0.8


def test_the_number_of_threads_changes_nothing(detector: Detector) -> None:
    image = crowd(4, 2)
    for one, two in zip(detector.detect(image), Detector(threads=2).detect(image), strict=True):
        assert one.box == pytest.approx(two.box, abs=1e-3)
        assert one.score == pytest.approx(two.score, abs=1e-5)
