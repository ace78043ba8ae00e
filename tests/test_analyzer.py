import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pyojeong import analyzer
from pyojeong.analyzer import Analyzer, analyze_files, find_faces
from pyojeong.classifier import Classifier
from pyojeong.cli.main import main
from pyojeong.core import geometry
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import iou
from pyojeong.core.images import Pixels
from pyojeong.faceapi.detector import Detection, FaceApi
from tests.browser.faces import draw_tight
from tests.faceapi.faces import jpeg, png, portrait
from tests.test_classifier import FACTS, write_means


@pytest.fixture(scope="module")
def detector() -> FaceApi:
    return FaceApi(threads=1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network that answers with the mean of each channel of the patch it was given."""
    return write_means(tmp_path / "means.onnx", FACTS | {"margin": "0.15", "offset": "-0.1", "aspect": "0.76"})


def test_every_face_gets_the_answer_of_its_own_patch(model: Path, detector: FaceApi) -> None:
    image = np.hstack([portrait(0)[0], portrait(1)[0]])
    found = Analyzer(model, threads=1).analyze(image)
    detections = detector.detect(image)

    assert len(found) == len(detections) == 2
    for face, detection in zip(found, detections, strict=True):
        patch = geometry.cut(image, geometry.patch_region(geometry.annotator_box(detection.box), 0.15, -0.1, 0.76))
        assert (face.box, face.score) == (detection.box, detection.score)
        assert list(face.emotions) == ["red", "green", "blue"]
        assert list(face.emotions.values()) == pytest.approx(patch.mean((0, 1)), rel=1e-5)
        assert face.label == max(face.emotions, key=face.emotions.__getitem__)
    assert found[0].emotions != found[1].emotions


@pytest.mark.parametrize(("seed", "scale"), [(1, 1), (5, 1), (10, 1), (12, 1), (13, 1), (1, 3), (5, 3), (12, 3)])
def test_a_face_that_fills_its_frame_is_found_at_the_second_look(seed: int, scale: int, detector: FaceApi) -> None:
    pixels = draw_tight(seed).repeat(scale, 0).repeat(scale, 1)
    side = pixels.shape[0]
    assert detector.detect(pixels) == []
    (face,) = find_faces(detector, pixels)
    # The frame is nine tenths of the box that the drawing gives.
    assert iou(geometry.annotator_box(face.box), (-side / 18, -side / 18, side * 19 / 18, side * 19 / 18)) > 0.5


def test_the_second_look_is_at_a_padded_frame_and_its_boxes_come_back(detector: FaceApi) -> None:
    pixels = draw_tight(1)
    height, width = pixels.shape[:2]
    edge = int(0.75 * max(height, width) + 0.5)
    padded = np.full((height + 2 * edge, width + 2 * edge, 3), 128, np.uint8)
    padded[edge:-edge, edge:-edge] = pixels
    (there,) = detector.detect(padded)
    (here,) = find_faces(detector, pixels)

    assert max(pixels.shape) <= 416
    assert here.box == pytest.approx([value - edge for value in there.box])
    assert here.score == there.score
    # Repeated pixels are left out again, so a multiple of the frame gives a multiple of the box.
    (large,) = find_faces(detector, pixels.repeat(2, 0).repeat(2, 1))
    assert large.box == pytest.approx([2 * value for value in here.box])


class Scripted(FaceApi):
    """Finds what it is told to find, look by look, and remembers what it was shown."""

    def __init__(self, *answers: list[Detection]) -> None:
        self.answers = list(answers)
        self.shown: list[tuple[int, ...]] = []

    def detect(self, image: Pixels) -> list[Detection]:  # type: ignore[override]
        self.shown.append(image.shape)
        return self.answers[len(self.shown) - 1]


def test_where_a_face_is_found_at_a_distance_there_is_no_second_look() -> None:
    face = Detection((1.0, 2.0, 30.0, 52.0), 0.9)
    scripted = Scripted([face], [])
    assert find_faces(scripted, np.zeros((100, 50, 3), np.uint8)) == [face]
    assert scripted.shown == [(100, 50, 3)]


def test_a_close_face_gets_the_box_of_the_second_look() -> None:
    near = Detection((10.0, 20.0, 60.0, 70.1), 0.9)
    again = Detection((75 + 12.0, 75 + 18.0, 75 + 58.0, 75 + 74.0), 0.6)
    assert find_faces(Scripted([near], [again]), np.zeros((100, 80, 3), np.uint8)) == [
        Detection((12.0, 18.0, 58.0, 74.0), 0.6)
    ]
    assert find_faces(Scripted([near], []), np.zeros((100, 80, 3), np.uint8)) == [near]


def test_a_close_face_costs_nobody_beside_it() -> None:
    near, part = Detection((0.0, 10.0, 55.0, 70.0), 0.8), Detection((20.0, 60.0, 50.0, 90.0), 0.7)
    behind = Detection((80.0, 10.0, 95.0, 25.0), 0.9)
    again = Detection((75 + 2.0, 75 + 12.0, 75 + 54.0, 75 + 76.0), 0.6)
    found = find_faces(Scripted([behind, near, part], [again]), np.zeros((100, 100, 3), np.uint8))
    assert found == [behind, Detection((2.0, 12.0, 54.0, 76.0), 0.6)]


def test_a_close_face_is_framed_alike_in_tighter_and_wider_frames(detector: FaceApi) -> None:
    plain: list[float] = []
    steady: list[float] = []
    for share in (1.1, 1.3):
        pixels = draw_tight(1, share)
        for heights, faces in ((plain, detector.detect(pixels)), (steady, find_faces(detector, pixels))):
            (face,) = faces
            heights.append((face.box[3] - face.box[1]) * share / pixels.shape[0])
    assert plain[1] / plain[0] > 1.1
    assert steady[1] / steady[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("size", "step", "edge"), [((300, 416), 1, 312), ((417, 20), 2, 157), ((3000, 4000), 10, 300), ((1, 1), 1, 1)]
)
def test_a_large_frame_is_thinned_before_it_is_padded(size: tuple[int, int], step: int, edge: int) -> None:
    height, width = (-(-length // step) for length in size)
    scripted = Scripted([], [Detection((edge + 2.0, edge - 1.0, edge + 30.0, edge + 20.0), 0.7)])
    found = find_faces(scripted, np.zeros((*size, 3), np.uint8))

    assert scripted.shown == [(*size, 3), (height + 2 * edge, width + 2 * edge, 3)]
    assert found == [Detection((2.0 * step, -1.0 * step, 30.0 * step, 20.0 * step), 0.7)]


def test_faces_without_a_patch_are_left_out(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Analyzer(model, threads=1)
    boxes = [(10.0, 10.0, 60.0, 50.0), (300.0, 10.0, 340.0, 50.0), (-400.0, -400.0, 500.0, 500.0)]
    monkeypatch.setattr(found, "_detector", Scripted([Detection(box, 0.8) for box in boxes], []))

    assert [face.box for face in found.analyze(np.zeros((100, 200, 3), np.uint8))] == boxes[:1]


def test_the_second_look_can_be_left_out(model: Path) -> None:
    assert Analyzer(model, retry=False, threads=1).analyze(draw_tight(1)) == []
    assert len(Analyzer(model, threads=1).analyze(draw_tight(1))) == 1


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
    assert analyzer.MODEL.stat().st_size <= 1_600_000


def test_files_are_analyzed_one_by_one(model: Path, tmp_path: Path) -> None:
    (tmp_path / "two.jpg").write_bytes(jpeg(np.hstack([portrait(0)[0], portrait(1)[0]])))
    (tmp_path / "bad.jpg").write_bytes(b"?")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("폴더/하나.png", png(draw_tight(1)))
    paths: list[str | Path] = [
        tmp_path / "two.jpg",
        f"{tmp_path}/x.zip!/폴더/하나.png",
        tmp_path / "bad.jpg",
        tmp_path / "gone.jpg",
    ]
    two, member, bad, gone = (result.to_dict() for result in analyze_files(paths, model=model))

    assert (two["width"], two["height"], len(two["faces"])) == (960, 640, 2)
    assert list(two["faces"][0]) == ["box", "score", "label", "emotions"]
    assert list(two["faces"][0]["box"]) == ["minX", "minY", "maxX", "maxY"]
    assert two["faces"][0]["score"] >= two["faces"][1]["score"]
    assert len(member["faces"]) == 1
    assert (bad["image"], bad["error"]) == (str(tmp_path / "bad.jpg"), "not_an_image")
    assert list(bad) == ["image", "error", "message"]
    assert "convert it to JPEG" in bad["message"]
    assert gone == {"image": str(tmp_path / "gone.jpg"), "error": "missing", "message": "no such image file"}


def test_the_command_prints_faces_or_json(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.png").write_bytes(png(portrait(0)[0]))
    (expected,) = (result.to_dict() for result in analyze_files([tmp_path / "one.png"], model=model))

    def call(*words: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["pyojeong", "emotions", *map(str, words), "--model", str(model)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, capsys.readouterr().out

    code, lines = call(tmp_path / "one.png", "--json")
    assert (code or 0, json.loads(lines)) == (0, expected)
    code, lines = call(tmp_path / "one.png", tmp_path / "gone.png")
    (face,) = expected["faces"]
    assert code == 2
    assert f"one.png: {expected['width']}x{expected['height']}, 1 face(s)" in lines
    assert f"{face['label']} {face['emotions'][face['label']]:.3f}" in lines
    assert "gone.png: no such image file" in lines


def test_the_small_installation_is_enough() -> None:
    script = (
        "import sys\n"
        "for name in ('polars', 'onnx', 'distributed', 'torch'): sys.modules[name] = None\n"
        "import pyojeong.analyzer\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
