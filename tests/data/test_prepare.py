import errno
import json
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.files import alone_in, write_bytes
from pyojeong.core.geometry import MARGIN, iou
from pyojeong.core.images import decode, measure, read_bytes
from pyojeong.core.labels import KOREAN, SCHEMES
from pyojeong.core.table import BOX_COLUMNS, read_csv, read_table, write_csv
from pyojeong.data import crop_files
from pyojeong.data import prepare as module
from pyojeong.data.aihub import DROPS
from pyojeong.data.prepare import prepare
from pyojeong.data.splits import SPLITS
from pyojeong.faceapi.detector import FaceApi
from tests.archives import BOX, contents, data_set, file_name, image_zip, jpeg, label_zip, record

KINDS = [f"{split}_{scheme}" for split in SPLITS for scheme in ("M1", "M2", "K7")]


def test_prepare_writes_tables_crops_and_a_summary(tmp_path: Path) -> None:
    summary = prepare(data_set(tmp_path / "data_raw" / "set"), tmp_path)
    written = json.loads((tmp_path / "data_shared/summary.json").read_text(encoding="utf-8"))
    assert asdict(summary) == written | {"crops_made": 280, "link": None}
    assert (summary.records, summary.photographs, summary.kept, summary.people) == (280, 280, 280, 20)
    assert (summary.drops, summary.warnings, summary.synthetic) == ({}, [], False)
    assert summary.orientations == {"0": 98, "6": 182}
    assert summary.uploader["상처"] == {"상처": 40}
    assert summary.agreement["상처"] == {"3": 40}
    seen: dict[str, set[str]] = {}
    for kind in KINDS:
        split, name = kind.split("_")
        scheme = SCHEMES[name]
        originals = read_table(
            tmp_path / f"data_shared/splits_csv/{kind}.csv", scheme=scheme, root=tmp_path, boxes=True
        )
        cropped = read_table(tmp_path / f"data_shared/cropped_faces_csv/{kind}.csv", scheme=scheme, root=tmp_path)
        assert originals.height == cropped.height == sum(summary.images[split].values())
        assert cropped["source"].to_list() == originals["path"].to_list()
        counts = dict(originals["label"].value_counts().iter_rows())
        assert counts == {word: count for word, count in summary.images_per_class[name][split].items() if count}
        seen.setdefault(split, set()).update(originals["person"])
        assert set(originals.select(BOX_COLUMNS).iter_rows()) == {BOX}
        first = cropped["path"][0]
        assert decode((tmp_path / first).read_bytes()).shape == (160, 160, 3)
        assert measure(read_bytes(tmp_path, originals["path"][0]))[:2] == (96, 80)
    assert sum(map(len, seen.values())) == 20, "no person is in two splits"
    assert {split: len(people) for split, people in seen.items()} == summary.people_per_split


def test_the_three_schemes_are_views_of_one_split(tmp_path: Path) -> None:
    prepare(data_set(tmp_path / "set"), tmp_path)
    words = {}
    for scheme in ("M1", "M2", "K7"):
        table = pl.concat(read_csv(tmp_path / f"data_shared/splits_csv/{split}_{scheme}.csv") for split in SPLITS)
        words[scheme] = dict(table.select("orig_kor", "label_en").unique().iter_rows())
        assert table["path"].n_unique() == table.height == 280
    assert words["K7"]["당황"] == "embarrassed"
    assert words["K7"]["상처"] == "hurt"
    assert (words["M1"]["당황"], words["M2"]["당황"]) == ("surprised", "disgusted")
    assert words["M1"]["상처"] == words["M2"]["상처"] == "sad"
    for split in SPLITS:
        paths = [
            read_csv(tmp_path / f"data_shared/splits_csv/{split}_{name}.csv")["path"] for name in ("M1", "M2", "K7")
        ]
        assert paths[0].equals(paths[1])
        assert paths[1].equals(paths[2])
    assert len(crop_files.existing_crops(tmp_path)) == 280


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    source = data_set(tmp_path / "set", 4)
    first = prepare(source, tmp_path)
    assert first.crops_made == 56
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "data_shared").rglob("*")}
    second = prepare(source, tmp_path, workers=2)
    assert second == replace(first, crops_made=0)
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "data_shared").rglob("*")}


