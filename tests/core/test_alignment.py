import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from pyojeong.core.alignment import (
    ALIGNED,
    ALIGNED_ASPECT,
    LANDMARKS,
    MAX_SIDE,
    Point,
    Turned,
    aligned_crop,
    cut_turned,
    face_points,
    turned_region,
)
from pyojeong.core.images import Pixels


def placed(region: Turned, template: tuple[Point, ...] = ALIGNED) -> list[Point]:
    """Where a face lies in the image when its points are at their places in ``region``."""
    cos, sin = math.cos(region.angle), math.sin(region.angle)
    points = []
    for share_x, share_y in template:
        across, along = (share_x - 0.5) * region.width, (share_y - 0.5) * region.height
        points.append((region.center[0] + across * cos - along * sin, region.center[1] + across * sin + along * cos))
    return points


@given(
    st.tuples(st.floats(-5000, 9000), st.floats(-5000, 9000)),
    st.floats(1, 9000),
    st.floats(-math.pi, math.pi),
    st.floats(0.5, 2),
)
def test_a_known_motion_is_recovered(center: Point, height: float, angle: float, aspect: float) -> None:
    known = Turned(center, height, height * aspect, angle)
    found = turned_region(placed(known), aspect=aspect)

    assert found.center == pytest.approx(center, abs=1e-6 * height + 1e-8)
    assert (found.height, found.width) == pytest.approx((height, height * aspect))
    assert math.remainder(found.angle - angle, 2 * math.pi) == pytest.approx(0, abs=1e-6)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=3, max_size=3), st.data())
def test_no_other_similarity_comes_closer_to_the_points(points: list[Point], data: st.DataObject) -> None:
    assume(max(math.dist(points[0], point) for point in points) > 1)
    try:
        best = turned_region(points)
    except ValueError:
        assume(False)
    assume(best.height > 1)

    def error(region: Turned) -> float:
        return sum(math.dist(one, other) ** 2 for one, other in zip(placed(region), points, strict=True))

    small = st.floats(-0.3, 0.3)
    scale, turn, right, down = (data.draw(small) for _ in range(4))
    height = best.height * (1 + scale)
    center = best.center[0] + right * height, best.center[1] + down * height
    other = Turned(center, height, height * ALIGNED_ASPECT, best.angle + turn)
    assert error(best) <= error(other) * (1 + 1e-9) + 1e-9


def test_proportions_of_a_face_stay() -> None:
    """A longer face gets a larger region, and no other shape."""
    for mouth in (0.6, 0.9, 1.5):
        region = turned_region([(100.0, 100.0), (200.0, 100.0), (150.0, 100 + 100 * mouth)])
        assert region.width / region.height == pytest.approx(ALIGNED_ASPECT)
        assert abs(region.angle) < 0.01


def test_mirrored_landmarks_are_turned_and_never_mirrored() -> None:
    """A similarity cannot exchange the eyes: the region comes out turned and small, and the patch is still a patch."""
    upright = Turned((50.0, 40.0), 60.0, 48.0, 0.0)
    right_eye, left_eye, mouth = placed(upright)
    region = turned_region([left_eye, right_eye, mouth])

    assert region.height < 0.5 * upright.height
    assert cut_turned(np.zeros((80, 100, 3), np.uint8), region).shape == (*region.size()[::-1], 3)


@pytest.mark.parametrize(
    "points",
    [
        [(5.0, 5.0)] * 3,
        [(math.nan, 5.0), (9.0, 5.0), (7.0, 9.0)],
        [(math.inf, 5.0), (9.0, 5.0), (7.0, 9.0)],
    ],
)
def test_landmarks_that_span_no_face_are_refused(points: list[Point]) -> None:
    with pytest.raises(ValueError, match="do not span a face"):
        turned_region(points)


def test_the_points_of_a_face_are_its_eyes_and_its_mouth() -> None:
    landmarks = [(float(number), 0.0) for number in range(len(LANDMARKS))]
    names = [LANDMARKS[int(x)] for x, _ in face_points(landmarks)]
    assert names == ["rightEye", "leftEye", "mouth"]


