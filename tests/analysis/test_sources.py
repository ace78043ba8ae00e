import os
import sys
import zipfile
from pathlib import Path

import pytest

from pyojeong.analysis.sources import find_sources, natural_key


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names(*words: object, **options: Path) -> list[str]:
    return [source.path for source in find_sources([str(word) for word in words], **options)]


def test_a_folder_is_searched_in_natural_order(tmp_path: Path) -> None:
    make(
        tmp_path,
        "10.jpg",
        "2.JPG",
        "notes.txt",
        ".hidden.jpg",
        "b/1.png",
        "b/c/사진.heic",
        "a/film.MP4",
        "__MACOSX/x.jpg",
    )
    expected = ["2.JPG", "10.jpg", "a/film.MP4", "b/1.png", "b/c/사진.heic"]
    found = find_sources([tmp_path])
    assert [source.path for source in found] == [str(tmp_path / name) for name in expected]
    assert [source.kind for source in found] == ["photograph", "photograph", "film", "photograph", "photograph"]
    assert [source.place for source in found] == [f"{tmp_path.name}/{name}" for name in expected]


def test_numbers_sort_as_numbers_and_both_forms_of_hangul_alike() -> None:
    words = ["IMG_10", "img_9", "IMG_009b", "²", "각10", "각9"]
    assert sorted(words, key=natural_key) == ["img_9", "IMG_009b", "IMG_10", "²", "각9", "각10"]


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links")
def test_symbolic_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    make(tmp_path, "in/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/self").symlink_to("self")
    (tmp_path / "in/other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/again").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "in") == [f"{tmp_path}/in/a.jpg", f"{tmp_path}/in/again/b.jpg"]


def test_patterns_archives_and_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "a1.jpg", "a2.jpg", "b/a3.jpg", "b/deep/a4.jpg", "[odd].jpg")
    with zipfile.ZipFile("x.zip", "w") as archive:
        for name in ("10.jpg", "9.jpg", "film.mov", "읽기.txt", "../up.png", ".hid/den.jpg"):
            archive.writestr(name, b"x")
    assert names("a*.jpg") == ["a1.jpg", "a2.jpg"]
    assert names("**/a*.jpg") == ["a1.jpg", "a2.jpg", "b/a3.jpg", "b/deep/a4.jpg"]
    assert names("[odd].jpg") == ["[odd].jpg"], "a file that exists is no pattern"
    archived = find_sources(["x.zip", "x.zip!/any.dat"])
    assert [source.path for source in archived] == [
        *(f"x.zip!/{name}" for name in ("9.jpg", "10.jpg", "film.mov")),
        "x.zip!/any.dat",
    ]
    assert [source.place for source in archived] == ["x/9.jpg", "x/10.jpg", "x/film.mov", "x/any.dat"]


def test_an_archive_s_member_cannot_leave_the_folder_of_copies() -> None:
    for member in ("../../up.png", "/abs/up.png", "..\\up.png", "C:\\up.png"):
        (source,) = find_sources([f"x.zip!/{member}"])
        parts = Path(source.place).parts
        assert parts[0] == "x"
        assert ".." not in parts
        assert not any(":" in part for part in parts)


def test_what_is_named_in_vain_becomes_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    make(tmp_path, "broken.zip")
    with zipfile.ZipFile("none.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    found = find_sources(["none.jpg", "*.png", "empty", "broken.zip", "none.zip"])
    assert [(source.path, source.kind, source.reason) for source in found] == [
        ("none.jpg", "unusable", "missing"),
        ("*.png", "unusable", "no_match"),
        ("empty", "unusable", "no_pictures"),
        ("broken.zip", "unusable", "unreadable_archive"),
        ("none.zip", "unusable", "no_pictures"),
    ]


def test_each_source_comes_once_and_has_a_place_of_its_own(tmp_path: Path) -> None:
    make(tmp_path, "a/x.jpg", "b/x.jpg", "b/X.JPG" if sys.platform == "linux" else "b/y.jpg")
    found = find_sources([tmp_path / "a/x.jpg", tmp_path / "b/x.jpg", tmp_path / "a/x.jpg"])
    assert [(source.path, source.place) for source in found] == [
        (f"{tmp_path}/a/x.jpg", "x.jpg"),
        (f"{tmp_path}/b/x.jpg", "x_2.jpg"),
    ]


def test_the_folder_of_copies_is_not_searched(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "out/a.jpg")
    assert names(tmp_path, leave_out=tmp_path / "out") == [str(tmp_path / "a.jpg")]


def test_a_camera_is_a_source() -> None:
    (source,) = find_sources(["camera:2"])
    assert (source.path, source.kind, source.place) == ("camera:2", "camera", "camera_2")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no text")
def test_a_name_that_is_no_text_has_one_with_escapes(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/" + "슬픔".encode("cp949") + b".jpg", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    (source,) = find_sources([tmp_path])
    assert source.name.endswith(r"\udcbd\udcbd\udcc7\udcc4.jpg")
    assert Path(source.path).exists()


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_folder_that_cannot_be_read_is_told_and_the_others_are_searched(tmp_path: Path) -> None:
    make(tmp_path, "a/x.jpg", "b/y.jpg")
    (tmp_path / "a").chmod(0)
    try:
        found = find_sources([tmp_path])
    finally:
        (tmp_path / "a").chmod(0o755)
    assert [(Path(source.path).name, source.reason) for source in found] == [("a", "unreadable_folder"), ("y.jpg", "")]


def test_a_hundred_thousand_files_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        def __init__(self, number: int) -> None:
            self.name = f"{number}.jpg"
            self.path = str(tmp_path / self.name)

        def is_dir(self) -> bool:
            return False

    class Listing(list):  # type: ignore[type-arg]
        def __enter__(self) -> "Listing":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", lambda _: Listing(Entry(number) for number in range(99_999, -1, -1)))
    found = find_sources([tmp_path])
    assert (len(found), found[0].path, found[-1].path) == (100_000, f"{tmp_path}/0.jpg", f"{tmp_path}/99999.jpg")
