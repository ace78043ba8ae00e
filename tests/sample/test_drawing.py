import dataclasses

import numpy as np
import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.labels import KOREAN
from pyojeong.sample.drawing import (
    Expression,
    Pose,
    draw_face,
    draw_photo,
    face_box,
    random_expression,
    random_person,
    random_pose,
)

SIZE = (480, 640)
POSE = Pose(240, 270, 120)


def photo(person_seed=1, rng_seed=2, pose=POSE, outdoors=False, **movements):
    person = random_person(np.random.default_rng(person_seed))
    rng = np.random.default_rng(rng_seed)
    return draw_photo(person, Expression(**movements), size=SIZE, pose=pose, outdoors=outdoors, rng=rng)


def changed(first, second):
    """Where two photographs differ, in face units around the point between the eyes: (min x, min y, max x, max y)."""
    rows, columns = np.nonzero(np.abs(first.astype(int) - second).sum(axis=2) > 12)
    left, top = (columns.min() - POSE.x) / POSE.unit, (rows.min() - POSE.y) / POSE.unit
    return left, top, (columns.max() - POSE.x) / POSE.unit, (rows.max() - POSE.y) / POSE.unit


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inside = width * height
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


def vector(label):
    rng = np.random.default_rng(0)
    return np.array(dataclasses.astuple(random_expression({label: 1.0}, rng, spread=0.0)))


@pytest.mark.parametrize("label", KOREAN)
def test_a_face_is_an_upright_picture_with_its_box_inside(label):
    pixels, (left, top, right, bottom) = draw_face(label, 7)
    assert pixels.shape == (640, 480, 3)
    assert pixels.dtype == np.uint8
    assert 0 < left < right < 480
    assert 0 < top < bottom < 640
    assert 0.6 < (right - left) / (bottom - top) < 0.9


def test_the_same_seed_draws_the_same_picture_and_another_seed_another():
    first, box = draw_face("분노", 5)
    again, box_again = draw_face("분노", 5)
    other, _ = draw_face("분노", 6)
    assert np.array_equal(first, again)
    assert box == box_again
    assert not np.array_equal(first, other)


def test_an_unknown_label_is_refused():
    with pytest.raises(ValueError, match="놀람"):
        draw_face("놀람", 0)


@pytest.mark.parametrize(
    ("movement", "where"),
    [
        ({"lip_corner_pull": 1.0}, (-0.9, 0.3, 0.9, 1.4)),
        ({"lip_press": 1.0}, (-0.6, 0.6, 0.6, 1.3)),
        ({"brow_lower": 1.0}, (-0.9, -0.75, 0.9, 0.3)),
        ({"gaze_x": 1.0}, (-0.8, -0.3, 0.8, 0.3)),
        ({"tears": 0.9}, (-0.9, -0.3, 0.9, 0.9)),
    ],
)
def test_a_movement_moves_its_own_part_of_the_face_and_nothing_else(movement, where):
    part = changed(photo()[0], photo(**movement)[0])
    assert part[0] >= where[0]
    assert part[1] >= where[1]
    assert part[2] <= where[2]
    assert part[3] <= where[3]


def test_a_dropping_jaw_lowers_the_box_to_the_new_chin():
    closed, open_ = photo()[1], photo(jaw_drop=1.0)[1]
    assert open_[3] > closed[3] + 0.15 * POSE.unit
    assert open_[:3] == pytest.approx(closed[:3], abs=0.02 * POSE.unit)


def test_a_smile_lifts_the_corners_of_the_mouth_and_sadness_lowers_them():
    def darkest_row(pixels):
        x = round(POSE.x + 0.33 * POSE.unit)
        rows = slice(round(POSE.y + 0.7 * POSE.unit), round(POSE.y + 1.2 * POSE.unit))
        return int(pixels[rows, x - 4 : x + 4].sum(axis=(1, 2)).argmin())

    smile = darkest_row(photo(lip_corner_pull=0.8)[0])
    rest = darkest_row(photo()[0])
    sad = darkest_row(photo(lip_corner_depress=1.0)[0])
    assert smile < rest < sad