@pytest.mark.parametrize(
    ("options", "made"),
    [({"seed": 1}, 0), ({"split": "image"}, 0), ({"policy": "unanimous"}, 0), ({"margin": 0.3}, 84)],
)
def test_changed_settings_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], made: int
) -> None:
    source = data_set(tmp_path / "set", 6)
    before = prepare(source, tmp_path)
    files = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "MARGIN", options.pop("margin", MARGIN))
        after = prepare(source, tmp_path, **options)
    assert after.settings != before.settings
    assert after.crops_made == made
    changed = {name for name, data in contents(tmp_path).items() if files.get(name) != data}
    if made:
        assert len([name for name in changed if name.endswith(".jpg")]) > 0
    else:
        assert not [name for name in changed if name.endswith(".jpg")]
    assert prepare(source, tmp_path).settings == before.settings
    assert contents(tmp_path) == files, "and going back gives the same bytes again"


def test_a_new_archive_a_lost_table_and_a_lost_crop_are_noticed(tmp_path: Path) -> None:
    source = data_set(tmp_path / "set", 4)
    prepare(source, tmp_path)
    files = contents(tmp_path)
    (tmp_path / "data_shared/splits_csv/val_M2.csv").unlink()
    assert prepare(source, tmp_path).crops_made == 0
    assert contents(tmp_path) == files
    (tmp_path / sorted(crop_files.existing_crops(tmp_path))[5]).unlink()
    assert prepare(source, tmp_path).crops_made == 1
    assert contents(tmp_path) == files
    (tmp_path / "data_shared/summary.json").write_text("{half")
    assert prepare(source, tmp_path).crops_made == 0
    assert contents(tmp_path) == files
    new = file_name(50, shot=50)
    label_zip(source / "more", "기쁨", [record(new)])
    image_zip(source / "more", "기쁨", {new: jpeg()})
    after = prepare(source, tmp_path)
    assert (after.crops_made, after.kept) == (1, 57)


def test_every_drop_is_in_the_summary_and_in_no_table(tmp_path: Path) -> None:
    source = data_set(tmp_path / "set", 5)
    whole = jpeg((300, 200))
    bad = {file_name(90 + number, shot=90 + number): data for number, data in enumerate([whole[:-9], whole, b""])}
    names = list(bad)
    boxes = [BOX, (900.0, 900.0, 950.0, 950.0), BOX]
    extra = [record(name, boxes=[box] * 3) for name, box in zip(names, boxes, strict=True)]
    clipped = file_name(99, shot=99)
    extra += [record(file_name(98)), record(clipped, boxes=[(-20.0, 10.0, 60.0, 70.0)] * 3)]
    label_zip(source / "more", "기쁨", extra)
    image_zip(source / "more", "기쁨", bad | {clipped: jpeg()})
    summary = prepare(source, tmp_path)
    assert summary.drops == {
        "box_outside_image": 1,
        "corrupt_image": 1,
        "empty_image": 1,
        "record_without_image": 1,
    }
    assert set(summary.drop_meanings) == set(summary.drops)
    assert summary.records == summary.kept + sum(summary.drops.values())
    assert summary.clipped_boxes == 1
    text = b"".join(data for name, data in contents(tmp_path).items() if name.endswith(".csv")).decode()
    assert not any(name in text for name in names)
    rows = [line for line in text.splitlines() if clipped in line and ".zip!/" in line.split(",")[0]]
    assert rows
    assert all(",0.0,10.0,60.0,70.0," in line for line in rows)


def test_a_missing_class_is_a_warning(tmp_path: Path) -> None:
    source = tmp_path / "set"
    names = [file_name(who) for who in range(30)]
    label_zip(source, "기쁨", [record(name) for name in names])
    image_zip(source, "기쁨", {name: jpeg() for name in names})
    summary = prepare(source, tmp_path)
    assert [line.split(":")[0] for line in summary.warnings] == list(KOREAN[1:])
    assert summary.images["train"]["상처"] == 0


