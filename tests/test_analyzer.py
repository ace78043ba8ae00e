import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyojeong import analyzer
from pyojeong.analyzer import Analyzer
from pyojeong.classifier import Classifier
from pyojeong.core import geometry
from pyojeong.core.alignment import LANDMARKS, cut_turned, face_points, turned_region
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Box, iou
from pyojeong.core.images import Pixels
from pyojeong.detection.detector import Detector
from pyojeong.detection.network import Detection
from tests.browser.faces import draw_tight
from tests.faceapi.faces import portrait
from tests.test_classifier import FACTS, write_means


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(threads=1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network that answers with the mean of each channel of the patch it was given, which is cut by the box."""
    return write_means(tmp_path / "means.onnx", FACTS | {"margin": "0.15", "offset": "-0.1", "aspect": "0.76"})


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    """The same, aligned by landmarks."""
    return write_means(tmp_path / "aligned.onnx", FACTS | {"aligned_by": "landmarks"})


def two_people() -> Pixels:
    return np.hstack([portrait(0)[0], portrait(1)[0]])


def test_every_face_gets_the_answer_of_its_own_patch(model: Path, detector: Detector) -> None:
    image = two_people()
    found = Analyzer(model, threads=1).analyze(image)
    detections = detector.detect(image)

    assert len(found) == len(detections) == 2
    for face, detection in zip(found, detections, strict=True):
        drawn = geometry.annotator_box(detection.box, "blazeface")
        patch = geometry.cut(image, geometry.patch_region(drawn, 0.15, -0.1, 0.76))
        assert (face.box, face.score) == (detection.box, detection.score)
        assert tuple(face.landmarks) == LANDMARKS
        assert tuple(face.landmarks.values()) == detection.landmarks
        assert list(face.emotions) == ["red", "green", "blue"]
        assert list(face.emotions.values()) == pytest.approx(patch.mean((0, 1)), rel=1e-5)
        assert face.label == max(face.emotions, key=face.emotions.__getitem__)
    assert found[0].emotions != found[1].emotions


def test_a_model_aligned_by_landmarks_gets_the_turned_patch(aligned: Path, detector: Detector) -> None:
    image = np.asarray(Image.fromarray(two_people()).rotate(25, expand=True, fillcolor=(9, 90, 200)))
    found = Analyzer(aligned, threads=1).analyze(image)
    detections = detector.detect(image)

    assert len(found) == len(detections) == 2
    for face, detection in zip(found, detections, strict=True):
        patch = cut_turned(image, turned_region(face_points(detection.landmarks)))
        assert list(face.emotions.values()) == pytest.approx(patch.mean((0, 1)), rel=1e-5)


def test_a_known_face_is_aligned_by_the_landmarks_around_its_box(
    model: Path, aligned: Path, detector: Detector
) -> None:
    image, box = portrait(2)
    looked = detector.look_at(image, box)
    assert looked
    turned = cut_turned(image, turned_region(face_points(looked.landmarks)))
    upright = geometry.cut(image, geometry.patch_region(box, 0.15, -0.1, 0.76))

    by_landmarks = Analyzer(aligned, threads=1).classify(image, box, "annotator")
    by_box = Analyzer(model, threads=1).classify(image, box, "annotator")
    assert by_landmarks == pytest.approx(turned.mean((0, 1)), rel=1e-5)
    assert by_box == pytest.approx(upright.mean((0, 1)), rel=1e-5)


def test_a_known_face_without_landmarks_is_cut_by_its_box(aligned: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    analyzer = Analyzer(aligned, threads=1)
    box = (20.0, 30.0, 120.0, 140.0)
    patch = geometry.cut(image, geometry.patch_region(box, float(FACTS["margin"])))
    assert analyzer.classify(image, box, "annotator") == pytest.approx(patch.mean((0, 1)), rel=1e-5)
    too_large = (-250.0, -250.0, 250.0, 250.0)
    assert analyzer.classify(image, too_large, "annotator") == [0, 0, 0], "a black patch"
    whole = analyzer.classify(image, None, "annotator")
    assert whole == pytest.approx(image.mean((0, 1)), rel=1e-5), "the image is the finished crop"


@pytest.mark.parametrize("seed", [1, 5, 10, 12, 13])
@pytest.mark.parametrize("scale", [1, 3])
def test_a_face_that_fills_its_frame_is_found(seed: int, scale: int, model: Path) -> None:
    pixels = draw_tight(seed).repeat(scale, 0).repeat(scale, 1)
    side = pixels.shape[0]
    (face,) = Analyzer(model, threads=1).analyze(pixels)
    # The frame is nine tenths of the box that the drawing gives.
    drawn = geometry.annotator_box(face.box, "blazeface")
    assert iou(drawn, (-side / 18, -side / 18, side * 19 / 18, side * 19 / 18)) > 0.5


def test_a_close_face_is_framed_alike_in_tighter_and_wider_frames(aligned: Path) -> None:
    analyzer = Analyzer(aligned, threads=1)
    sizes = []
    for share in (0.9, 1.1, 1.3):
        pixels = draw_tight(1, share)
        (face,) = analyzer.analyze(pixels)
        region = turned_region(face_points([*face.landmarks.values()]))
        sizes.append(region.height * share / pixels.shape[0])
    assert max(sizes) / min(sizes) < 1.03


class Scripted:
    """Finds what it is told to find."""

    def __init__(self, boxes: list[Box]) -> None:
        places = np.array([(0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.5, 0.8), (0.0, 0.4), (1.0, 0.4)])
        self.found = []
        for box in boxes:
            points = np.array(box[:2]) + places * (box[2] - box[0])
            self.found.append(Detection(box, 0.8, tuple((float(x), float(y)) for x, y in points)))

    def detect(self, _: Pixels) -> list[Detection]:
        return self.found


def test_faces_without_a_patch_are_left_out(model: Path, aligned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [(10.0, 10.0, 60.0, 60.0), (300.0, 10.0, 350.0, 60.0), (-400.0, -400.0, 500.0, 500.0)]
    for file, kept in ((model, boxes[:1]), (aligned, boxes)):
        found = Analyzer(file, threads=1)
        monkeypatch.setattr(found, "_detector", Scripted(boxes))
        assert [face.box for face in found.analyze(np.zeros((100, 200, 3), np.uint8))] == kept


def test_a_smallest_face_can_be_asked_for(model: Path) -> None:
    image = np.full((1200, 1600, 3), 120, np.uint8)
    image[100:300, 100:250] = np.asarray(Image.fromarray(portrait(0)[0]).resize((150, 200)))
    image[400:1040, 800:1280] = portrait(1)[0]

    assert len(Analyzer(model, threads=1).analyze(image)) == 2
    assert len(Analyzer(model, min_face=0.08, threads=1).analyze(image)) == 1
    with pytest.raises(InputError, match="the smallest face is 0"):
        Analyzer(model, min_face=0)


def test_nothing_is_seen_where_nobody_is(model: Path) -> None:
    assert Analyzer(model, threads=1).analyze(np.full((120, 90, 3), 90, np.uint8)) == []


def test_without_the_package_model_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(analyzer, "MODEL", tmp_path / "absent.onnx")
    with pytest.raises(InputError, match=r"absent\.onnx: the package's model is missing"):
        Analyzer()


def test_the_package_model_is_the_default(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setattr(analyzer, "MODEL", model)
    assert Analyzer(threads=1).classifier.classes == ("red", "green", "blue")


@pytest.mark.skipif(not analyzer.MODEL.is_file(), reason="the package's model has not been trained yet")
def test_the_package_model_knows_face_api_s_classes() -> None:
    shipped = Classifier(analyzer.MODEL)
    listed = json.loads(analyzer.MODEL.with_name("classes.json").read_text(encoding="utf-8"))
    assert listed == {"classes": list(shipped.classes)}
    assert shipped.scheme == "BASIC7"
    assert shipped.framing.aligned_by == "landmarks"
    assert analyzer.MODEL.stat().st_size <= 1_600_000


def test_the_small_installation_is_enough() -> None:
    script = (
        "import sys\n"
        "for name in ('polars', 'onnx', 'tflite', 'distributed', 'torch'): sys.modules[name] = None\n"
        "import pyojeong.analyzer, pyojeong.analysis.run\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_face_becomes_json_values(model: Path) -> None:
    (face,) = Analyzer(model, threads=1).analyze(portrait(0)[0])
    values = json.loads(json.dumps(face.to_dict()))
    assert list(values) == ["id", "box", "score", "landmarks", "label", "unsure", "emotions"]
    assert list(values["box"]) == ["minX", "minY", "maxX", "maxY"]
    assert list(values["landmarks"]) == [*LANDMARKS]
    assert [len(point) for point in values["landmarks"].values()] == [2] * 6
    assert (values["id"], values["unsure"]) == (None, False)


def test_an_answer_below_the_model_s_threshold_is_unsure(tmp_path: Path) -> None:
    image = portrait(0)[0]
    best = max(Analyzer(write_means(tmp_path / "a.onnx"), threads=1).analyze(image)[0].emotions.values())
    # The means of this network are from 0 to 255, and a threshold is a probability.
    assert best > 1
    for threshold, unsure in (("0", False), ("1", False)):
        file = write_means(tmp_path / "b.onnx", FACTS | {"unsure_below": threshold})
        (face,) = Analyzer(file, threads=1).analyze(image)
        assert face.unsure is unsure
    found = Analyzer(file, threads=1)
    assert found.answered(face, np.array([0.3, 0.4, 0.3], np.float32), 1).unsure
    assert not found.answered(face, np.array([0, 1, 0], np.float32), 1).unsure
