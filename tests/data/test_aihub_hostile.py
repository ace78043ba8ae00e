"""Sources made to hurt: ``prepare`` never crashes, never writes outside its folders, and counts everything."""

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyojeong.core.errors import InputError
from pyojeong.core.labels import KOREAN, UNKNOWN
from pyojeong.core.table import read_csv
from pyojeong.core.workspace import CROP_FILES
from pyojeong.data import aihub, crop_files
from pyojeong.data.prepare import Preparation, prepare
from tests.archives import BOX, NO_RECORD, file_name, image_zip, jpeg, label_zip, record, write_zip


def tree(folder: Path) -> set[tuple[str, int]]:
    """Every path below ``folder`` but the results, with its time of change."""
    return {
        (str(path), path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and "workspace/data_shared/" not in path.as_posix()
    }


def prepared(folder: Path) -> Preparation:
    """Prepare ``folder/workspace/set`` and check what must hold for any source."""
    before = tree(folder)
    summary = prepare(folder / "workspace" / "set", folder / "workspace", skip_unreadable=True)
    assert tree(folder) == before, "nothing is written but the results"
    drops = summary.drops
    assert set(drops) <= {*aihub.DROPS, *crop_files.DROPS}
    assert summary.records == summary.kept + sum(drops[reason] for reason in drops if reason not in NO_RECORD)
    for split in ("train", "val", "test"):
        for path in read_csv(folder / f"workspace/data_shared/cropped_faces_csv/{split}_K7.csv")["path"]:
            assert (folder / "workspace" / path).resolve().is_relative_to(folder / "workspace" / CROP_FILES)
    return summary


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims ``width`` x ``height`` pixels."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(bytes(99))}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = st.one_of(
    st.sampled_from([file_name(who, shot=who) for who in range(4)]),
    st.builds("{}/{}".format, st.sampled_from(["..", "/", "C:", "a", "\\\\host", "x.zip!"]), WORDS),
    st.builds("{}{}".format, WORDS, st.sampled_from([".jpg", ".json", ".zip", ".png", "/"])),
).filter(bool)
FILES = st.sampled_from([jpeg(), jpeg()[:200], png_of(100_000, 100_000), png_of(0, 0), b"", b"\0" * 50, b"[{}]"])
NUMBERS = st.floats() | st.integers(-(10**400), 10**400) | st.sampled_from([0, -1, 1e308, 5, 60, "7", None])
BOXES = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS) | st.just(BOX)
RECORDS = st.builds(
    record,
    st.sampled_from([file_name(who, shot=who) for who in range(5)]) | WORDS,
    st.lists(st.sampled_from([*KOREAN[:2], UNKNOWN]) | WORDS | st.none(), max_size=3),
    st.lists(BOXES, min_size=3, max_size=3),
)
SHAPES = st.recursive(st.none() | st.floats() | WORDS, lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(NAMES, FILES), max_size=5),
    st.lists(st.tuples(NAMES, FILES), max_size=3),
    st.lists(RECORDS | SHAPES, max_size=6),
)
@pytest.mark.heavy
def test_hostile_archives_do_no_harm(
    tmp_path_factory: pytest.TempPathFactory, first: list[Any], second: list[Any], records: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    source = folder / "workspace" / "set"
    label_zip(source / "0", "기쁨", [record(file_name(9, shot=9))])
    image_zip(source / "0", "기쁨", {file_name(9, shot=9): jpeg()})
    label_zip(source, "기쁨", json.dumps(records).encode())
    write_zip(source / "a.zip", first, cp949=False)
    write_zip(source / "b.zip", second, cp949=False)
    assert prepared(folder).kept >= 1


def good(folder: Path) -> Path:
    source = folder / "workspace" / "set"
    label_zip(source, "기쁨", [record(file_name(1)), record(file_name(2))])
    image_zip(source, "기쁨", {file_name(1): jpeg()})
    return source


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png_of(100_000, 100_000), "too_large_image"),
        (png_of(2**31 - 1, 2**31 - 1), "too_large_image"),
        (jpeg()[:-2] + bytes(3000), "corrupt_image"),
        (b"GIF89a" + b"\xff" * 50, "not_an_image"),
    ],
)
def test_bombs_and_garbage_are_dropped_with_their_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    image_zip(good(tmp_path), "기쁨", {file_name(2): data}, number=2)
    assert prepared(tmp_path).drops == {reason: 1}


