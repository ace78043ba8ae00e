import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pyojeong.core.geometry import cut
from pyojeong.core.images import Pixels
from pyojeong.detection.network import SIDE, Detection, View, merged


def picture(height: int, width: int) -> Pixels:
    """Every pixel tells its own place: red = column, green = row, both from 1 on; blue = 255."""
    rows, columns = np.mgrid[1 : height + 1, 1 : width + 1]
    return np.stack([columns % 251, rows % 241, np.full_like(rows, 255)], 2).astype(np.uint8)


@given(
    st.tuples(st.integers(1, 1500), st.integers(1, 1500)),
    st.tuples(st.integers(-1600, 1600), st.integers(-1600, 1600), st.integers(1, 3000), st.integers(1, 3000)),
)
def test_a_view_is_the_thinned_and_resized_cut(size: tuple[int, int], region: tuple[int, int, int, int]) -> None:
    """The view is made without a copy at full size; this is the same with one."""
    image = picture(*size)
    x, y, width, height = region
    width, height = (min(length, 3 * max(size)) for length in (width, height))
    step = max(1, max(width, height) // (2 * SIDE))
    part = cut(image, (x, y, width, height))
    thin = part[min(step // 2, (height - 1) // 2) :: step, min(step // 2, (width - 1) // 2) :: step]
    columns, rows = (max(1, math.floor(length * SIDE / max(width, height) + 0.5)) for length in (width, height))
    small = np.asarray(Image.fromarray(thin).resize((columns, rows), Image.Resampling.BILINEAR))
    left, top = (SIDE - columns) // 2, (SIDE - rows) // 2
    expected = np.zeros((SIDE, SIDE, 3), np.uint8)
    expected[top : top + rows, left : left + columns] = small

    assert np.array_equal(View.of(image, SIDE, (x, y, width, height)).pixels, expected)


@pytest.mark.parametrize(
    ("size", "side", "shape"),
    [
        ((480, 640), 128, (128, 128)),
        ((640, 480), 128, (128, 128)),
        ((480, 640), 384, (288, 384)),
        ((500, 640), 384, (304, 384)),  # 300 rows of the image
        ((4000, 3000), 1152, (1152, 864)),
        ((3, 5000), 384, (16, 384)),
        ((1, 1), 128, (128, 128)),
    ],
)
def test_only_the_smallest_view_is_a_square(size: tuple[int, int], side: int, shape: tuple[int, int]) -> None:
    assert View.of(np.full((*size, 3), 9, np.uint8), side).pixels.shape == (*shape, 3)


@pytest.mark.parametrize("size", [(480, 640), (1280, 960), (100, 80), (3000, 4000)])
@pytest.mark.parametrize("side", [128, 384])
def test_a_place_in_a_view_is_the_place_in_the_image(size: tuple[int, int], side: int) -> None:
    height, width = size
    image = np.zeros((*size, 3), np.uint8)
    x, y, half = 0.7 * width, 0.4 * height, 0.06 * max(size)
    image[round(y - half) : round(y + half), round(x - half) : round(x + half)] = 255
    view = View.of(image, side)
    rows, columns = np.nonzero(view.pixels[..., 0] > 127)
    found = [
        (lines.mean() + 0.5) * scale + start
        for lines, scale, start in zip((columns, rows), view.scale, view.origin, strict=True)
    ]
    assert found == pytest.approx([x, y], abs=max(size) / side)


def find(x: float, y: float, side: float, score: float) -> Detection:
    points = tuple((x + number, y - number) for number in range(6))
    return Detection((x, y, x + side, y + side), score, points)


def test_finds_of_one_face_become_its_weighted_mean() -> None:
    a, b, other = find(10, 10, 20, 0.9), find(12, 10, 20, 0.6), find(100, 10, 20, 0.7)
    face, second = merged([b, other, a])

    assert second.box == pytest.approx(other.box)
    assert second.score == other.score
    assert face.score == 0.9
    assert face.box == pytest.approx((10.8, 10, 30.8, 30))
    assert face.landmarks[3] == pytest.approx((13.8, 7))


def test_faces_beside_each_other_stay_apart_and_nothing_gives_nothing() -> None:
    # 20 x 20 with 11 and 9 columns in common: IoU 0.379 and 0.290.
    assert len(merged([find(0, 0, 20, 0.9), find(9, 0, 20, 0.8)])) == 1
    assert len(merged([find(0, 0, 20, 0.9), find(11, 0, 20, 0.8)])) == 2
    assert merged([]) == []
