import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pyojeong.core.geometry import (
    ASPECTS,
    MARGIN,
    SIZE,
    Framing,
    Region,
    annotator_box,
    convert_box,
    cut,
    detector_box,
    enough_size,
    face_crop,
    has_patch,
    iou,
    patch_region,
    reduced_crop,
    resize,
)
from pyojeong.core.images import Pixels, Reduced, decode, decode_reduced


def ramp(height: int = 40, width: int = 60) -> Pixels:
    """Every pixel tells its own place: red = column + 1, green = row + 1, blue = 7."""
    image = np.full((height, width, 3), 7, np.uint8)
    image[..., 0] = np.arange(width) + 1
    image[..., 1] = np.arange(height)[:, None] + 1
    return image


@pytest.mark.parametrize(
    ("box", "margin", "aspect", "region"),
    [
        ((10, 10, 20, 20), 0.0, 1, (10, 10, 10, 10)),
        ((10, 10, 20, 30), 0.15, 1, (2, 7, 26, 26)),
        ((10, 10, 15, 15), 0.0, 1, (10, 10, 5, 5)),
        ((0, 0, 1, 4), 0.0, 1, (-1, 0, 4, 4)),  # x = -1.5: halves go up, not to even and not away from zero
        ((0, 0, 1, 2), 0.25, 1, (-1, 0, 3, 3)),
        ((-30, -30, -20, -20), 0.0, 1, (-30, -30, 10, 10)),
        ((5.2, 5.2, 5.4, 5.4), 0.0, 1, (5, 5, 1, 1)),
        ((0, 0, 2.5, 1), 0.0, 1, (0, -1, 3, 3)),
        ((10, 10, 20, 20), 0.0, 0.5, (13, 10, 5, 10)),
        ((10, 10, 20, 20), 0.0, 0.75, (11, 10, 8, 10)),  # width = 7.5
        ((10, 10, 20, 20), 0.0, 2, (5, 10, 20, 10)),
        ((0, 0, 2.5, 1), 0.0, 0.5, (1, -1, 1, 3)),  # of 2.5, and not of the height that was rounded
        ((5.2, 5.2, 5.4, 5.4), 0.0, 0.5, (5, 5, 1, 1)),
    ],
)
def test_patch_region_rounds_halves_up(box: tuple[float, ...], margin: float, aspect: float, region: Region) -> None:
    assert patch_region(box, margin, aspect=aspect) == region


CORNERS = st.tuples(*[st.floats(-5000, 15000)] * 2)


@given(CORNERS, st.tuples(*[st.floats(0.5, 9000)] * 2), st.floats(-0.4, 1), st.floats(-1, 1), st.floats(*ASPECTS))
def test_the_patch_has_its_size_and_place_relative_to_the_box(
    corner: tuple[float, float], size: tuple[float, float], margin: float, offset: float, aspect: float
) -> None:
    box = (*corner, corner[0] + size[0], corner[1] + size[1])
    x, y, width, height = patch_region(box, margin, offset, aspect)
    # A box of less than a pixel still has a patch of one.
    assert height == 1 or abs(height - max(size) * (1 + 2 * margin)) <= 0.5 + 1e-6
    assert width == 1 or abs(width - max(size) * (1 + 2 * margin) * aspect) <= 0.5 + 1e-6
    assert abs(x + width / 2 - (box[0] + box[2]) / 2) <= 0.5 + 1e-6
    assert abs(y + height / 2 - (box[1] + box[3]) / 2 - offset * max(size)) <= 0.5 + 1e-6


@given(CORNERS, st.tuples(*[st.floats(1e-3, 9000)] * 2), st.floats(-0.4, 2), st.floats(-1, 1))
def test_without_an_aspect_the_region_is_the_square_of_old(
    corner: tuple[float, float], size: tuple[float, float], margin: float, offset: float
) -> None:
    min_x, min_y, max_x, max_y = box = (*corner, corner[0] + size[0], corner[1] + size[1])
    longer = max(max_x - min_x, max_y - min_y)
    side = max(1, math.floor(longer * (1 + 2 * margin) + 0.5))
    x = math.floor((min_x + max_x - side) / 2 + 0.5)
    y = math.floor((min_y + max_y - side) / 2 + offset * longer + 0.5)
    assert patch_region(box, margin, offset) == patch_region(box, margin, offset, 1.0) == (x, y, side, side)


def test_the_patch_can_lie_above_the_box_and_be_smaller() -> None:
    assert patch_region((100, 100, 300, 260), -0.1, -0.125) == (120, 75, 160, 160)
    assert patch_region((100, 100, 300, 260), -0.4, 0.25) == (180, 210, 40, 40)
    assert patch_region((100, 100, 300, 260), -0.1, -0.125, 0.75) == (140, 75, 120, 160)


