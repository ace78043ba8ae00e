import json
import os
import tracemalloc
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyojeong.core.errors import InputError
from pyojeong.core.images import read_bytes
from pyojeong.data.aihub import DROPS, Index, index, survey
from tests.archives import NO_RECORD, file_name, image_zip, jpeg, label_zip, person, record, write_zip


def read(source: Path, **options: Any) -> Index:
    return index(survey(source), "data_raw/set", **options)


def assert_all_accounted(found: Index) -> None:
    """Every record and every photograph is a row or a drop, and no drop lacks a meaning."""
    assert set(found.drops) <= set(DROPS)
    of_photographs = found.drops["image_without_record"] + found.drops["duplicate_image"]
    of_records = sum(count for reason, count in found.drops.items() if reason not in NO_RECORD)
    assert found.records == found.rows.height + of_records
    matched = found.records - sum(
        found.drops[reason] for reason in ("malformed_record", "duplicate_record", "record_without_image")
    )
    assert found.images == matched + of_photographs


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "euc-kr"])
@pytest.mark.parametrize("cp949", [True, False])
@pytest.mark.parametrize("face_bb", [True, False])
def test_archives_are_read_in_every_encoding_and_form(
    tmp_path: Path, encoding: str, cp949: bool, face_bb: bool
) -> None:
    names = [file_name(who, "당황") for who in range(3)]
    records = [record(name, ("당황",) * 3, face_bb=face_bb) for name in names]
    label_zip(tmp_path / "set", "당황", records, encoding=encoding, cp949=cp949)
    image_zip(tmp_path / "set", "당황", {name: jpeg() for name in names}, cp949=cp949)
    found = read(tmp_path / "set")
    assert found.rows["label"].to_list() == ["당황"] * 3
    assert found.rows["person"].to_list() == [person(who) for who in range(3)]
    assert found.drops == Counter()
    archive = "data_raw/set/[원천]EMOIMG_당황_TRAIN_01.zip"
    assert found.rows["path"].to_list() == [f"{archive}!/{name}" for name in names]
    (tmp_path / "data_raw").symlink_to(tmp_path)
    assert read_bytes(tmp_path, found.rows["path"][0]) == jpeg()


def test_folders_archives_and_both_official_parts_mix(tmp_path: Path) -> None:
    train, valid = tmp_path / "Training", tmp_path / "Validation"
    names = [file_name(1, shot=shot) for shot in range(4)]
    label_zip(train, "기쁨", [record(name) for name in names[:3]])
    image_zip(train, "기쁨", {names[0]: jpeg()})
    image_zip(train, "기쁨", {f"기쁨/{names[1]}": jpeg()}, number=2)
    loose = train / "[원천]EMOIMG_기쁨_TRAIN_03" / names[2]
    loose.parent.mkdir()
    loose.write_bytes(jpeg())
    labels = valid / "[라벨]EMOIMG_기쁨_VALID" / "img_emotion_validation_data(기쁨).json"
    labels.parent.mkdir(parents=True)
    labels.write_text(json.dumps([record(names[3])]), encoding="cp949")
    image_zip(valid, "기쁨", {names[3]: jpeg()}, part="VALID")
    found = read(tmp_path)
    assert found.rows.height == 4
    assert not found.drops
    assert dict(zip(found.rows["name"], found.rows["official"], strict=True)) == {
        **dict.fromkeys(names[:3], "training"),
        names[3]: "validation",
    }
    assert f"data_raw/set/Training/[원천]EMOIMG_기쁨_TRAIN_03/{names[2]}" in found.rows["path"].to_list()


@pytest.mark.parametrize(
    "change",
    [
        lambda name: unicodedata.normalize("NFD", name),
        lambda name: name.replace("&", "_"),
        lambda name: name.encode("cp949").decode("cp437"),  # what unzip leaves on Linux
        lambda name: unicodedata.normalize("NFD", name).replace("&", "_"),
    ],
)
@pytest.mark.parametrize("folder", ["", "[원천]EMOIMG_기쁨_TRAIN_01/"])
def test_photographs_are_matched_whatever_the_unpacker_did_to_their_names(
    tmp_path: Path, folder: str, change: Any
) -> None:
    name = file_name(1, place="공공시설&종교&의료시설")
    label_zip(tmp_path, "기쁨", [record(name)])
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / f"{folder}{change(name)}").write_bytes(jpeg())
    found = read(tmp_path)
    assert found.rows.height == 1
    assert (tmp_path / found.rows["path"][0].removeprefix("data_raw/set/")).exists()


