"""The benchmarks that need data: what they say where it is missing or damaged, run as a user runs them."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("script", "arguments", "missing"),
    [
        ("robustness.py", ["--csv", "faces.csv"], "faces.csv"),
        ("portraits.py", ["--data", "nowhere"], "nowhere/london_as_aihub"),
        ("framing.py", ["register", "--data", "nowhere"], "nowhere/rafdb.zip"),
        ("framing.py", ["points", "--data", "nowhere"], "nowhere/scut_asian.zip"),
        ("detector.py", ["--data", "nowhere"], "nowhere/scut_asian.zip"),
        ("detector.py", ["tilts", "--data", "nowhere"], "nowhere/london_as_aihub"),
        ("jitter.py", ["--data", "nowhere"], "nowhere/london_as_aihub"),
        ("tracking.py", ["--data", "nowhere"], "nowhere/london_as_aihub"),
    ],
)
def test_a_missing_file_is_one_line_and_no_traceback(
    script: str, arguments: list[str], missing: str, tmp_path: Path
) -> None:
    done = run(script, *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert missing in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_model_and_a_missing_picture_are_named(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("path,label\na.jpg,happy\n")
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x09")
    for model, named in ((["--model", "cut.onnx"], "cut.onnx"), ([], "a.jpg: no such image file")):
        done = run("robustness.py", "--csv", "faces.csv", *model, folder=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert named in done.stderr


def test_a_chain_that_finds_no_face_is_a_row(tmp_path: Path) -> None:
    Image.new("RGB", (100, 100), "gray").save(tmp_path / "a.png")
    (tmp_path / "faces.csv").write_text("path,label\na.png,happy\n")
    done = run("robustness.py", "--csv", "faces.csv", folder=tmp_path)
    assert done.returncode == 0
    assert "| chain, a face not found is wrong | 1 | 0.00 (0.0-79.3) " in done.stdout


def test_a_damaged_archive_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "rafdb.zip").write_bytes(b"PK\x03\x04")
    done = run("framing.py", "register", "--data", ".", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_the_tracks_of_a_clip_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    tracking = importlib.import_module("tracking")
    happy, sad = np.array([0.9, 0.1], np.float32), np.array([0.4, 0.6], np.float32)
    near, far = (0.0, 0.0, 10.0, 10.0), (500.0, 0.0, 510.0, 10.0)
    # An actor that stays and changes its label twice, and one that jumps once.
    clip = [
        tracking.Seen(0.04 * number, [near, far if number < 3 else (900.0, 0.0, 910.0, 10.0)], [one, happy], [0, 1], 2)
        for number, one in enumerate([happy, sad, happy, happy, happy])
    ]
    assert tracking.count(clip) == (10, 10)
    switches, flips, minutes = tracking.counted(clip, 0.0)
    assert (switches, flips, minutes) == (1, 2, pytest.approx(10 / 25 / 60))
    assert tracking.counted(clip, 1.0)[1] == 0, "averages keep the label"


def run(script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / script), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
