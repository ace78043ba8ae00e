"""The package as a pip user gets it: built, installed beside nothing but its own dependencies, and used."""

import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image

from pyojeong.detection.graph import write_graph
from pyojeong.faceapi.nets import write_graphs
from pyojeong.sample.drawing import draw_face
from tests.conftest import REPOSITORY

MODEL_FILES = ("basic7_mnv3s_160_8bit.onnx", "classes.json")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as ``make wheel`` builds it, from a copy, so that nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("copy")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    for name in tracked.decode().rstrip("\0").split("\0"):
        if name.startswith("src/") or "/" not in name:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((REPOSITORY / name).read_bytes())
    write_graph(copy / "src" / "pyojeong" / "detection")
    write_graphs(copy / "src" / "pyojeong" / "faceapi" / "graphs")
    models = copy / "src" / "pyojeong" / "pretrained"
    models.mkdir(exist_ok=True)
    for name in MODEL_FILES:
        if not (models / name).exists():
            (models / name).write_bytes(b"stands in for a model that is still to be trained")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        "dist",
        ".",
    ]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    return next((copy / "dist").glob("*.whl"))


def test_the_wheel_carries_what_its_commands_need(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        license = archive.read("pyojeong/faceapi/graphs/LICENSE-face-api").decode()
        notice = archive.read("pyojeong/detection/LICENSE-blazeface").decode()
    graphs = [name for name in names if name.startswith("pyojeong/faceapi/") and name.endswith(".onnx")]
    assert len(graphs) == 2
    assert "MIT" in license
    assert "Permission is hereby granted" in license
    assert "pyojeong/detection/blazeface.onnx" in names
    assert "Apache License" in notice
    for name in ("pyojeong/py.typed", "pyojeong/experiments.toml", "pyojeong/faceapi/node/referee.mjs"):
        assert name in names
    assert {name for name in names if name.startswith("pyojeong/pretrained/")} >= {
        f"pyojeong/pretrained/{name}" for name in MODEL_FILES
    }
    assert not [name for name in names if name.startswith("tests/")]


def test_the_installed_wheel_finds_a_face_without_node_and_without_extras(wheel: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", tmp_path / "site", wheel],
        check=True,
        capture_output=True,
    )
    Image.fromarray(draw_face("중립", 1)[0]).save(tmp_path / "face.png")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "for name in ('polars', 'onnx', 'tflite', 'torch', 'scipy'): sys.modules[name] = None\n"
        "import pyojeong; print(pyojeong.__file__)\n"
        "from pyojeong.cli.main import main; sys.argv = ['pyojeong', sys.argv[1], 'face.png']; main()"
    )
    environment = {"PATH": "", "HOME": str(tmp_path)}
    for command in ("faces", "analyze"):
        done = subprocess.run(
            [sys.executable, "-c", code, command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(str(tmp_path / "site"))
        assert "1 face(s)" in done.stdout


def test_the_small_installation_stays_small() -> None:
    always = [line for line in requires("pyojeong") or [] if "extra ==" not in line]
    packages = ["filelock", "numpy", "onnxruntime", "pillow", "platformdirs", "rich", "simplejpeg", "typer"]
    assert sorted(always) == packages
