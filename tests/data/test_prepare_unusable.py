"""What ``prepare`` says when little or nothing of SOURCE can be used."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pyojeong.core.boxes import Look
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Box
from pyojeong.core.images import Measure, read_bytes
from pyojeong.core.labels import KOREAN, read_scheme
from pyojeong.core.table import read_csv
from pyojeong.data.prepare import LookAt, prepare, write_view
from pyojeong.data.summary import RESIZED
from pyojeong.data.summary_page import KOREAN_WARNINGS
from tests.archives import BOX, contents, data_set, file_name, image_zip, jpeg, label_zip, record

DIFFER = ("기쁨", "슬픔", "분노")


def renamed(source: Path) -> None:
    """Photographs are numbered from 0 in each folder, as copying tools do."""
    for label in ("기쁨", "슬픔"):
        label_zip(source, label, [record(file_name(who, label), (label,) * 3) for who in range(4)])
        (source / label).mkdir()
        for number in range(4):
            (source / label / f"{number:06d}.jpg").write_bytes(jpeg())


def one_set(
    votes: tuple[str, ...] = ("기쁨",) * 3,
    size: tuple[int, int] = (96, 80),
    name: Callable[[int], str] = file_name,
    boxes: object = BOX,
) -> Callable[[Path], None]:
    def write(source: Path) -> None:
        label_zip(source, "기쁨", [record(name(who), votes, (boxes,) * 3) for who in range(4)])
        image_zip(source, "기쁨", {name(who): jpeg(size) for who in range(4)})

    return write


@pytest.mark.parametrize(
    ("write", "policy", "words"),
    [
        (renamed, "majority", ["0 of 8 photographs", "8 record_without_image", "were they renamed?"]),
        (one_set(DIFFER), "majority", ["0 of 4 photographs", "4 no_majority", "--policy"]),
        (one_set(("기쁨", "기쁨", "슬픔")), "unanimous", ["0 of 4 photographs", "4 not_unanimous", "--policy"]),
        (one_set(("알수없음",) * 3), "majority", ["0 of 4 photographs", "4 unknown_label", "means: the label"]),
        (
            one_set(boxes={"left": 1}),
            "majority",
            ["0 of 4 photographs", "no_box means: no annotator gives four numbers", "a face box is minX, minY, maxX"],
        ),
        (one_set(boxes=(10, 10, 15, 60)), "majority", ["4 tiny_box", "less than 20 pixels wide", "a face box is minX"]),
        (
            one_set(boxes=(0.1, 0.2, 0.5, 1)),
            "majority",
            ["in pixels, not in shares", "-001.jpg, minX 0.1, minY 0.2, m"],
        ),
        (one_set(size=(24, 20)), "majority", ["0 of 4 photographs", "4 box_outside_image", "were these resized"]),
        (one_set(name="{}.jpg".format), "majority", ["0 of 4 photographs", "4 no_person"]),
    ],
)
def test_nothing_usable_is_one_line_with_the_counts(
    tmp_path: Path, write: Callable[[Path], None], policy: str, words: list[str]
) -> None:
    source = tmp_path / "data_raw/set"
    source.mkdir(parents=True)
    write(source)
    with pytest.raises(InputError) as caught:
        prepare(source, tmp_path, policy=policy)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data_shared/summary.json").exists()


def test_nothing_usable_leaves_finished_tables(tmp_path: Path) -> None:
    good = prepare(data_set(tmp_path / "good"), tmp_path)
    source = tmp_path / "bad"
    source.mkdir()
    renamed(source)
    with pytest.raises(InputError, match="0 of 8"):
        prepare(source, tmp_path)
    assert prepare(tmp_path / "good", tmp_path).crops_made == 0
    assert json.loads((tmp_path / "data_shared/summary.json").read_text(encoding="utf-8"))["kept"] == good.kept


def test_shrunk_photographs_are_warned_of(tmp_path: Path) -> None:
    assert prepare(data_set(tmp_path / "whole"), tmp_path).warnings == []
    # At 75 % the boxes are larger than the photographs, but most of each lies inside.
    shrunk = prepare(data_set(tmp_path / "shrunk", size=(72, 60)), tmp_path)
    assert shrunk.warnings == [f"face boxes: {RESIZED}"]
    assert shrunk.clipped_boxes == shrunk.kept == 280
    page = (tmp_path / "data_shared/summary.html").read_text(encoding="utf-8")
    assert KOREAN_WARNINGS[RESIZED] in page


def look_at(face: Callable[[int, Box], Box], photographs: int = 24) -> LookAt:
    """Find a face in the first photographs, given their number and box."""

    def look(paths: Sequence[str], boxes: npt.NDArray[np.float64], root: Path) -> list[Look]:
        assert [read_bytes(root, path) for path in paths[:photographs]]
        found: list[Box] = [(box[0], box[1], box[2], box[3]) for box in boxes[:photographs].tolist()]
        return [Look(row, box, [face(row, box)], Measure(96, 80, 0)) for row, box in enumerate(found)]

    return look


def as_center(row: int, box: Box) -> Box:
    """A face on which the box lies when it is read as x_center, y_center, width, height."""
    return box[0] - box[2] / 2, box[1] - box[3] / 2, box[0] + box[2] / 2, box[1] + box[3] / 2


def test_boxes_that_mean_something_else_are_refused_before_the_crops(tmp_path: Path) -> None:
    prepare(data_set(tmp_path / "good"), tmp_path, look=look_at(lambda _, box: box))
    finished = contents(tmp_path)
    source = data_set(tmp_path / "bad", people=21)
    with pytest.raises(InputError) as caught:
        prepare(source, tmp_path, look=look_at(as_center))
    assert str(caught.value) == (
        f"{source}: no box lies on a face. Read as x_center, y_center, width, height, 24 of 24 do; correct the boxes "
        "in the label files, or use the original photographs, and prepare again"
    )
    assert contents(tmp_path) == finished


@pytest.mark.parametrize(
    ("face", "words"),
    [
        (lambda _, box: (90, 70, 95, 79), "none of the boxes lies on the face that was found (24 photographs; first"),
        (lambda row, box: box if row % 2 else (90, 70, 95, 79), None),
        (lambda _, box: box, None),
    ],
)
def test_boxes_beside_the_faces_stand_in_the_summary(
    tmp_path: Path, face: Callable[[int, Box], Box], words: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    source = data_set(tmp_path / "set")
    made = prepare(source, tmp_path, look=look_at(face))
    page = (tmp_path / "data_shared/summary.html").read_text(encoding="utf-8")
    written = json.loads((tmp_path / "data_shared/summary.json").read_text(encoding="utf-8"))["warnings"]
    assert made.warnings == written
    if not words:
        assert not made.warnings
        assert not caplog.messages
        return
    (warning,) = written
    assert warning.startswith(f"face boxes: {source}: {words} ")
    assert "correct the boxes in the label files, or use the original photographs, and prepare again" in warning
    assert caplog.messages == [warning.removeprefix("face boxes: ")]
    assert "face boxes: 박스가 사진 속 얼굴과 맞지 않음 · " in page
    assert prepare(source, tmp_path).warnings == written, "of the finished run"


def test_photographs_that_are_dropped_are_no_crops(tmp_path: Path) -> None:
    source = data_set(tmp_path / "set")
    name = file_name(99)
    label_zip(source / "more", "기쁨", [record(name)])
    image_zip(source / "more", "기쁨", {name: b"no photograph"})
    for crops in (280, 0):
        preparation = prepare(source, tmp_path)
        assert (preparation.kept, preparation.crops_made, preparation.drops) == (280, crops, {"not_an_image": 1})


@pytest.mark.parametrize("labels", [False, True])
def test_the_parts_of_a_download_are_told(tmp_path: Path, labels: bool) -> None:
    source = tmp_path / "set"
    source.mkdir()
    if labels:
        label_zip(source, "기쁨", [record(file_name(1))])
    for number in (0, 1 << 30, 1 << 31):
        (source / f"[원천]기쁨 1.zip.part{number}").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"are there; found 3 parts of archives \(first .*1\.zip\.part0\)") as caught:
        prepare(source, tmp_path)
    name = f"'{source}/[원천]기쁨 1.zip'"
    assert f"(ls -v {name}.part* | xargs -d '\\n' cat > {name})" in str(caught.value)


def test_a_source_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"x")
    with pytest.raises(InputError, match=r"a\.zip: is a file; give the folder"):
        prepare(tmp_path / "a.zip", tmp_path)


def scheme_file(path: Path, *classes: str) -> Path:
    path.write_text("".join(f"[[class]]\n{text}\n" for text in classes), encoding="utf-8")
    return path


def test_tables_of_an_own_scheme_are_a_view_of_the_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepare(data_set(tmp_path / "set"), tmp_path)
    good = scheme_file(tmp_path / "mood.toml", 'name="good"\naihub=["기쁨"]', 'name="bad"\naihub=["분노", "슬픔"]')
    counts = write_view(tmp_path, read_scheme(good))
    for folder in ("splits_csv", "cropped_faces_csv"):
        for split in ("train", "val", "test"):
            table = read_csv(tmp_path / f"data_shared/{folder}/{split}_mood.csv")
            k7 = read_csv(tmp_path / f"data_shared/{folder}/{split}_K7.csv")
            kept = k7.filter(k7["orig_kor"].is_in(["기쁨", "분노", "슬픔"]))
            assert table.columns == k7.columns
            assert table.drop("label_en").equals(kept.drop("label_en"))
            assert set(table["label_en"]) == {"good", "bad"}
            assert counts[split] == table.height
    assert not caplog.text
    prepare(tmp_path / "set", tmp_path, seed=1)
    assert "test_mood.csv, train_mood.csv, val_mood.csv show an earlier split" in caplog.text
    with pytest.raises(InputError, match="no class has AI Hub's labels"):
        write_view(tmp_path, read_scheme(scheme_file(tmp_path / "x.toml", 'name="a"', 'name="b"')))
    assert set(KOREAN) == set(read_csv(tmp_path / "data_shared/splits_csv/train_K7.csv")["orig_kor"])