def test_the_box_grows_with_the_roll_and_mirrors_with_its_direction():
    person = random_person(np.random.default_rng(1))
    upright, right, left = (face_box(person, Expression(), dataclasses.replace(POSE, roll=r)) for r in (0, 0.15, -0.15))
    assert right[2] - right[0] > upright[2] - upright[0]
    assert right[0] + left[2] == pytest.approx(2 * POSE.x)
    assert right[1] == pytest.approx(left[1])
    assert right[3] == pytest.approx(left[3])


def test_skin_fills_the_box_and_not_the_frame():
    pixels, (left, top, right, bottom) = photo()

    def skin(part):
        red, green, blue = (part[..., channel].astype(int) for channel in range(3))
        return float(((red > green + 10) & (green > blue)).mean())

    middle = (top + bottom) / 2
    assert skin(pixels[round(middle) : round(bottom - 10), round(left + 30) : round(right - 30)]) > 0.7
    assert skin(pixels[:60]) < 0.5


def test_hurt_lies_near_sadness_and_anxiety_between_embarrassment_and_anger():
    def distance(a, b):
        return float(np.linalg.norm(vector(a) - vector(b)))

    closest = min(distance(a, b) for i, a in enumerate(KOREAN) for b in KOREAN[:i])
    assert distance("상처", "슬픔") == closest
    assert distance("불안", "당황") < distance("분노", "당황")
    assert distance("불안", "분노") < distance("분노", "당황")


def test_random_movements_stay_within_their_limits():
    rng = np.random.default_rng(3)
    samples = np.array([dataclasses.astuple(random_expression({"슬픔": 1.0}, rng)) for _ in range(300)])
    assert samples.min() >= -1
    assert samples.max() <= 1.55
    tears = [field.name for field in dataclasses.fields(Expression)].index("tears")
    assert samples[:, tears].std() == pytest.approx(0.13, abs=0.02)


def test_mixed_labels_give_the_expression_between_them():
    both = random_expression({"기쁨": 1.0, "중립": 3.0}, np.random.default_rng(0), spread=0.0)
    assert both.lip_corner_pull == pytest.approx(vector("기쁨")[8] / 4)


@pytest.mark.parametrize("size", [(1080, 1440), (1440, 1080), (1920, 1080), (1080, 1920), (1080, 1080)])
def test_the_face_takes_the_published_share_of_any_frame(size):
    rng = np.random.default_rng(9)
    width, height = size
    for seed in range(40):
        person = random_person(np.random.default_rng(seed))
        left, top, right, bottom = face_box(person, Expression(jaw_drop=0.5), random_pose(size, rng))
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
        share = ((right - left) * (bottom - top) / (width * height)) ** 0.5
        assert 0.27 < share < 0.56


def test_a_large_photograph_shows_what_a_small_one_shows():
    person = random_person(np.random.default_rng(4))
    small, small_box = draw_photo(
        person, Expression(), size=(300, 400), pose=Pose(150, 160, 75), outdoors=True, rng=np.random.default_rng(0)
    )
    large, large_box = draw_photo(
        person, Expression(), size=(1200, 1600), pose=Pose(600, 640, 300), outdoors=True, rng=np.random.default_rng(0)
    )
    assert large.shape == (1600, 1200, 3)
    assert np.array(large_box) == pytest.approx(4 * np.array(small_box))
    reduced = large.reshape(400, 4, 300, 4, 3).mean(axis=(1, 3))
    assert np.abs(reduced - small).mean() < 6


def test_the_detector_finds_nine_faces_of_ten():
    from pyojeong.faceapi.detector import FaceApi

    try:
        api = FaceApi(threads=1)
    except InputError as error:
        pytest.skip(f"face-api's weights are not installed: {error}")
    found = 0
    for seed in range(70):
        pixels, box = draw_face(KOREAN[seed % 7], 2000 + seed, ((480, 640), (640, 480))[seed % 2])
        found += any(iou(face.box, box) >= 0.5 for face in api.detect(pixels))
    assert found >= 63
