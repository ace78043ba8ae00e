"""A real Chromium, a served workspace, and a small network whose answers Python can check."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, sync_playwright

from pyojeong.analyzer import MODEL
from pyojeong.classifier import Classifier
from pyojeong.core import geometry
from pyojeong.core.files import file_lock
from pyojeong.core.labels import KOREAN
from pyojeong.core.workspace import K7_RUN
from pyojeong.demo.files import DEMO
from pyojeong.demo.server import make_server
from pyojeong.detection.graph import graph_path
from pyojeong.faceapi import nets
from tests.browser.chromium import find_chromium

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = Path(K7_RUN)
FRAMING = {"margin": str(geometry.MARGIN), "offset": "0.0", "box_kind": "annotator"}
FACTS = {"classes": json.dumps(KOREAN), "scheme": "K7", "size": "16", "version": "0", **FRAMING}
FLAGS = [
    "--disable-gpu",
    "--js-flags=--liftoff-only",  # pages live too briefly for optimized WebAssembly to pay off
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@contextmanager
def launched(playwright: Playwright, *flags: str) -> Iterator[Browser]:
    """The system's Chromium, with more flags than the usual ones."""
    path = find_chromium()
    if path is None or not Path(path).exists():
        pytest.fail("there is no Chromium; `make test` installs one, or set PYOJEONG_CHROMIUM to its path")
    # Chromium's sandbox does not start for root.
    sandbox = not hasattr(os, "geteuid") or os.geteuid() != 0
    chromium = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *flags], chromium_sandbox=sandbox)
    yield chromium
    chromium.close()


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with launched(playwright) as chromium:
        yield chromium


@dataclass
class Tab:
    """A page with all that went wrong on it, and all that it asked the network for."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _hear(self, line: ConsoleMessage) -> None:
        if line.type in ("error", "warning"):
            self.errors.append(line.text)

    def assert_clean(self, origin: str) -> None:
        """No error on the console, and nothing asked of another site."""
        assert self.errors == []
        outside = [url for url in self.requests if not url.startswith((f"{origin}/", "blob:", "data:"))]
        assert outside == []


@contextmanager
def tab_of(browser: Browser, locale: str = "ko-KR") -> Iterator[Tab]:
    """A watched page of its own, which may use the camera."""
    context = browser.new_context(locale=locale, permissions=["camera"])
    opened = Tab(context.new_page())
    opened.watch()
    yield opened
    context.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with tab_of(browser) as opened:
        yield opened


@dataclass(frozen=True)
class Site:
    """A workspace and the address that ``python -m http.server`` serves it at."""

    root: Path
    origin: str

    def put(self, name: str, image: Image.Image, **options: Any) -> str:
        """Save a picture where pages can load it; return its address."""
        path = self.root / "pictures" / name
        path.parent.mkdir(exist_ok=True)
        image.save(path, **options)
        return f"/pictures/{name}"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The repository's pages, onnxruntime-web and a small K7 model, served as the smoke test's instructions say."""
    root = tmp_path_factory.mktemp("workspace")
    for name in ("web", "tests", "node_modules"):
        (root / name).symlink_to(REPOSITORY / name)
    (root / "blank.html").write_text('<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">')
    write_model(root / RUN / "k7_mnv3s_160.onnx")
    (root / RUN / "classes.json").write_text(json.dumps({"classes": KOREAN}), encoding="utf-8")
    shutil.copy(graph_path(), root / "models/detector.onnx")
    shutil.copy(nets.graph_path("tiny_face_detector"), root / "models/tiny.onnx")
    shutil.copy(MODEL, root / "models/basic7.onnx")
    with serving(root) as origin:
        yield Site(root, origin)


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The address of a folder, served as any static host does."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = re.search(r"port (\d+)", server.stdout.readline())
        assert port is not None
        yield f"http://127.0.0.1:{port[1]}"
        server.terminate()