def test_an_annotator_draws_higher_and_taller_than_the_detector() -> None:
    found = annotator_box((100, 100, 300, 260))
    assert found == pytest.approx((200 - 93, 180 - 32.8 - 106, 200 + 93, 180 - 32.8 + 106))
    assert detector_box(found) == pytest.approx((100, 180 - 100 / 1.19, 300, 180 + 100 / 1.19))


def test_our_detector_s_square_leaves_out_the_forehead() -> None:
    found = annotator_box((100, 100, 300, 300), "blazeface")
    assert found == pytest.approx((200 - 114, 200 - 35 - 127, 200 + 114, 200 - 35 + 127))
    assert detector_box(found, "blazeface") == pytest.approx((100, 100, 300, 300))


@given(CORNERS, st.tuples(*[st.floats(10, 9000)] * 2), st.floats(-0.3, 1), st.floats(-1, 1), st.floats(*ASPECTS))
def test_there_and_back_gives_the_same_patch(
    corner: tuple[float, float], size: tuple[float, float], margin: float, offset: float, aspect: float
) -> None:
    box = (*corner, corner[0] + size[0], corner[1] + size[1])
    expected = patch_region(box, margin, offset, aspect)
    for kind in ("detector", "blazeface"):
        for back in (detector_box(annotator_box(box, kind), kind), annotator_box(detector_box(box, kind), kind)):
            found = patch_region(back, margin, offset, aspect)
            # The last digits of the doubles may lead to the next pixel.
            assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 1


def test_a_box_becomes_the_kind_that_is_wanted() -> None:
    box = (10.0, 20.0, 110.0, 100.0)
    assert convert_box(box, "annotator", "annotator") == convert_box(box, "detector", "detector") == box
    assert convert_box(box, "detector", "annotator") == annotator_box(box)
    assert convert_box(box, "annotator", "detector") == detector_box(box)
    assert convert_box(box, "blazeface", "annotator") == annotator_box(box, "blazeface")
    assert convert_box(box, "detector", "blazeface") == detector_box(annotator_box(box), "blazeface")
    for wanted, given_kind in (("mine", "detector"), ("detector", "mine"), ("mine", "mine")):
        with pytest.raises(ValueError, match="annotator or detector or blazeface, not 'mine'"):
            convert_box(box, given_kind, wanted)


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 5), (5, 5, 4, 9), (0, 0, math.nan, 5), (0, 0, math.inf, 5), (-1e308, 0, 1e308, 1e308)]
)
def test_a_box_without_area_or_with_impossible_numbers_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="no area"):
        patch_region(box)


@pytest.mark.parametrize("corner", [(5, 5), (-4, 5), (5, -4), (55, 5), (5, 35), (-4, -4), (0, 0)])
@pytest.mark.parametrize("size", [(10, 10), (70, 70), (1, 1), (60, 60), (8, 11), (11, 8), (60, 40), (35, 70), (70, 35)])
def test_cut_keeps_what_is_inside_and_is_black_outside(corner: tuple[int, int], size: tuple[int, int]) -> None:
    (x, y), (width, height) = corner, size
    patch = cut(ramp(), (x, y, width, height))
    assert patch.shape == (height, width, 3)
    for row, column in [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1), (height // 2, width // 2)]:
        inside = 0 <= y + row < 40 and 0 <= x + column < 60
        expected = (x + column + 1, y + row + 1, 7) if inside else (0, 0, 0)
        assert tuple(patch[row, column]) == expected
    area = max(0, min(x + width, 60) - max(x, 0)) * max(0, min(y + height, 40) - max(y, 0))
    assert np.count_nonzero(patch[..., 2]) == area
    assert has_patch((x, y, width, height), 60, 40) == (area > 0)


@pytest.mark.parametrize(
    "region", [(60, 0, 10, 20), (0, 40, 20, 10), (-10, 0, 10, 20), (0, -10, 20, 10), (500, 500, 20, 20)]
)
def test_a_patch_wholly_outside_is_black(region: Region) -> None:
    patch = cut(ramp(), region)
    assert patch.shape == (region[3], region[2], 3)
    assert not patch.any()
    assert not has_patch(region, 60, 40)


@pytest.mark.parametrize("size", [(181, 181), (181, 100), (100, 181)])
def test_a_patch_of_more_than_three_images_is_refused(size: tuple[int, int]) -> None:
    assert not has_patch((0, 0, *size), 60, 40)
    with pytest.raises(
        ValueError, match=f"a patch of {size[0]}x{size[1]} pixels is far larger than the image of 60x40"
    ):
        cut(ramp(), (0, 0, *size))


def test_a_huge_patch_is_refused_before_it_takes_memory() -> None:
    for aspect in (0.5, 1, 2):
        with pytest.raises(ValueError, match="far larger"):
            face_crop(ramp(), (0, 0, 1e9, 1e9), Framing(aspect=aspect))


def test_resize_averages_what_it_shrinks_and_keeps_flat_colors() -> None:
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, ::2] = 200
    small = resize(stripes)
    assert small.shape == (SIZE, SIZE, 3)
    assert small.dtype == np.uint8
    assert abs(int(small[80, 80, 0]) - 100) <= 1, "an antialiased filter mixes both stripes evenly"
    assert (resize(np.full((9, 9, 3), 77, np.uint8)) == 77).all()