def test_a_member_that_inflates_beyond_what_it_claims_is_corrupt(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(file_name(2).replace("여", "f"), bytes(50_000_000))
    size = struct.pack("<I", 50_000_000)
    assert packed.getvalue().count(size) == 2
    source = good(tmp_path)
    label_zip(source, "슬픔", [record(file_name(2).replace("여", "f"))])
    (source / "bomb.zip").write_bytes(packed.getvalue().replace(size, struct.pack("<I", 100)))
    assert prepared(tmp_path).drops == {"corrupt_image": 1, "record_without_image": 1}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_in_a_packed_member_is_counted(tmp_path: Path, method: int) -> None:
    source = good(tmp_path)
    for name, data in (("labels.json", str([*range(999)]).encode()), (file_name(2), jpeg())):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", method) as archive:
            archive.writestr(name, data)
        begin = 30 + len(name.encode()) + 12
        damaged = packed.getvalue()[:begin] + b"\xff" * 20 + packed.getvalue()[begin + 20 :]
        (source / f"{len(data)}.zip").write_bytes(damaged)
    assert prepared(tmp_path).drops == {"corrupt_image": 1, "unreadable_json": 1}


def test_a_member_too_large_for_memory_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = good(tmp_path)
    write_zip(source / "big.zip", {"big.json": b"[{}]", file_name(2): jpeg()})
    read = zipfile.ZipFile.read

    def short_of_memory(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
        if Path(str(archive.filename)).name == "big.zip":
            raise MemoryError
        return read(archive, member)

    monkeypatch.setattr(zipfile.ZipFile, "read", short_of_memory)
    assert prepared(tmp_path).drops == {"corrupt_image": 1, "unreadable_json": 1}


def test_a_member_that_claims_too_much_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aihub, "_MAX_JSON_BYTES", 5000)
    monkeypatch.setattr("pyojeong.core.images.MAX_BYTES", 5000)
    source = good(tmp_path)
    with zipfile.ZipFile(source / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.json", b"[" + b" " * 9000 + b"]")
        archive.writestr(file_name(2), jpeg() + bytes(9000))
    (source / "loose.json").write_bytes(b" " * 9000)
    assert prepared(tmp_path).drops == {"too_large_image": 1, "unreadable_json": 2}


def test_broken_labels_do_not_lose_the_photographs_of_their_archive(tmp_path: Path) -> None:
    source = good(tmp_path)
    write_zip(source / "both.zip", {"a.json": b"[{", file_name(2): jpeg()})
    summary = prepared(tmp_path)
    assert summary.kept == 2
    assert summary.drops == {"unreadable_json": 1}
    assert summary.unreadable[0].startswith("set/both.zip!/a.json (")


def test_circular_links_end(tmp_path: Path) -> None:
    source = good(tmp_path)
    (source / "again").symlink_to(source)
    (source / "up").symlink_to(tmp_path)
    (source / "nowhere.zip").symlink_to(tmp_path / "nowhere.zip")
    drops = prepared(tmp_path).drops
    assert drops["duplicate_image"] >= 1
    assert drops["duplicate_record"] >= 2
    assert drops["symbolic_link"] >= 3


def test_the_same_name_in_two_archives_counts_once(tmp_path: Path) -> None:
    source = good(tmp_path)
    image_zip(source, "기쁨", {file_name(1): jpeg(color=(1, 2, 3)), file_name(2): jpeg()}, number=2)
    summary = prepared(tmp_path)
    assert summary.drops == {"duplicate_image": 1}
    assert summary.kept == 2


def test_a_source_of_garbage_is_one_clear_error(tmp_path: Path) -> None:
    source = tmp_path / "workspace" / "set"
    write_zip(source / "a.zip", {"../../x.jpg": jpeg(), "a.json": b"{}"})
    with pytest.raises(InputError, match="no label records"):
        prepare(source, tmp_path / "workspace", skip_unreadable=True)
    assert not (tmp_path / "x.jpg").exists()
    assert not (tmp_path / "workspace" / "data_shared").exists()