def run(*command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command that must succeed; return what it prints."""
    words = [str(part) for part in command]
    env = {**os.environ, **(environment or {})}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def npm(*command: str | Path, cwd: Path) -> str:
    found = shutil.which("npm")
    assert found is not None
    return run(found, *command, cwd=cwd)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm pack` makes of the package."""
    folder = tmp_path_factory.mktemp("packed")
    # Another process of these tests may pack too, and packing writes into web/.
    with file_lock(Path(tempfile.gettempdir()) / "pyojeong-packing"):
        packed = json.loads(npm("pack", "--json", "--pack-destination", folder, cwd=REPOSITORY / "web"))
    return folder / str(packed[0]["filename"])


def install(archive: Path, folder: Path) -> Path:
    """Install the packed package into an empty project in a folder."""
    (folder / "package.json").write_text('{"name": "empty", "private": true, "type": "module"}')
    # Offline: the package brings nothing with it.
    flags = ("--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps")
    npm("install", *flags, archive, cwd=folder)
    return folder


@pytest.fixture
def page(request: pytest.FixtureRequest, tab: Tab, site: Site) -> Page:
    """An empty page of the site on which the test module's ``PRELUDE`` has run."""
    tab.page.goto(f"{site.origin}/blank.html")
    tab.page.evaluate(request.module.PRELUDE)
    return tab.page


def write_model(path: Path, *, outputs: int = 7, metadata: dict[str, str] | None = None, seed: int = 0) -> None:
    """Write a small network of the exported one's layers: patch -> 16 x 16 -> convolutions -> mean -> softmax."""
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> Any:
        return random.normal(0, 3 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    constants = {
        "colors": weights(16, 3, 3, 3),
        "places": weights(16, 1, 5, 5),
        "mix": weights(24, 16, 1, 1),
        "bias": weights(24),
        "dense": weights(outputs, 24) / 5,
        "dense_bias": np.zeros(outputs, np.float32),
        "gain": np.full((1, 3, 1, 1), 1 / 64, np.float32),
        "offset": np.full((1, 3, 1, 1), -2, np.float32),
        "side": np.array([3, 16, 16]),
        "zero": np.array([0]),
        "three": np.array([3]),
        "one": np.array([1]),
        "area": np.array([2, 3]),
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Slice", ["planes", "zero", "three", "one"], ["rgb"]),
        helper.make_node("Shape", ["rgb"], ["count"], start=0, end=1),
        helper.make_node("Concat", ["count", "side"], ["sizes"], axis=0),
        helper.make_node("Resize", ["rgb", "", "", "sizes"], ["small"], mode="linear", antialias=1, exclude_outside=1),
        helper.make_node("Cast", ["small"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["levels", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["pixels"]),
        helper.make_node("Conv", ["pixels", "colors"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("HardSwish", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "places"], ["c"], group=16, pads=[2, 2, 2, 2]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "mix", "bias"], ["e"]),
        helper.make_node("HardSwish", ["e"], ["f"]),
        helper.make_node("ReduceMean", ["f", "area"], ["features"], keepdims=0),
        helper.make_node("Gemm", ["features", "dense", "dense_bias"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", "C"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", outputs])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, FACTS if metadata is None else metadata)
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


class Oracle:
    """What the small model answers in Python."""

    def __init__(self, path: Path) -> None:
        self.classifier = Classifier(path)

    def __call__(
        self, image: Image.Image, box: tuple[float, float, float, float] | None, kind: str | None = None
    ) -> dict[str, float]:
        """Return the probabilities for a box (x, y, width, height), or for the whole image."""
        corners = box and (box[0], box[1], box[0] + box[2], box[1] + box[3])
        return self.classifier.predict(np.asarray(image.convert("RGB")), corners, box_kind=kind)


@pytest.fixture(scope="session")
def oracle(site: Site) -> Oracle:
    return Oracle(site.root / RUN / "k7_mnv3s_160.onnx")


def paint(width: int, height: int, seed: int = 0) -> Image.Image:
    """Paint a picture in which every place looks different, smooth enough for JPEG."""
    coarse = np.random.default_rng(seed).integers(0, 256, (18, 24, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def painter() -> Any:
    return paint


@pytest.fixture(scope="session")
def model_writer() -> Any:
    return write_model


@contextmanager
def demo_served(root: Path, model_dir: Path | None = None) -> Iterator[str]:
    """The origin at which the demo of a workspace, or with the models of a folder, is served."""
    with make_server(root, 0, model_dir=model_dir) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def origin(site: Any) -> Iterator[str]:
    with demo_served(site.root) as origin:
        yield origin


@pytest.fixture(scope="session")
def package_origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a demo with the package's own model."""
    with demo_served(tmp_path_factory.mktemp("empty")) as origin:
        yield origin


@pytest.fixture
def package_demo(tab: Any, package_origin: str) -> Any:
    tab.page.goto(package_origin + DEMO)
    tab.page.wait_for_function("() => window.api")
    return tab.page


@pytest.fixture
def demo(tab: Any, origin: str) -> Any:
    tab.page.goto(origin + DEMO)
    tab.page.wait_for_function("() => window.api")
    return tab.page


@pytest.fixture
def face(painter: Any, tmp_path: Path) -> Any:
    """A picture and the file it lies in."""
    image = painter(300, 200, seed=21)
    image.save(tmp_path / "face.png")
    return image, tmp_path / "face.png"