def test_face_crop_shows_the_box_with_its_margin() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[50:150, 70:130] = 255  # the box: 60 wide, 100 high
    crop = face_crop(image, (70, 50, 130, 150))
    side = 100 * (1 + 2 * MARGIN)
    rows = np.flatnonzero(crop[80, :, 0] > 127)
    columns = np.flatnonzero(crop[:, 80, 0] > 127)
    assert len(rows) == pytest.approx(60 / side * 160, abs=1)
    assert len(columns) == pytest.approx(100 / side * 160, abs=1)
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(79.5, abs=1)


def test_a_face_is_squashed_by_the_aspect() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[50:150, 62:138] = 255
    box = (50, 50, 150, 150)
    assert (face_crop(image, box, Framing(0, aspect=0.76)) == 255).all()
    crop = face_crop(image, box, Framing(0, aspect=2))
    columns = np.flatnonzero(crop[80, :, 0] > 127)
    assert len(columns) == pytest.approx(76 / 200 * 160, abs=1)
    assert (crop[:, 80] == 255).all()


def test_a_crop_of_the_full_image_is_the_plain_crop() -> None:
    image = ramp()
    for region in [(5, 5, 20, 20), (-4, 30, 33, 33), (50, -10, 40, 40), (5, 5, 15, 20), (-4, 30, 33, 17)]:
        assert (reduced_crop(Reduced(image, 1, 0, 0), region) == resize(cut(image, region))).all()


@given(
    st.tuples(*[st.integers(-40, 300)] * 2),
    st.integers(1, 600),
    st.sampled_from([2, 4, 8]),
    st.tuples(*[st.integers(0, 7)] * 2),
)
def test_a_square_crop_of_a_reduced_image_has_the_pixels_of_old(
    corner: tuple[int, int], side: int, divisor: int, hidden: tuple[int, int]
) -> None:
    image = np.random.default_rng(side).integers(0, 256, (90, 110, 3), np.uint8)
    x, y, length = ((value / divisor) for value in (corner[0] - hidden[0], corner[1] - hidden[1], side))
    left, top = math.floor(x), math.floor(y)
    window = max(math.ceil(x + length) - left, math.ceil(y + length) - top)
    patch = Image.fromarray(cut(image, (left, top, window, window)))
    box = (x - left, y - top, x - left + length, y - top + length)
    expected = np.asarray(patch.resize((160, 160), Image.Resampling.BILINEAR, box=box))
    assert (reduced_crop(Reduced(image, divisor, *hidden), (*corner, side, side)) == expected).all()


@pytest.mark.parametrize(
    ("region", "divisor"),
    [
        ((201, -102, 2003, 2003), 8),
        ((811, 503, 1501, 1501), 4),
        ((-301, -202, 1703, 1703), 4),
        ((1400, 1100, 981, 981), 4),
        ((900, 700, 500, 500), 2),
        ((900, 700, 400, 400), 1),
        ((811, 303, 1001, 1501), 4),
        ((201, 503, 2003, 1001), 4),
        ((900, 700, 900, 500), 2),
    ],
)
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_crop_from_a_reduced_image_looks_the_same(region: Region, divisor: int, orientation: int) -> None:
    coarse = np.random.default_rng(5).integers(0, 256, (60, 80, 3), np.uint8)
    photograph = Image.fromarray(coarse).resize((2405, 1803), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    photograph.save(file, "JPEG", quality=92, exif=exif)
    full = decode(file.getvalue())
    height, width = full.shape[:2]
    reduced = decode_reduced(file.getvalue(), enough_size(region, width, height))
    assert reduced.divisor == divisor
    difference = np.abs(reduced_crop(reduced, region).astype(int) - resize(cut(full, region)))
    assert difference.mean() <= 1.5


@pytest.mark.parametrize(
    ("other", "expected"),
    [((0, 0, 10, 10), 1), ((5, 0, 15, 10), 1 / 3), ((10, 0, 20, 10), 0), ((3, 3, 3, 3), 0), ((20, 20, 5, 5), 0)],
)
def test_iou(other: tuple[int, ...], expected: float) -> None:
    assert iou((0, 0, 10, 10), other) == iou(other, (0, 0, 10, 10)) == pytest.approx(expected)


def test_two_empty_boxes_have_nothing_in_common() -> None:
    assert iou((1, 1, 1, 1), (1, 1, 1, 1)) == 0
