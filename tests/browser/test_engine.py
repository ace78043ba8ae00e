"""The package's own engine computes in Node.js and in every browser what Python computes, from equal pixels."""

import base64
import importlib.util
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from pyojeong.analyzer import MODEL
from pyojeong.classifier import Classifier
from pyojeong.core import images
from pyojeong.core.geometry import Region
from pyojeong.core.images import Pixels
from pyojeong.core.labels import KOREAN
from pyojeong.detection import graph as blazeface
from pyojeong.detection.network import SIDE, View
from pyojeong.faceapi.detector import FaceApi
from pyojeong.faceapi.nets import graph_path
from pyojeong.sample.drawing import draw_face
from tests.browser.browsers import BROWSERS, PATIENCE, answer_of
from tests.browser.faces import draw_group, pixels_of

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINE = REPOSITORY / "web/engine"
FACES = 200
FACE_SIZES = ((240, 320), (180, 150), (97, 131), (160, 160))
FRAMES = (
    (480, 640),
    (640, 480),
    (416, 416),
    (301, 97),
    (97, 301),
    (719, 1281),
    (33, 450),
    (450, 33),
    (101, 100),
    (5, 700),
)
INPUT_SIZES = (128, 160, 224, 416, 608)

PAGE = """<!doctype html><link rel="icon" href="data:,"><script type="module">
const read = async (name) => (await fetch(`/${name}`)).arrayBuffer();
let body;
try {
  const { answersTo } = await import('/tests/browser/engine_answers.mjs');
  const questions = await (await fetch('/questions.json')).json();
  const answers = await answersTo(questions, read, await import('/web/index.js'));
  body = { runtime: navigator.userAgent, answers };
} catch (error) { body = { error: String(error) }; }
await fetch('/answers', { method: 'POST', body: JSON.stringify(body) });
</script>"""


