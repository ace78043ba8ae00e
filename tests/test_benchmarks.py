"""The benchmarks that need data: what they say where it is missing or damaged, run as a user runs them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("script", "arguments", "missing"),
    [
        ("robustness.py", ["--csv", "faces.csv"], "faces.csv"),
        ("portraits.py", ["--data", "nowhere"], "nowhere/london_as_aihub"),
        ("framing.py", ["register", "--data", "nowhere"], "nowhere/rafdb.zip"),
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


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("path,label\na.jpg,happy\n")
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x09")
    done = run("robustness.py", "--csv", "faces.csv", "--model", "cut.onnx", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cut.onnx" in done.stderr


def run(script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / script), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