def test_paths_may_be_strings(tmp_path: Path) -> None:
    source = data_set(tmp_path / "set", 3)
    assert prepare(str(source), str(tmp_path)).kept == 42
    assert prepare(source, tmp_path).crops_made == 0


@pytest.mark.parametrize("content", ["[]", "null", '"text"', "{}", '{"settings": {}}', '{"settings": {"policy": 1}}'])
def test_a_summary_of_another_shape_is_written_again(tmp_path: Path, content: str) -> None:
    source = data_set(tmp_path / "set", 2)
    prepare(source, tmp_path)
    files = contents(tmp_path)
    (tmp_path / "data_shared/summary.json").write_text(content)
    prepare(source, tmp_path)
    assert contents(tmp_path) == files


def test_a_source_outside_the_root_is_linked(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    summary = prepare(data_set(tmp_path / "disk" / "82번", 3), root)
    assert summary.source == "data_raw/82번"
    assert summary.link == f"data_raw/82번 -> {tmp_path / 'disk' / '82번'}"
    table = read_csv(root / "data_shared/splits_csv/train_K7.csv")
    assert decode(read_bytes(root, table["path"][0])).shape == (80, 96, 3)
    assert prepare(tmp_path / "disk" / "82번", root).crops_made == 0
    assert prepare(root / "data_raw" / "82번", root).crops_made == 0
    other = prepare(data_set(tmp_path / "disk2" / "82번", 2), root)
    assert other.source == "data_raw/82번_2"
    assert other.kept == 28


def test_a_failed_link_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "not allowed")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(InputError, match="move the data below the project root"):
        prepare(data_set(tmp_path / "disk", 1), tmp_path / "workspace")


def test_the_workspace_itself_is_refused_as_source(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    for source in (root, tmp_path):
        with pytest.raises(InputError, match="name the folder"):
            prepare(source, root)
    with pytest.raises(InputError, match="no such folder"):
        prepare(root / "nowhere", root)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"policy": "loudest"}, "majority, unanimous, uploader"),
        ({"split": "date"}, "person, image"),
        ({"workers": 0}, "at least 1"),
        ({"seed": 10**70}, "more than 63 bits"),
    ],
)
def test_invalid_arguments_are_named_before_anything_is_done(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        prepare(data_set(tmp_path / "set", 1), tmp_path, **options)
    assert not (tmp_path / "data_shared").exists()


def test_a_truncated_archive_leaves_finished_work_intact(tmp_path: Path) -> None:
    source = data_set(tmp_path / "set", 4)
    prepare(source, tmp_path)
    files = contents(tmp_path)
    broken = source / "[원천]EMOIMG_슬픔_TRAIN_01.zip"
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.raises(InputError, match="EMOIMG_슬픔_TRAIN_01"):
        prepare(source, tmp_path)
    assert contents(tmp_path) == files
    summary = prepare(source, tmp_path, skip_unreadable=True)
    assert summary.drops == {"record_without_image": 8, "unreadable_archive": 1}
    assert summary.drop_meanings["unreadable_archive"] == DROPS["unreadable_archive"]
    assert "슬픔: no photograph at all" in summary.warnings


def test_a_full_disk_is_reported_and_the_next_run_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data_set(tmp_path / "set", 4)
    written: list[Path] = []

    def full(path: Path, data: bytes) -> None:
        if len(written) == 40:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        write_bytes(path, data)

    monkeypatch.setattr(crop_files, "write_bytes", full)
    with pytest.raises(InputError, match="No space left on device; free some space"):
        prepare(source, tmp_path)
    assert not (tmp_path / "data_shared/summary.json").exists()
    monkeypatch.undo()
    assert prepare(source, tmp_path).crops_made == 56 - 32


def test_a_mixture_of_tables_never_counts_as_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data_set(tmp_path / "set", 6)
    prepare(source, tmp_path)
    files = contents(tmp_path)
    written: list[Path] = []

    def stop(frame: pl.DataFrame, path: Path) -> None:
        if len(written) == 7:
            raise KeyboardInterrupt
        written.append(path)
        write_csv(frame, path)

    monkeypatch.setattr(module, "write_csv", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path, seed=5)
    monkeypatch.undo()
    prepare(source, tmp_path)
    assert contents(tmp_path) == files


def test_a_mixture_of_crops_never_counts_as_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data_set(tmp_path / "set", 6)
    prepare(source, tmp_path)
    files = contents(tmp_path)
    real = crop_files.make_chunk
    chunks: list[Any] = []

    def stop(*arguments: Any) -> list[crop_files.CropResult]:
        if chunks:
            raise KeyboardInterrupt
        chunks.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(crop_files, "make_chunk", stop)
    monkeypatch.setattr(module, "MARGIN", 0.4)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path)
    monkeypatch.undo()
    assert prepare(source, tmp_path).crops_made > 0
    assert contents(tmp_path) == files