class Cases:
    """Questions to the engine, with Python's answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.questions: list[dict[str, Any]] = []
        self.expected: list[list[float]] = []

    def ask(self, pixels: Pixels, expected: list[float], **question: Any) -> None:
        name = f"{len(self.questions)}.rgba"
        height, width, _ = pixels.shape
        opaque = np.full((height, width, 1), 255, np.uint8)
        (self.folder / name).write_bytes(np.concatenate([pixels, opaque], -1).tobytes())
        self.questions.append({"pixels": name, "width": width, "height": height, **question})
        self.expected.append(expected)

    def look(self, pixels: Pixels, side: int, region: Region | None = None) -> None:
        """Ask for BlazeFace's numbers of a view."""
        seen = View.of(pixels, side, region)
        session = onnxruntime.InferenceSession(self.folder / "blazeface.onnx", providers=["CPUExecutionProvider"])
        scores, boxes = (
            np.asarray(output) for output in session.run(["scores", "boxes"], {"image": seen.pixels[None]})
        )
        place = region and dict(zip(("x", "y", "width", "height"), region, strict=True))
        self.ask(pixels, [*scores.ravel().tolist(), *boxes.ravel().tolist()], side=side, region=place)

    def classify(self, model: str, pictures: list[Pixels]) -> None:
        classifier = Classifier(self.folder / model)
        for pixels in pictures:
            self.ask(pixels, list(classifier.predict(pixels).values()), model=model)

    def assert_equal(self, answers: list[list[float]]) -> None:
        assert len(answers) == len(self.expected) > 0
        for question, ours, python in zip(self.questions, answers, self.expected, strict=True):
            if "side" in question:  # logits, and pixels of an input of 128 and more
                assert ours == pytest.approx(python, abs=1e-2, rel=1e-5), question
            else:  # probabilities, or pixels
                assert ours == pytest.approx(python, abs=1e-4 if "model" in question else 1e-3, rel=0), question


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, exported: Path) -> Cases:
    folder = tmp_path_factory.mktemp("engine")
    shutil.copy(MODEL, folder / "basic7.onnx")
    for name in ("k7_mnv3s_160.onnx", "k7_mnv3s_160_8bit.onnx"):
        shutil.copy(exported / name, folder / name)
    shutil.copy(graph_path("tiny_face_detector"), folder / "detector.onnx")
    shutil.copy(blazeface.graph_path(), folder / "blazeface.onnx")
    cases = Cases(folder)
    random = np.random.default_rng(0)
    faces = [draw_face(KOREAN[seed % 7], seed, FACE_SIZES[seed % 4])[0] for seed in range(FACES)]
    noise = [random.integers(0, 256, (*size, 3), np.uint8) for size in ((1, 1), (2, 300), (1200, 900), (160, 161))]
    cases.classify("basic7.onnx", faces + noise)
    cases.classify("k7_mnv3s_160.onnx", faces[:20] + noise)
    cases.classify("k7_mnv3s_160_8bit.onnx", faces[:20] + noise)
    for size in INPUT_SIZES:
        detector = FaceApi(input_size=size, score_threshold=0.1, threads=1)
        for height, width in FRAMES:
            group = draw_group(max(width, 40), max(height, 40), people=2, seed=size).resize((width, height))
            pixels = pixels_of(group)
            found = (face.box for face in detector.detect(pixels))
            corners = [side for x, y, right, bottom in found for side in (x, y, right - x, bottom - y)]
            cases.ask(pixels, corners, inputSize=size)
    for height, width in ((480, 640), (640, 480), (300, 300), (1500, 2000)):
        pixels = pixels_of(draw_group(width, height, people=2, seed=width))
        cases.look(pixels, SIDE)
        cases.look(pixels, 3 * SIDE)
        # Squares of a close look: inside, and over the edge.
        cases.look(pixels, SIDE, (width // 3, height // 4, width // 3, width // 3))
        cases.look(pixels, SIDE, (-width // 4, -height // 3, width // 2, width // 2))
    # Something is found at most sizes, or the boxes were not compared.
    boxes = [
        answer for question, answer in zip(cases.questions, cases.expected, strict=True) if "inputSize" in question
    ]
    assert sum(map(bool, boxes)) > 15
    return cases


def run_node(cases: Cases) -> dict[str, Any]:
    (cases.folder / "questions.json").write_text(json.dumps(cases.questions))
    command = ["node", str(REPOSITORY / "tests/browser/engine_answers.mjs"), str(cases.folder)]
    subprocess.run(command, check=True, timeout=PATIENCE)
    found: dict[str, Any] = json.loads((cases.folder / "answers.json").read_text())
    return found


def run_browser(command: list[str], cases: Cases) -> dict[str, Any]:
    (cases.folder / "questions.json").write_text(json.dumps(cases.questions))
    return answer_of(command, cases.folder, PAGE)


def test_node_answers_as_python(cases: Cases) -> None:
    found = run_node(cases)
    assert found["runtime"].startswith("Node.js")
    cases.assert_equal(found["answers"])


@pytest.mark.browser
@pytest.mark.parametrize(("launch", "name"), BROWSERS)
def test_browsers_answer_as_python(launch: Any, name: str, cases: Cases, tmp_path: Path) -> None:
    found = run_browser(launch(tmp_path), cases)
    assert name in found["runtime"]
    cases.assert_equal(found["answers"])


def test_photographs_are_read_as_in_python(shared: Path, tmp_path: Path) -> None:
    shutil.copy(MODEL, tmp_path / "basic7.onnx")
    photographs = []
    for archive in sorted((shared / "data/london_as_aihub").glob("*01.zip")):
        with zipfile.ZipFile(archive) as files:
            for name in files.namelist():
                if name.lower().endswith(("jpg", "jpeg")):
                    picture = Image.fromarray(images.decode(files.read(name)))
                    picture.thumbnail((500, 500))
                    photographs.append(np.asarray(picture))
    assert len(photographs) > 50
    shutil.copy(blazeface.graph_path(), tmp_path / "blazeface.onnx")
    cases = Cases(tmp_path)
    cases.classify("basic7.onnx", photographs)
    cases.assert_equal(run_node(cases)["answers"])


def load_build() -> Any:
    spec = importlib.util.spec_from_file_location("engine_build", ENGINE / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    return build


def test_the_kernels_are_what_their_source_compiles_to() -> None:
    build = load_build()
    committed = build.MODULE.read_text(encoding="utf-8")
    version = build.compiler_version()
    if version is None or version not in committed:
        pytest.skip(f"the kernels were compiled with another compiler than {version}")
    assert build.module(build.build(), version) == committed


def test_the_kernels_take_at_most_30_kilobytes() -> None:
    encoded = re.search(r"'([A-Za-z0-9+/=]+)'", load_build().MODULE.read_text(encoding="utf-8"))
    assert encoded is not None
    wasm = base64.b64decode(encoded[1])
    assert wasm.startswith(b"\0asm")
    assert len(wasm) <= 30_000
