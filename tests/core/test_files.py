import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from pyojeong.core.errors import InputError
from pyojeong.core.files import (
    alone_in,
    cache_folder,
    read_json,
    relative_path,
    remove_leftovers,
    similar_file,
    text_of,
    whole_file,
    write_json,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    target = tmp_path / "table.csv"
    write_text(target, "old")
    with pytest.raises(TypeError), whole_file(target) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    target = tmp_path / "table.csv"
    write_text(target, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            write_text(target, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_new_files_have_ordinary_permissions(tmp_path):
    mask = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_json_keeps_hangul_readable(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"기쁨": 1})
    assert "기쁨" in (tmp_path / "a" / "b.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "a" / "b.json") == {"기쁨": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_broken_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data_raw/a.jpg", "data_raw/a.jpg"),
        ("./a.jpg", "a.jpg"),
        ("a\\b.jpg", "a/b.jpg"),
        ("data_raw/[원천] x.zip!/사람_기쁨.jpg", "data_raw/[원천] x.zip!/사람_기쁨.jpg"),
        ("../a.jpg", None),
        ("a/../../b.jpg", None),
        ("a\\..\\b.jpg", "b.jpg"),
        ("x/../0.jpg", "0.jpg"),
        ("a.zip!/x/../0.jpg", "a.zip!/0.jpg"),
        ("a.zip!/../0.jpg", None),
        ("x/..", None),
        ("/etc/passwd", None),
        ("C:\\a.jpg", None),
        ("//server/share/a.jpg", None),
        ("", None),
        (".", None),
        ("a\0b.jpg", None),
    ],
)
def test_relative_path(tmp_path, text, expected):
    assert relative_path(text, tmp_path) == expected


def test_an_absolute_path_below_the_root_becomes_relative(tmp_path):
    assert relative_path(str(tmp_path / "x" / "a.jpg"), tmp_path) == "x/a.jpg"


@given(st.text())
def test_no_text_leads_outside(tmp_path_factory, text):
    root = tmp_path_factory.getbasetemp()
    found = relative_path(text, root)
    if found is not None:
        assert (root / found).resolve().is_relative_to(root.resolve())


def test_a_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    folder.mkdir(parents=True)
    (folder / ".lock").write_text("of another program")
    with alone_in(folder):
        assert folder.is_dir()
        with pytest.raises(InputError, match=r"new/folder: another run is using it"), alone_in(folder):
            pytest.fail("let in")
        with alone_in(tmp_path / "other"):
            pass
    with alone_in(folder):
        pass
    assert [*folder.iterdir()] == [folder / ".lock"], "the lock leaves nothing behind and removes no other file"


def test_a_killed_run_keeps_nobody_out(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from pyojeong.core.files import alone_in\n"
    code += "with alone_in(Path(sys.argv[1])): print('in', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        with pytest.raises(InputError, match="another run"), alone_in(tmp_path):
            pytest.fail("let in")
        process.kill()
        process.wait()
        with alone_in(tmp_path):
            pass


def test_without_locks_every_run_is_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileLock, "acquire", Mock(side_effect=NotImplementedError("no flock")))
    with alone_in(tmp_path), alone_in(tmp_path):
        assert tmp_path.is_dir()


def test_leftovers_are_removed_and_files_of_a_live_run_stay(tmp_path: Path) -> None:
    leftover, other = tmp_path / ".b.npy.0.part", tmp_path / ".c.txt.0.part"
    for file in (leftover, other):
        file.write_bytes(b"half")
    with whole_file(tmp_path / "a.npy", locked=True) as output:
        output.write(b"whole")
        remove_leftovers(tmp_path / "*.npy")
        assert not leftover.exists()
    assert (tmp_path / "a.npy").read_bytes() == b"whole"
    assert {path.name for path in tmp_path.iterdir()} == {"a.npy", other.name}


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is Linux's convention")
def test_the_cache_is_in_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache/pyojeong"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache/pyojeong"


@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-le", "utf-32-be", "utf-16", "utf-16-le", "utf-8-sig", "cp949"])
def test_text_is_decoded(encoding: str) -> None:
    for text in ("path,label\n사진/1.jpg,기쁨\n", "기쁨,1\n" * 3000):
        assert text_of(text.encode(encoding)) == text
    if encoding.startswith("utf-32"):
        with pytest.raises(ValueError, match="damaged UTF-32"):
            text_of("path,label\n".encode(encoding) + b"\xff")


def test_a_file_is_found_by_nearly_its_name(tmp_path):
    for name in ("p/00.jpg", "p/01.v2.png", "q/a/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert similar_file(tmp_path, "P/00.JPG") == similar_file(tmp_path, "p/00") == tmp_path / "p/00.jpg"
    assert similar_file(tmp_path, "p/01.V2") == tmp_path / "p/01.v2.png"
    for other in ("00.jpg", "p", "p/00.png", "q/A", "p/00.jpg/x", "none/00.jpg"):
        assert similar_file(tmp_path, other) is None
