import numpy as np
import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import iou
from pyojeong.core.labels import FACEAPI
from pyojeong.faceapi.detector import ANCHORS, FaceApi, crop_rectangle, suppress
from tests.faceapi.faces import portrait


@pytest.fixture(scope="module")
def api() -> FaceApi:
    return FaceApi(threads=1)


def test_synthetic_faces_are_found_in_place(api):
    found = [(api.detect(pixels), box) for pixels, box in map(portrait, range(6))]
    hits = [max((iou(face.box, box) for face in faces), default=0) for faces, box in found]
    assert sum(hit > 0.4 for hit in hits) >= 5
    assert all(0.5 < face.score < 1 for faces, _ in found for face in faces)


def test_every_face_of_a_crowd_is_found_best_first(api):
    tiles = [portrait(number)[0] for number in range(3)]
    faces = api.detect(np.hstack(tiles))
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    assert sorted(int((face.box[0] + face.box[2]) / 2 // 480) for face in faces) == [0, 1, 2]


def test_an_empty_image_has_no_face(api):
    assert api.detect(np.full((300, 500, 3), 127, np.uint8)) == []


def test_probabilities_come_row_by_row_and_nan_for_boxes_outside(api):
    pixels, box = portrait(0)
    alone = api.expressions(pixels, [box])
    many = api.expressions(pixels, [(-90.0, -90.0, -1.0, -1.0), box, (480.5, 10.0, 700.0, 90.0), (5.0, 5.0, 5.4, 90.0)])
    assert alone.shape == (1, len(FACEAPI))
    assert alone.dtype == np.float32
    assert alone.sum() == pytest.approx(1, abs=1e-6)
    assert np.array_equal(many[1], alone[0])
    assert np.isnan(many[[0, 2, 3]]).all()


def test_the_two_libraries_differ_a_little_and_only_in_the_detector():
    pixels, box = portrait(0)
    one, other = FaceApi("vladmandic", threads=1), FaceApi("original", threads=1)
    first, second = one.detect(pixels)[0], other.detect(pixels)[0]
    gap = np.abs(np.subtract(first.box, second.box)).max()
    assert 1e-3 < gap < 20
    assert one.expressions(pixels, [box]) == pytest.approx(other.expressions(pixels, [box]), abs=1e-4)


@pytest.mark.parametrize(
    ("box", "rectangle"),
    [
        ((10.9, 20.2, 30.8, 40.1), (10, 20, 19, 19)),  # size floored by itself: 19.9 and 19.9
        ((-5.5, -2.0, 30.5, 40.0), (0, 0, 30, 40)),
        ((90.5, 70.5, 300.0, 300.0), (90, 70, 9, 9)),  # 100 - 90.5 = 9.5
        ((0.0, 0.0, 100.0, 80.0), (0, 0, 100, 80)),
        ((100.0, 0.0, 120.0, 80.0), (100, 0, 0, 80)),
        ((-20.0, 0.0, -10.0, 80.0), (0, 0, -10, 80)),
    ],
)
def test_crops_are_clipped_and_floored_as_in_face_api(box, rectangle):
    assert crop_rectangle(box, 100, 80) == rectangle


def test_a_cell_becomes_the_box_of_its_anchor(api):
    cells = np.full((13, 13, 5, 5), -20, np.float32)
    cells[4, 7, 2] = (0, 0, 0, 0, 3)  # center of the cell, the anchor's own size
    (face,) = api.decode_cells(cells, 832, 416)  # the padded square is 832 pixels: 64 for a cell
    width, height = ANCHORS[2] * 64
    assert face.score == pytest.approx(1 / (1 + np.exp(-3)))
    expected = (7.5 * 64 - width / 2, 4.5 * 64 - height / 2, 7.5 * 64 + width / 2, 4.5 * 64 + height / 2)
    assert face.box == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shape", [(2, 3000, 3), (20000, 20, 3)])
def test_a_strip_has_no_face(api, shape):
    assert api.detect(np.full(shape, 127, np.uint8)) == []
    cells = np.full((13, 13, 5, 5), -20, np.float32)
    cells[0, 0, 2] = (0, 0, 0, 0, 3)
    assert api.decode_cells(cells, shape[1], shape[0]) == []


def test_the_threshold_is_strict(api):
    cells = np.full((13, 13, 5, 5), -20, np.float32)
    cells[4, 7, 2] = 0  # a score of exactly 0.5
    assert api.decode_cells(cells, 416, 416) == []


def test_of_overlapping_detections_the_best_is_kept():
    boxes = np.array([(0, 0, 10, 10), (1, 0, 10, 10), (30, 30, 10, 10), (0, 0, 10, 4), (0, 0, 10, 4.01)])
    assert suppress(boxes, np.array([0.7, 0.9, 0.8, 0.6, 0.5])) == [1, 2, 3]
    # Of equal scores the later wins, as with the library's stable sort.
    assert suppress(boxes[[0, 0]], np.array([0.6, 0.6])) == [1]
    # IoU of exactly 0.4 is allowed, more is not.
    assert suppress(boxes[[0, 3]], np.array([0.9, 0.6])) == [0, 1]
    assert suppress(boxes[[0, 4]], np.array([0.9, 0.6])) == [0]


@pytest.mark.parametrize(
    "options", [{"library": "dlib"}, {"input_size": 400}, {"input_size": 0}, {"score_threshold": 1.0}]
)
def test_options_that_the_library_refuses_are_refused(options):
    with pytest.raises(InputError, match=str(next(iter(options.values())))):
        FaceApi(**options)
