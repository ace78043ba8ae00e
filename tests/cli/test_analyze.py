import json
import resource
import signal
from inspect import signature
from pathlib import Path
from unittest.mock import Mock

import polars as pl
import pytest
from PIL import Image

from pyojeong.analysis import reading
from pyojeong.analysis.table import FaceTable
from pyojeong.analysis.tracking import HALF_LIFE
from pyojeong.cli.analyze import analyze
from pyojeong.core.files import whole_file
from pyojeong.detection.detector import MIN_FACE
from tests.analysis.clips import face, write_film
from tests.cli.test_commands import call
from tests.test_classifier import FACTS, write_means

pytestmark = pytest.mark.heavy


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a model, two pictures, a damaged one and a film."""
    monkeypatch.chdir(tmp_path)
    write_means(tmp_path / "means.onnx", FACTS | {"margin": "0.15"})
    (tmp_path / "holiday").mkdir()
    Image.fromarray(face(6)).save("holiday/1.png")
    Image.new("RGB", (60, 40)).save("holiday/nobody.png")
    Path("holiday/damaged.jpg").write_bytes(b"?")
    write_film(tmp_path / "film.mp4", [face(6)] * 5)
    return tmp_path


def test_faces_are_printed(monkeypatch, capsys, place):
    code, out, err = call(monkeypatch, capsys, "analyze", "holiday", "film.mp4", "gone.jpg", "--model", "means.onnx")
    assert code == 3
    lines = out.splitlines()
    assert lines[0] == "holiday/1.png: 240x320, 1 face(s)"
    assert lines[3] == "holiday/damaged.jpg: not an image in a supported format; convert it to JPEG or PNG"
    assert lines[4] == "holiday/nobody.png: 60x40, 0 face(s)"
    assert lines[5].startswith("film.mp4 0.00 s: 1 red ")
    assert lines[9].startswith("film.mp4 0.40 s: 1 red ")
    assert lines[10] == "gone.jpg: no such file"
    assert err == "not read, or not to the end: 1 not_an_image, 1 missing\n"


def test_faces_are_printed_as_json(monkeypatch, capsys, place):
    code, out, _ = call(monkeypatch, capsys, "analyze", "holiday/1.png", "film.mp4", "--json", "--model", "means.onnx")
    picture, *frames = map(json.loads, out.splitlines())
    assert code == 0
    assert list(picture) == ["source", "width", "height", "faces"]
    assert [list(frame) for frame in frames] == [["source", "frame", "time_s", "width", "height", "faces"]] * 5
    assert frames[1]["time_s"] == pytest.approx(0.1)
    assert list(picture["faces"][0]) == ["id", "box", "score", "landmarks", "label", "unsure", "emotions"]


def test_a_table_annotated_copies_a_summary_and_a_plot(monkeypatch, capsys, place):
    words = ["holiday/", "film.mp4", "--out", "faces.parquet", "--annotate", "out", "--labels", "en"]
    code, out, err = call(monkeypatch, capsys, "analyze", *words, "--model", "means.onnx")
    assert code == 3
    assert "faces.parquet: 8 rows; now read 7 pictures and frames, 6 faces" in out
    assert "film.mp4" in out
    assert "red 100 %" in out
    assert err.splitlines() == [
        "holiday/damaged.jpg: not an image in a supported format; convert it to JPEG or PNG",
        "not read, or not to the end: 1 not_an_image",
    ]
    copies = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*.*"))
    assert copies == ["film.mp4", "holiday/1.png", "holiday/nobody.png"]
    code, out, _ = call(monkeypatch, capsys, "summary", "faces.parquet", "--plot", "plot.png", "--out", "summary.csv")
    assert code == 0
    assert "red 100 %" in out
    assert Image.open("plot.png").format == "PNG"
    assert pl.read_csv("summary.csv")["source"].to_list() == ["film.mp4", "photographs"]


def test_of_many_problems_the_first_are_shown(monkeypatch, capsys, place):
    for number in range(30):
        Path(f"holiday/bad{number}.jpg").write_bytes(b"?")
    code, _, err = call(monkeypatch, capsys, "analyze", "holiday", "--out", "faces.csv", "--model", "means.onnx")
    assert (code, len(err.splitlines())) == (3, 11)
    assert err.splitlines()[-1] == "not read, or not to the end: 31 not_an_image"


def test_a_copy_in_place_of_its_picture_is_refused_and_rows_stay(monkeypatch, capsys, place):
    words = ["holiday/nobody.png", "holiday/1.png", "--annotate", "holiday", "--out", "faces.csv"]
    code, _, err = call(monkeypatch, capsys, "analyze", *words, "--model", "means.onnx")
    assert (code, err.count("\n")) == (2, 1)
    assert "would replace the picture itself" in err


def test_a_full_disk_keeps_the_rows_and_says_so(monkeypatch, capsys, place):
    def full(path, **options):
        if path.name == "faces.csv":
            raise OSError(28, "No space left on device", str(path))
        return whole_file(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr("pyojeong.analysis.parts.whole_file", full)
        code, _, err = call(monkeypatch, capsys, "analyze", "holiday", "--out", "faces.csv", "--model", "means.onnx")
    assert code == 2
    assert err.splitlines()[-1].startswith("error: faces.csv: no space left. Finished work is intact")
    read = Mock(side_effect=reading._picture)
    monkeypatch.setattr(reading, "_picture", read)
    assert call(monkeypatch, capsys, "analyze", "holiday", "--out", "faces.csv", "--model", "means.onnx")[0] == 3
    assert not read.called
    assert len(FaceTable.read("faces.csv")) == 3


@pytest.mark.parametrize("name", ["faces.parquet", "faces.csv", "faces.jsonl"])
def test_a_disk_that_fills_while_the_table_is_written_is_one_line(monkeypatch, capsys, place, name):
    write_film(place / "long.mp4", [face(6)] * 60)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, hard))
    try:
        code, _, err = call(monkeypatch, capsys, "analyze", "long.mp4", "--out", name, "--model", "means.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert code == 2
    assert err.count("\n") == 1
    assert "no space left" in err
    assert not Path(name).exists()


def test_the_defaults_are_those_of_the_library():
    defaults = {name: parameter.default for name, parameter in signature(analyze).parameters.items()}
    assert (defaults["min_face"], defaults["half_life"]) == (MIN_FACE, HALF_LIFE)
