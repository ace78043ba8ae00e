"""Names that the terminal cannot show: every result is printed, with escapes where it must be, and no work is lost."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from pyojeong.analysis.table import FaceTable
from pyojeong.data.prepare import prepare
from tests.archives import data_set, jpeg

NAMES = [
    "사진 😀 #1 50%25 & 'q'.jpg",
    "new\nline.jpg",
    "Mummé.jpg",
    unicodedata.normalize("NFD", "기쁨.jpg"),
    "-dash.jpg",
    "tab\there.jpg",
    'quote".jpg',
    "한자 漢字 ひらがな.jpg",
    "\u202egpj.abc.jpg",
    "‘“”’ – €.jpg",
    "🙂‍↔️ 👨‍👩‍👧.jpg",
    os.fsdecode("슬픔".encode("cp949") + b".jpg"),
]
CONSOLES = {
    "UTF-8": {"PYTHONIOENCODING": "utf-8"},
    "Western Windows": {"PYTHONIOENCODING": "cp1252"},
    "Korean Windows": {"PYTHONIOENCODING": "cp949"},
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "Korean Linux": {"LC_ALL": "ko_KR.UTF-8", "PYTHONIOENCODING": ""},
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    for name in NAMES:
        (folder / name).write_bytes(jpeg())
    return folder


def run(folder: Path, console: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pyojeong", *words]
    return subprocess.run(command, cwd=folder, env={**os.environ, **CONSOLES[console]}, capture_output=True)


@pytest.mark.parametrize("console", CONSOLES)
def test_every_image_is_printed(photographs: Path, console: str) -> None:
    done = run(photographs, console, "analyze", "--", *NAMES, "missing 😀.jpg")
    encoding = CONSOLES[console]["PYTHONIOENCODING"] or "utf-8"
    shown = done.stdout.decode(encoding)
    assert (done.returncode, done.stderr.strip()) == (3, b"not read, or not to the end: 1 missing")
    assert shown.count(": 96x80, 0 face(s)") == len(NAMES)
    assert shown.count("no such file") == 1


@pytest.mark.parametrize("console", CONSOLES)
def test_json_stays_json_with_the_very_names(photographs: Path, console: str) -> None:
    done = run(photographs, console, "faces", "--json", "--", *NAMES)
    encoding = CONSOLES[console]["PYTHONIOENCODING"] or "utf-8"
    assert (done.returncode, done.stderr) == (0, b"")
    assert [json.loads(line)["image"] for line in done.stdout.decode(encoding).splitlines()] == NAMES


@pytest.mark.parametrize("name", ["faces.parquet", "faces.csv", "faces.jsonl"])
def test_a_table_holds_every_name(photographs: Path, name: str) -> None:
    done = run(photographs, "Western Windows", "analyze", "--out", name, "--", *NAMES)
    assert (done.returncode, done.stderr) == (0, b"")
    found = FaceTable.read(photographs / name).to_polars()["source"].to_list()
    (photographs / name).unlink()
    assert found == [known.encode(errors="backslashreplace").decode() for known in NAMES]


def test_a_workspace_of_any_name_is_prepared_on_any_console(tmp_path: Path) -> None:
    root = tmp_path / "작업 😀 é"
    data_set(root / "set", people=8)
    done = run(root, "Western Windows", "prepare", "set")
    assert done.returncode == 0, done.stderr
    assert b'"kept": 112' in done.stdout
    again = prepare(root / "set", root)
    assert again.crops_made == 0


def test_a_source_whose_name_is_no_text_is_told(tmp_path: Path) -> None:
    name = os.fsdecode("사진".encode("cp949"))
    data_set(tmp_path / name, people=2)
    done = run(tmp_path, "UTF-8", "prepare", name)
    assert done.returncode == 2
    assert b"its name is in an unknown encoding; rename it" in done.stderr