def test_every_drop_has_its_reason(tmp_path: Path) -> None:
    def name(number: int) -> str:
        return file_name(number, shot=number)

    flat = (5, 5, 5, 9)
    records: list[Any] = [
        record(name(0)),
        record(name(1)),  # without a photograph
        record(name(2), ("기쁨", "슬픔", "분노")),
        record(name(3), ("알수없음", "알수없음", "기쁨")),
        record(name(4), boxes=[flat] * 3),
        record(name(5), boxes=[None] * 3),
        record(name(0), ("슬픔",) * 3),  # again
        "no record",
        record("IMG_1.jpg"),
    ]
    label_zip(tmp_path, "기쁨", records)
    photographs = [(name(number), jpeg()) for number in (0, 2, 3, 4, 5, 6)]
    image_zip(tmp_path, "기쁨", [*photographs, ("IMG_1.jpg", jpeg())])
    image_zip(
        tmp_path,
        "기쁨",
        [(name(0), jpeg()), ("../" + name(7), jpeg()), ("/etc/" + name(8), jpeg()), ("C:\\" + name(9), jpeg())],
        number=2,
    )
    (tmp_path / "more" / "deep").mkdir(parents=True)
    (tmp_path / "more" / "deep" / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "more" / "[원천]EMOIMG_기쁨_TRAIN_03.zip.part0").write_bytes(b"half")
    (tmp_path / "more" / "package.json").write_text('{"name": "x"}')
    (tmp_path / "SAMPLE.json").write_text('{"synthetic": true}')
    (tmp_path / "more" / "._photo.jpg").write_bytes(b"made by macOS")
    found = read(tmp_path)
    assert found.rows["name"].to_list() == [name(0)]
    assert found.rows["label"].to_list() == ["기쁨"], "the first record of a name counts"
    assert found.drops == {
        "record_without_image": 1,
        "no_majority": 1,
        "unknown_label": 1,
        "zero_area_box": 1,
        "no_box": 1,
        "duplicate_record": 1,
        "malformed_record": 1,
        "no_person": 1,
        "image_without_record": 1,
        "duplicate_image": 1,
        "unsafe_name": 3,
        "symbolic_link": 1,
        "unfinished_download": 1,
        "other_json": 1,
    }
    assert_all_accounted(found)


def test_unknown_labels_are_named_and_the_answer_cannot_tell_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("행복", "행복", "기쁨", "알수없음")
    label_zip(tmp_path, "기쁨", [record(file_name(number), (word,) * 3) for number, word in enumerate(words)])
    image_zip(tmp_path, "기쁨", [(file_name(number), jpeg()) for number in range(len(words))])
    assert read(tmp_path).drops["unknown_label"] == 3
    assert "2 photographs left out: the label is none of 기쁨, " in caplog.text
    assert caplog.text.count("(2)") == 1
    assert "알수없음" not in caplog.text


def test_links_directly_in_source_are_followed(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    label_zip(disk / "a", "기쁨", [record(file_name(1))])
    image_zip(disk / "b", "기쁨", {file_name(1): jpeg()})
    source = tmp_path / "source"
    source.mkdir()
    (source / "labels").symlink_to(disk / "a")
    (source / "images").symlink_to(disk / "b")
    assert read(source).rows.height == 1


def test_a_synthetic_sample_below_source_is_refused(tmp_path: Path) -> None:
    name = file_name(1)
    label_zip(tmp_path / "aihub", "기쁨", [record(name)])
    image_zip(tmp_path / "aihub", "기쁨", {name: jpeg()})
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample/SAMPLE.json").write_text('{"synthetic": true}')
    with pytest.raises(
        InputError, match=r"SAMPLE.json: .* holds a synthetic sample next to other data; name the folder"
    ):
        read(tmp_path)


def test_a_link_in_an_archive_is_never_followed(tmp_path: Path) -> None:
    label_zip(tmp_path, "기쁨", [record(file_name(1)), record(file_name(2))])
    image_zip(tmp_path, "기쁨", {file_name(2): jpeg()})
    link = zipfile.ZipInfo(file_name(1))
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "links.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    found = read(tmp_path)
    assert (found.rows.height, found.drops["symbolic_link"], found.drops["record_without_image"]) == (1, 1, 1)


def test_a_name_in_an_unknown_encoding_is_counted(tmp_path: Path) -> None:
    label_zip(tmp_path, "기쁨", [record(file_name(1))])
    image_zip(tmp_path, "기쁨", {file_name(1): jpeg()})
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.jpg"))).write_bytes(jpeg())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert read(tmp_path).drops == {"undecodable_name": 1}


def test_every_file_below_a_folder_with_an_undecodable_name_is_counted(tmp_path: Path) -> None:
    label_zip(tmp_path, "기쁨", [record(file_name(1))])
    image_zip(tmp_path, "기쁨", {file_name(1): jpeg()})
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + "기쁨".encode("cp949")))
    try:
        (folder / "deeper").mkdir(parents=True)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    for number in range(3):
        (folder / "deeper" / f"{number}.jpg").write_bytes(jpeg())
    assert read(tmp_path).drops == {"undecodable_name": 3}


