from pathlib import Path

import pytest
from PIL import Image

from pyojeong.analysis.reading import Options, Reader
from tests.analysis.clips import face, write_film
from tests.test_classifier import FACTS, write_means


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network that answers with the mean of each channel, as probabilities of red, green and blue."""
    return write_means(tmp_path / "means.onnx", FACTS | {"margin": "0.15"})


@pytest.fixture
def holiday(tmp_path: Path) -> Path:
    """A folder with two drawn faces, a picture without one, a damaged file, and a film of a face."""
    folder = tmp_path / "holiday"
    folder.mkdir()
    Image.fromarray(face(6)).save(folder / "1.png")
    Image.fromarray(face(3)).save(folder / "2.jpg")
    Image.new("RGB", (60, 40), (90, 90, 90)).save(folder / "nobody.png")
    (folder / "damaged.jpg").write_bytes(b"?")
    write_film(folder / "film.mp4", [face(6)] * 6 + [face(3)] * 6)
    return folder


@pytest.fixture
def reader(model: Path) -> Reader:
    return Reader(Options(model, threads=1))
