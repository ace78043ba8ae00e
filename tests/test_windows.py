"""Every stage as on Windows, imitated by ``tests/windows.py``: with several processes, which are started by spawn."""

import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import polars as pl
import pytest

from pyojeong.core.files import path_below
from pyojeong.core.images import split_path
from pyojeong.core.table import read_csv
from tests.archives import data_set
from tests.conftest import REPOSITORY

LONGEST = 150
"""Longest path below the project root that we choose, in characters; docs/windows.md tells how long a root may be."""

# In Python's UTF-8 mode no text file would have the encoding of the system.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "0"}

SPLITS = "data_shared/splits_csv"
CROPS = "data_shared/cropped_faces_csv"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose ``sitecustomize`` makes every Python process behave as on Windows."""
    folder = tmp_path_factory.mktemp("site")
    code = f"import sys\nsys.path.append({str(REPOSITORY)!r})\nfrom tests.windows import imitate\nimitate()\n"
    (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
    return folder


def run(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(site), "PYTHONIOENCODING": "cp949"}
    command = [sys.executable, "-m", "pyojeong", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="cp949")


def done(site: Path, folder: Path, *words: str) -> str:
    """Run a command that must end well; return what it printed."""
    result = run(site, folder, *words)
    assert result.returncode == 0, f"{words}: {result.stdout}{result.stderr}"
    return result.stdout


def test_the_imitation_is_one(site: Path, tmp_path: Path) -> None:
    code = """
import os, pathlib, mmap
pathlib.Path("a").write_bytes(b"abc")
def refused(act):
    try: act()
    except OSError: return True
    return False
with open("a", "rb") as file:
    print(refused(lambda: os.unlink("a")), refused(lambda: os.replace("a", "b")))
    view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