def test_a_disk_that_fails_for_a_while_loses_no_photograph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data_set(tmp_path / "set", 6)
    real, reads = zipfile.ZipFile.read, []

    def read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, pwd: bytes | None = None) -> bytes:
        reads.append(member)
        if member.filename.endswith(".jpg") and len(reads) % 5 == 0:
            raise OSError(errno.EIO, "Input/output error", archive.filename)
        return real(archive, member, pwd)

    monkeypatch.setattr(zipfile.ZipFile, "read", read)
    lost = prepare(source, tmp_path).drops
    assert set(lost) == {"lost_archive"}
    monkeypatch.undo()
    mended = prepare(source, tmp_path)
    assert (mended.drops, mended.crops_made) == ({}, lost["lost_archive"])


def test_two_preparations_do_not_share_a_workspace(tmp_path: Path) -> None:
    source = data_set(tmp_path / "set")
    with alone_in(tmp_path), pytest.raises(InputError, match="another run is using it"):
        prepare(source, tmp_path)


@pytest.mark.parametrize(
    ("marker", "synthetic"),
    [('{"synthetic": true, "people": 4}', True), ('{"synthetic": false}', False), ("[]", False)],
)
def test_the_summary_says_whether_the_faces_are_synthetic(tmp_path: Path, marker: str, synthetic: bool) -> None:
    source = data_set(tmp_path / "set", 1)
    (source / "SAMPLE.json").write_text(marker)
    assert prepare(source, tmp_path).synthetic is synthetic


@pytest.mark.heavy
def test_real_photographs_come_upright_with_the_box_on_the_face(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "london_as_aihub"
    summary = prepare(source, tmp_path)
    assert (summary.records, summary.photographs, summary.people) == (72, 72, 36)
    assert summary.kept + sum(summary.drops.values()) == 72
    kept = {label: sum(summary.images[split][label] for split in SPLITS) for label in KOREAN}
    assert kept["기쁨"] >= 34, "the UTF-8 label file was read"
    assert kept["중립"] >= 34, "the EUC-KR label file was read"
    assert set(summary.orientations) == {"1", "3", "4", "6", "8"}

    face_api = FaceApi(threads=1)
    found: dict[str, list[float]] = {}
    for split in SPLITS:
        table = read_table(
            tmp_path / f"data_shared/splits_csv/{split}_K7.csv", scheme=SCHEMES["K7"], root=tmp_path, boxes=True
        )
        for row in table.iter_rows(named=True):
            faces = face_api.detect(decode(read_bytes(tmp_path, row["path"])))
            box = [row[name] for name in BOX_COLUMNS]
            found.setdefault(row["orientation"], []).append(max((iou(face.box, box) for face in faces), default=0))
    every = [value for values in found.values() for value in values]
    assert len(every) == 72
    assert sum(value >= 0.5 for value in every) >= 0.95 * len(every)
    for orientation, values in found.items():
        assert np.median(values) > 0.5, f"the boxes of orientation {orientation} are on their faces"


def test_the_documentation_explains_every_drop_and_column(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "data_prep.md").read_text(encoding="utf-8")
    for reason, meaning in (DROPS | crop_files.DROPS).items():
        assert f"| `{reason}` | {meaning} |" in text
    prepare(data_set(tmp_path / "set", 1), tmp_path)
    for column in read_csv(tmp_path / "data_shared/cropped_faces_csv/train_K7.csv").columns:
        assert f"`{column}`" in text or column in ("path", *(f"votes_{label}" for label in KOREAN))