@pytest.mark.parametrize("name", ["[원천]EMOIMG_당황_TRAIN_01.zip", "Validation"])
def test_a_broken_link_is_named_or_counted(tmp_path: Path, name: str) -> None:
    label_zip(tmp_path, "기쁨", [record(file_name(1))])
    image_zip(tmp_path, "기쁨", {file_name(1): jpeg()})
    (tmp_path / name).symlink_to(tmp_path / "disk2" / name)
    (tmp_path / ".#lock").symlink_to("somebody@somewhere")
    with pytest.raises(InputError, match="which does not exist") as caught:
        read(tmp_path)
    assert name in str(caught.value)
    assert read(tmp_path, skip_unreadable=True).drops == {"unreadable_archive": 1}


def test_unfinished_other_and_nested_archives_are_named(tmp_path: Path) -> None:
    label_zip(tmp_path, "기쁨", [record(file_name(1))])
    image_zip(tmp_path, "기쁨", {file_name(1): jpeg(), "more/inner.zip": b"PK", "inner.7z": b"7z", "readme.txt": b""})
    others = ("a.tar", "b.ZIP.001", "c.egg", "d.z01", "e.tar.gz")
    unfinished = ("f.zip.part0", "g.zip.crdownload")
    for name in (*others, *unfinished, "readme.pdf"):
        (tmp_path / name).write_bytes(b"x")
    found = read(tmp_path)
    assert found.rows.height == 1
    assert found.drops == {"other_archive": 7, "unfinished_download": 2}
    names = [line.partition(" (")[0] for line in found.unreadable]
    photographs = "data_raw/set/[원천]EMOIMG_기쁨_TRAIN_01.zip"
    inner = [f"{photographs}!/more/inner.zip", f"{photographs}!/inner.7z"]
    assert sorted(names) == sorted([*(f"data_raw/set/{name}" for name in (*others, *unfinished)), *inner])


@pytest.mark.parametrize("what", ["images", "labels"])
def test_a_truncated_archive_is_named_or_counted(tmp_path: Path, what: str) -> None:
    for label in ("기쁨", "슬픔"):
        label_zip(tmp_path, label, [record(file_name(1, label), (label,) * 3)])
        image_zip(tmp_path, label, {file_name(1, label): jpeg((900, 900))})
    broken = tmp_path / ("[원천]EMOIMG_슬픔_TRAIN_01.zip" if what == "images" else "[라벨]EMOIMG_슬픔_TRAIN.zip")
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    with pytest.raises(InputError, match="Download it again") as caught:
        read(tmp_path)
    assert str(broken) in str(caught.value)
    found = read(tmp_path, skip_unreadable=True)
    assert found.rows["label"].to_list() == ["기쁨"]
    lost = "record_without_image" if what == "images" else "image_without_record"
    assert found.drops == {"unreadable_archive": 1, lost: 1}
    assert_all_accounted(found)


@pytest.mark.parametrize("content", [b"[{", b"", b"\xff\xff\xff", b"[" * 100_000, b'[{"filename": "a"'])
def test_a_broken_label_file_is_named_or_counted(tmp_path: Path, content: bytes) -> None:
    label_zip(tmp_path, "기쁨", [record(file_name(1))])
    label_zip(tmp_path, "슬픔", content)
    image_zip(tmp_path, "기쁨", {file_name(1): jpeg()})
    with pytest.raises(InputError, match=r"img_emotion_training_data\(슬픔\)"):
        read(tmp_path)
    found = read(tmp_path, skip_unreadable=True)
    assert found.rows.height == 1
    assert found.drops == {"unreadable_json": 1}


def test_many_unreadable_files_make_one_short_message(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="and 4 more"):
        read(tmp_path)