print(refused(lambda: pathlib.Path("a").unlink()))
view.close()
print(refused(lambda: pathlib.Path("l").symlink_to("a")), refused(lambda: open("a:b", "w")), hasattr(os, "fork"))
pathlib.Path("t").write_text("사진")
print(len(pathlib.Path("t").read_bytes()), refused(lambda: os.unlink("a")))
"""
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(site)}
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert shown.stdout.split() == ["True"] * 5 + ["False", "4", "False"], shown.stderr


def edit_as_on_windows(csv: Path) -> None:
    """Save a table as Korean Excel does, with backslashes in its paths."""
    table = read_csv(csv).with_columns(pl.col("path").str.replace_all("/", "\\"))
    csv.write_bytes(table.head(60).write_csv(separator=";").encode("cp949"))


def check_names(root: Path) -> None:
    """Check that nothing half-written is left, and that no path of ours is too long for Windows."""
    names = [path.relative_to(root).as_posix() for path in root.rglob("*")]
    assert not [path for path in names if path.endswith(".part")]
    assert max(len(path) for path in names if not path.startswith("data_raw")) <= LONGEST


@pytest.mark.heavy
def test_photographs_are_prepared_and_evaluated_by_several_processes(site: Path, tmp_path: Path) -> None:
    """Each stage twice, because the second run replaces or reuses files of the first."""
    root = tmp_path / "작업 공간"
    data_set(root / "data_raw" / "set", people=12)
    done(site, root, "prepare", "data_raw/set", "--workers", "2")
    done(site, root, "prepare", "data_raw/set", "--workers", "2", "--seed", "7")
    edit_as_on_windows(root / SPLITS / "test_M1.csv")
    for _ in range(2):
        done(site, root, "baseline", "--csv", f"{SPLITS}/test_M1.csv", "--workers", "2")
    shown = done(site, root, "evaluate", "--csv", f"{SPLITS}/test_M1.csv", "--workers", "2")
    assert '"unreadable": {}' in shown
    check_names(root)


@pytest.mark.slow
def test_a_model_is_trained_exported_and_reported(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "작업 공간"
    data_set(root / "data_raw" / "set")
    done(site, root, "prepare", "data_raw/set")
    for split in ("train", "val", "test"):
        edit_as_on_windows(root / CROPS / f"{split}_K7.csv")
    train = ["train", "--out", "models/mobilenetv3_classifier/runs/finetune_K7_160", "--weights", "random"]
    train += [word for split in ("train", "val", "test") for word in (f"--{split}-csv", f"{CROPS}/{split}_K7.csv")]
    for epochs in ("1", "2"):
        done(site, root, *train, "--epochs", epochs, "--batch", "30", "--allow-empty-class")
        done(site, root, "export")
        done(site, root, "report")
        done(site, root, "report", "--run", "models/mobilenetv3_classifier/runs/finetune_K7_160")
    check_names(root)


@pytest.mark.heavy
def test_the_sample_is_drawn_by_several_processes(site: Path, tmp_path: Path) -> None:
    shown = done(site, tmp_path, "sample", "--out", "sample", "--people", "6", "--workers", "2")
    assert '"people": 6' in shown
    assert ["sample", "Training", "[라벨]EMOIMG_기쁨_TRAIN.zip"][-1] in shown


def test_data_outside_the_root_need_no_symbolic_link(site: Path, tmp_path: Path) -> None:
    """Where no link can be made, one line says what to do; on Windows a junction is made instead, see the next test."""
    root = tmp_path / "root"
    root.mkdir()
    data_set(tmp_path / "elsewhere", people=8)
    refused = run(site, root, "prepare", "../elsewhere")
    assert refused.returncode == 2
    assert "move the data below the project root, or choose another --project-root" in refused.stderr
    assert done(site, tmp_path, "prepare", "elsewhere", "--project-root", ".").count("kept")


def test_windows_makes_a_junction_where_it_allows_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyojeong.core import files

    made = []

    class System:
        name = "nt"

    class WinApi:
        @staticmethod
        def CreateJunction(target: str, link: str) -> None:  # noqa: N802 (Windows' own name)
            if "bad" in link:
                raise OSError(1, "Incorrect function")  # as on a network drive
            made.append((target, link))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(1314, "A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    monkeypatch.setattr(files, "os", System)
    monkeypatch.setitem(sys.modules, "_winapi", WinApi)
    files.link_folder(tmp_path / "a & b", tmp_path / "target")
    assert made == [(str(tmp_path / "target"), str(tmp_path / "a & b"))]
    with pytest.raises(OSError, match="Incorrect function"):
        files.link_folder(tmp_path / "bad", tmp_path / "target")


@pytest.mark.parametrize(
    ("text", "below"),
    [
        ("data\\a.jpg", "data/a.jpg"),
        ("data/a.jpg", "data/a.jpg"),
        ("C:\\Work\\표정\\data\\a.jpg", "data/a.jpg"),
        ("c:/work/표정/data/a.jpg", "data/a.jpg"),
        ("C:\\Work\\표정\\data_raw\\a.zip!/b.jpg", "data_raw/a.zip!/b.jpg"),
        (".\\a.jpg", "a.jpg"),
        ("D:\\Work\\표정\\a.jpg", None),
        ("C:a.jpg", None),
        ("\\a.jpg", None),
        ("..\\a.jpg", None),
        ("a\\..\\..\\b.jpg", None),
        ("\\\\server\\share\\a.jpg", None),
        ("C:\\Work", None),
        ("C:\\Work\\표정", None),
        ("", None),
    ],
)
def test_paths_with_drive_letters_and_backslashes(text: str, below: str | None) -> None:
    assert path_below(text, PureWindowsPath("C:\\Work\\표정")) == below


def test_a_share_can_be_the_root() -> None:
    root = PureWindowsPath("\\\\server\\share\\표정")
    assert path_below("\\\\server\\share\\표정\\a.jpg", root) == "a.jpg"
    assert path_below("\\\\server\\other\\a.jpg", root) is None


@pytest.mark.parametrize("path", ["C:\\x\\a.zip!\\folder\\b.jpg", "C:\\x\\a.zip!/folder/b.jpg"])
def test_members_of_archives_with_backslashes(path: str) -> None:
    assert split_path(path) == ("C:\\x\\a.zip", "folder/b.jpg")


@pytest.mark.heavy
def test_paths_of_more_than_260_characters(tmp_path: Path) -> None:
    root = tmp_path.joinpath(*(f"아주 긴 폴더 이름 {'x' * 60} {number}" for number in range(4)))
    data_set(root / "data_raw" / "set", people=8)
    assert len(str(root)) > 320
    for words in (["prepare", "data_raw/set", "--workers", "2"], ["baseline", "--csv", f"{SPLITS}/test_M1.csv"]):
        result = subprocess.run([sys.executable, "-m", "pyojeong", *words], cwd=root, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
