"""``prepare`` under kills, full disks, damaged archives and dying workers: the rest is done, every loss is counted."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pyojeong.cli.main import main
from pyojeong.core.files import read_json, write_bytes
from pyojeong.core.workspace import CROP_FILES, CROP_JOURNAL, SUMMARY
from pyojeong.data import crop_files
from pyojeong.data import prepare as module
from pyojeong.data.prepare import prepare
from tests.archives import contents, data_set

PROGRAM = """
import sys; from pathlib import Path; from pyojeong.data.prepare import prepare
prepare(Path(sys.argv[1]), Path(sys.argv[2]), workers=int(sys.argv[3]))
"""


def files_in(root: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(root / "data_shared"))


def children_of(process: int) -> list[str]:
    """The ids of a process's children, where the system lists them."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    return listed.read_text().split() if listed.exists() else []


def call(monkeypatch: pytest.MonkeyPatch, source: Path, root: Path, *flags: str) -> int | str | None:
    """Run ``pyojeong prepare`` in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["pyojeong", "prepare", str(source), "--project-root", str(root), *flags])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code


@pytest.mark.slow
def test_a_run_that_is_killed_at_ten_random_moments_ends_with_the_same_bytes(tmp_path: Path) -> None:
    source, root, undisturbed = data_set(tmp_path / "set"), tmp_path / "killed", tmp_path / "undisturbed"
    prepare(source, undisturbed)
    total = files_in(undisturbed)
    seed = random.randrange(1_000_000)
    print("seed", seed)  # shown when the test fails
    dice = random.Random(seed)
    # Moments are counted in files, so that none is wasted on starting Python. Two of them hit the tables at the end.
    moments = sorted([dice.randrange(281) for _ in range(8)] + [dice.randrange(281, total) for _ in range(2)])
    for number, enough in enumerate(moments):
        with subprocess.Popen([sys.executable, "-c", PROGRAM, source, root, str(number % 2 + 1)]) as process:
            while process.poll() is None and files_in(root) < enough:
                time.sleep(0.002)
            time.sleep(dice.random() / 50)
            children = children_of(process.pid)
            process.kill()
        while any(Path(f"/proc/{child}").exists() for child in children):
            time.sleep(0.05)  # a worker that outlived its parent would end this test by its time limit
    prepare(source, root)
    assert contents(root) == contents(undisturbed)


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_half_way_makes_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(crop_files, "_CHUNK", 4)
    source, root, undisturbed = data_set(tmp_path / "set", 10, (900, 700)), tmp_path / "lost", tmp_path / "undisturbed"
    prepare(source, undisturbed)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        victim = cluster.workers[0].pid
        seen: list[int] = []

        def kill_half_way() -> None:
            while len(list((root / CROP_FILES).glob("*/*.jpg"))) < 50:
                time.sleep(0.001)
            os.kill(victim, signal.SIGKILL)
            seen.append(len(crop_files.read_journal(root / CROP_JOURNAL)))

        killer = threading.Thread(target=kill_half_way, daemon=True)
        killer.start()
        summary = prepare(source, root, scheduler=cluster.scheduler_address)
        killer.join(10)
    assert seen, "the worker was killed"
    assert seen[0] < 140, "while there was work left"
    assert summary.crops_made == 140
    assert contents(root) == contents(undisturbed)


@pytest.mark.parametrize("what", ["truncated", "no zip", "label file"])
def test_the_rest_of_a_damaged_download_is_prepared_with_exit_code_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    source = data_set(tmp_path / "set", 4)
    broken = source / ("[라벨]EMOIMG_슬픔_TRAIN.zip" if what == "label file" else "[원천]EMOIMG_슬픔_TRAIN_01.zip")
    if what == "label file":
        with zipfile.ZipFile(broken, "w") as archive:
            archive.writestr("labels.json", '[{"filename": ')
    else:
        broken.write_bytes(broken.read_bytes()[:2000] if what == "truncated" else b"<html>please log in</html>" * 99)
    assert call(monkeypatch, source, tmp_path) == 2
    error = capsys.readouterr().err
    assert broken.name in error
    assert "--skip-unreadable" in error
    assert not (tmp_path / "data_shared").exists()

    for _ in range(2):  # the second run has nothing to do and still says it
        assert call(monkeypatch, source, tmp_path, "--skip-unreadable") == 3
        shown = capsys.readouterr()
        assert f"incomplete: 1 unreadable_{'json' if what == 'label file' else 'archive'}" in shown.err
        assert '"kept": 48' in shown.out
    summary = read_json(tmp_path / SUMMARY)
    assert len(summary["unreadable"]) == 1
    assert summary["unreadable"][0].startswith(f"set/{broken.name}")


def test_an_unfinished_download_gives_exit_code_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = data_set(tmp_path / "set", 1)
    part = source / "[원천]EMOIMG_기쁨_TRAIN_02.zip.part"
    for size in (100, 200):  # it grows, and the second run still has nothing to do
        part.write_bytes(bytes(size))
        assert call(monkeypatch, source, tmp_path) == 3
        shown = capsys.readouterr()
        assert "incomplete: 1 unfinished_download" in shown.err
    assert '"crops_made": 0' in shown.out
    assert part.name in read_json(tmp_path / SUMMARY)["unreadable"][0]


def test_a_hole_in_an_archive_loses_only_the_photographs_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data_set(tmp_path / "set", 4)
    path = source / "[원천]EMOIMG_기쁨_TRAIN_01.zip"
    with zipfile.ZipFile(path) as archive:
        starts = [info.header_offset for info in archive.infolist()]
    data = bytearray(path.read_bytes())
    data[starts[2] + 10 : starts[5]] = bytes(starts[5] - starts[2] - 10)
    path.write_bytes(data)
    assert call(monkeypatch, source, tmp_path) == 0
    summary = read_json(tmp_path / SUMMARY)
    assert summary["drops"] == {"corrupt_image": 3}
    assert summary["kept"] == 53


def test_an_archive_that_breaks_while_prepare_runs_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data_set(tmp_path / "set", 4)
    broken = source / "[원천]EMOIMG_기쁨_TRAIN_01.zip"
    real = crop_files.make_crops

    whole, times = broken.read_bytes(), (broken.stat().st_atime_ns, broken.stat().st_mtime_ns)

    def break_first(*args: Any, **options: Any) -> Any:
        broken.write_bytes(b"gone")
        return real(*args, **options)

    monkeypatch.setattr(crop_files, "make_crops", break_first)
    assert call(monkeypatch, source, tmp_path) == 3
    assert read_json(tmp_path / SUMMARY)["drops"] == {"lost_archive": 8}
    monkeypatch.setattr(crop_files, "make_crops", real)
    broken.write_bytes(whole)
    os.utime(broken, ns=times)
    assert call(monkeypatch, source, tmp_path) == 0, "the same files as before, but now they can be read"
    assert read_json(tmp_path / SUMMARY)["drops"] == {}


@pytest.mark.parametrize("full_at", ["crops", "tables"])
def test_a_full_disk_gives_exit_code_2_and_the_next_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], full_at: str
) -> None:
    source, root, undisturbed = data_set(tmp_path / "set", 4), tmp_path / "full", tmp_path / "undisturbed"

    def full(first: Any, second: Any) -> None:
        path = first if isinstance(first, Path) else second
        if "val_K7.csv" in path.name or len(list((root / CROP_FILES).glob("*/*.jpg"))) > 30:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_bytes(first, second)

    if full_at == "crops":
        monkeypatch.setattr(crop_files, "write_bytes", full)
    else:
        monkeypatch.setattr(module, "write_csv", full)
    assert call(monkeypatch, source, root) == 2
    assert "No space left on device; free some space and run the same command again" in capsys.readouterr().err
    assert not (root / SUMMARY).exists()
    assert crop_files.existing_crops(root)
    monkeypatch.undo()
    assert call(monkeypatch, source, root) == 0
    prepare(source, undisturbed)
    assert contents(root) == contents(undisturbed)