def test_a_gigantic_number_loses_only_its_own_record(tmp_path: Path) -> None:
    text = json.dumps([record(file_name(1)), record(file_name(2), boxes=[(1, 2, 3, 77777)] * 3)])
    label_zip(tmp_path, "기쁨", text.replace("77777", "9" * 5000).encode())
    image_zip(tmp_path, "기쁨", {file_name(1): jpeg(), file_name(2): jpeg()})
    found = read(tmp_path)
    assert found.rows["person"].to_list() == [person(1)]
    assert found.drops == {"no_box": 1}


@pytest.mark.heavy
def test_a_label_file_of_millions_of_other_items_fits_into_memory(tmp_path: Path) -> None:
    label_zip(tmp_path, "기쁨", [record(file_name(1))])
    image_zip(tmp_path, "기쁨", {file_name(1): jpeg()})
    (tmp_path / "zeros.json").write_bytes(b"[" + b"0," * 100_000 + b"0]")
    mixed = json.dumps([record(file_name(2)), *[0] * 12_000, record(file_name(3))])
    (tmp_path / "mixed.json").write_text(mixed, encoding="utf-8")
    tracemalloc.start()
    found = read(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    assert found.drops == {"other_json": 1, "malformed_record": 12_000, "record_without_image": 2}
    assert_all_accounted(found)


@pytest.mark.parametrize(
    ("folder", "official"),
    [("Validation", "validation"), ("validated/Training", "training"), ("training set/2.Validation", "validation")],
)
def test_the_last_part_named_in_the_path_is_the_official_one(tmp_path: Path, folder: str, official: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "labels.json").write_text(json.dumps([record(file_name(1))]), encoding="utf-8")
    image_zip(tmp_path, "기쁨", {file_name(1): jpeg()})
    assert read(tmp_path).rows["official"].to_list() == [official]


def test_missing_folders_records_and_photographs_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        survey(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no label records"):
        read(tmp_path)
    label_zip(tmp_path, "기쁨", [record(file_name(1))])
    with pytest.raises(InputError, match="no photographs"):
        read(tmp_path)


def test_the_order_of_files_and_records_does_not_matter(tmp_path: Path) -> None:
    names = [file_name(who, shot=shot) for who in range(5) for shot in range(3)]
    for folder, order in (("a", names), ("b", names[::-1])):
        label_zip(tmp_path / folder, "기쁨", [record(name) for name in order])
        image_zip(tmp_path / folder, "기쁨", [(name, jpeg()) for name in order])
    first, second = (read(tmp_path / folder) for folder in "ab")
    assert first.rows.equals(second.rows)


def test_the_stamp_follows_the_content(tmp_path: Path) -> None:
    label_zip(tmp_path, "기쁨", [record(file_name(1))])
    image_zip(tmp_path, "기쁨", {file_name(1): jpeg()})
    before = read(tmp_path).rows["stamp"][0]
    image_zip(tmp_path, "기쁨", {file_name(1): jpeg()})
    assert read(tmp_path).rows["stamp"][0] == before
    image_zip(tmp_path, "기쁨", {file_name(1): jpeg(color=(1, 2, 3))})
    assert read(tmp_path).rows["stamp"][0] != before


NAMES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40),
    st.sampled_from(
        ["../x.jpg", "/x.jpg", "a/../../x.json", "C:\\x.jpg", "\\\\host\\x.png", ".jpg", "a/.json", "!/a.jpg"]
    ),
)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, st.sampled_from(["", ".jpg", ".json", ".JPEG", "/"])), max_size=6))
def test_hostile_member_names_never_crash_and_never_become_rows(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    label_zip(folder, "기쁨", [record(file_name(1))])
    image_zip(folder, "기쁨", {file_name(1): jpeg()})
    members = [(name + ending, b"[1, 2]" if ending == ".json" else b"x") for name, ending in names]
    write_zip(folder / "hostile.zip", members, cp949=False)
    found = read(folder, skip_unreadable=True)
    assert found.rows["name"].to_list() == [file_name(1)]
    assert not any(".." in path.split("/") for path in found.rows["path"])
    assert_all_accounted(found)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_hostile_label_files_never_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    label_zip(folder, "기쁨", [record(file_name(1))])
    label_zip(folder, "슬픔", content)
    image_zip(folder, "기쁨", {file_name(1): jpeg()})
    found = read(folder, skip_unreadable=True)
    assert found.rows.height == 1
    assert sum(found.drops.values()) == 1