def smooth(height: int, width: int) -> Pixels:
    """Slow waves, so that interpolation differs little from the picture itself."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 17 + y / 23), np.cos(x / 29 - y / 13), np.sin(x / 19) * np.cos(y / 31)]
    return (127.5 + 120 * np.stack(waves, 2)).astype(np.uint8)


def test_an_upright_region_is_the_cut_itself() -> None:
    image = smooth(90, 120)
    patch = cut_turned(image, Turned((50.0, 40.0), 40.0, 32.0, 0.0))
    assert np.array_equal(patch, image[20:60, 34:66])


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_quarter_turn_is_exact(quarter: int) -> None:
    image = smooth(90, 120)
    patch = cut_turned(image, Turned((50.0, 40.0), 40.0, 40.0, quarter * math.pi / 2))
    turned_back = np.rot90(image[20:60, 30:70], quarter)
    assert np.abs(patch.astype(int) - turned_back).max() <= 1


@pytest.mark.parametrize("degrees", [-45, -30, 15, 60])
def test_a_turned_face_gives_the_patch_of_the_upright_one(degrees: float) -> None:
    image = smooth(300, 300)
    around = Image.fromarray(image).rotate(degrees, Image.Resampling.BICUBIC)  # counterclockwise, about the middle
    upright = Turned((150.0, 150.0), 120.0, 96.0, 0.0)
    angle = -math.radians(degrees)
    expected = cut_turned(image, upright).astype(int)
    found = cut_turned(np.asarray(around), Turned(upright.center, 120.0, 96.0, angle))
    assert np.abs(found - expected).mean() < 2


@pytest.mark.parametrize("center", [(-500, 40), (50, -500), (5000, 40), (50, 5000), (-30, -30), (0, 0), (119, 89)])
def test_outside_the_image_is_black(center: Point) -> None:
    image = np.full((90, 120, 3), 200, np.uint8)
    patch = cut_turned(image, Turned(center, 40.0, 40.0, 0.0))
    x, y = round(center[0]) - 20, round(center[1]) - 20
    expected = np.zeros((40, 40, 3), np.uint8)
    expected[max(0, -y) : max(0, 90 - y), max(0, -x) : max(0, 120 - x)] = 200

    assert patch.shape == (40, 40, 3)
    assert np.array_equal(patch, expected)


@pytest.mark.parametrize("height", [321.0, 640.0, 5000.0])
def test_a_large_face_becomes_a_patch_of_320_pixels(height: float) -> None:
    image = smooth(600, 500)
    region = Turned((250.0, 300.0), height, height * 0.8, 0.2)
    assert region.size() == (256, MAX_SIDE)
    assert cut_turned(image, region).shape == (MAX_SIDE, 256, 3)
    assert Turned((0.0, 0.0), 0.2, 0.1, 0.0).size() == (1, 1)
    assert Turned((0.0, 0.0), 100.4, 80.5, 0.0).size() == (81, 100)


@pytest.mark.parametrize("degrees", [-45, 0, 20, 170])
@pytest.mark.parametrize("height", [60, 150, 700])
def test_an_aligned_crop_has_the_points_at_their_places(degrees: float, height: float) -> None:
    region = Turned((400.0, 380.0), height, height * ALIGNED_ASPECT, math.radians(degrees))
    points = placed(region)
    y, x = np.mgrid[:800, :800] + 0.5
    # One spot of each color: right eye, left eye, mouth.
    spots = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * (0.03 * height) ** 2)) for a, b in points]
    crop = aligned_crop((255 * np.stack(spots, 2)).astype(np.uint8), points, 160)

    assert crop.shape == (160, 160, 3)
    for channel, (share_x, share_y) in enumerate(ALIGNED):
        weight = crop[..., channel].astype(float)
        rows, columns = np.mgrid[:160, :160] + 0.5
        found = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
        assert found == pytest.approx((share_x * 160, share_y * 160), abs=1.0)
