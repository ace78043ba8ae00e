import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pyojeong.core import geometry
from pyojeong.core.alignment import aligned_crop, face_points
from pyojeong.core.errors import InputError
from pyojeong.core.files import file_lock
from pyojeong.core.geometry import AIHUB_FRAMING, Framing
from pyojeong.core.labels import BASIC7, K7, M1
from pyojeong.core.table import BOX_COLUMNS, write_csv
from pyojeong.core.workspace import CROP_CACHE
from pyojeong.detection.detector import Detector
from pyojeong.training.crop_cache import POINT_COLUMNS, CropSet, CropTable, open_crops, read_crop_table
from tests.faceapi.faces import portrait
from tests.patterns import write_crops


def opened(csv: Path, root: Path, workers: int = 2) -> CropSet:
    return open_crops(read_crop_table(csv, scheme=M1, root=root, framing=AIHUB_FRAMING), root, workers)


def test_every_row_holds_its_crop_resized(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 2)
    found = opened(csv, tmp_path)

    assert found.pixels.shape == (12, 160, 160, 3)
    assert found.pixels.dtype == np.uint8
    assert found.dropped == {}
    assert found.labels.tolist() == [*range(6)] * 2
    for row, path in zip(found.rows, found.paths, strict=True):
        expected = geometry.resize(np.asarray(Image.open(tmp_path / path)))
        assert np.array_equal(found.pixels[row], expected)


def test_order_does_not_depend_on_the_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyojeong.training.crop_cache._CHUNK", 5)
    csv = write_crops(tmp_path, "train", 3)
    arrays = []
    for workers in (1, 4):
        arrays.append(np.array(opened(csv, tmp_path, workers).pixels))
        for file in (tmp_path / CROP_CACHE).iterdir():
            file.unlink()

    assert np.array_equal(arrays[0], arrays[1])


def test_unreadable_crops_are_dropped_and_counted(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)
    (tmp_path / "crops/train/001.png").unlink()
    (tmp_path / "crops/train/002.png").write_bytes(b"")
    (tmp_path / "crops/train/003.png").write_bytes(b"no image")
    found = opened(csv, tmp_path)

    assert found.dropped == {"empty": 1, "missing": 1, "not_an_image": 1}
    assert found.rows.tolist() == [0, 4, 5]
    assert found.labels.tolist() == [0, 4, 5]
    assert [Path(path).stem for path in found.paths] == ["000", "004", "005"]
    assert len(found) == 3


def test_nothing_usable_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)

    with pytest.raises(InputError, match=r"train\.csv: none of its 6 rows can be used: 6 missing .*--project-root"):
        opened(csv, tmp_path / "elsewhere")


def test_images_are_decoded_once_for_all_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv = write_crops(tmp_path, "train", 1)
    first = opened(csv, tmp_path)
    frame = pl.read_csv(csv).with_columns(pl.lit("슬픔").alias("label_en"))
    write_csv(frame, tmp_path / "other.csv")
    monkeypatch.setattr("pyojeong.core.images.decode", lambda *_: pytest.fail("decoded again"))
    listing = read_crop_table(tmp_path / "other.csv", scheme=K7, root=tmp_path, framing=AIHUB_FRAMING)
    second = open_crops(listing, tmp_path)

    assert second.labels.tolist() == [K7.classes.index("슬픔")] * 6
    assert np.array_equal(first.pixels, second.pixels)
    assert len([*(tmp_path / CROP_CACHE).glob("*.npy")]) == 1


def test_a_changed_crop_is_decoded_anew(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)
    opened(csv, tmp_path)
    white = np.full((50, 50, 3), 255, np.uint8)
    Image.fromarray(white).save(tmp_path / "crops/train/000.png")

    assert opened(csv, tmp_path).pixels[0].min() == 255


def test_a_changed_crop_of_the_same_size_is_decoded_anew(tmp_path: Path) -> None:
    write_csv(pl.DataFrame({"path": ["a.bmp"], "label": ["happy"]}), tmp_path / "a.csv")
    for level in (200, 10):
        Image.fromarray(np.full((40, 40, 3), level, np.uint8)).save(tmp_path / "a.bmp")
        os.utime(tmp_path / "a.bmp", ns=(level, level))
        assert opened(tmp_path / "a.csv", tmp_path).pixels.max() == level


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", None])
@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_damaged_arrays_are_made_again(
    tmp_path: Path, suffix: str, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    csv = write_crops(tmp_path, "train", 1)
    expected = np.array(opened(csv, tmp_path).pixels)
    (array,) = (tmp_path / CROP_CACHE).glob(f"*{suffix}")
    array.write_bytes(array.read_bytes()[:-10] if content is None else content)

    assert np.array_equal(opened(csv, tmp_path).pixels, expected)
    assert "damaged; the images are decoded again" in caplog.text


def test_an_array_without_notes_is_not_trusted(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)
    expected = np.array(opened(csv, tmp_path).pixels)
    (array,) = (tmp_path / CROP_CACHE).glob("*.npy")
    array.with_suffix(".json").unlink()
    np.save(array, np.zeros_like(expected))

    assert np.array_equal(opened(csv, tmp_path).pixels, expected)


def test_what_a_killed_run_left_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)
    folder = tmp_path / CROP_CACHE
    folder.mkdir(parents=True)
    left, others = folder / ".0123456789abcdef.npy.dead.part", folder / ".fedcba9876543210.npy.live.part"
    left.write_bytes(b"half")
    others.write_bytes(b"half")
    with file_lock(others):
        opened(csv, tmp_path)
    assert not left.exists()
    assert others.exists()


def test_boxes_cut_the_face_out_of_the_photograph(tmp_path: Path) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(photograph).save(tmp_path / "photo.png")
    boxes = [(20, 30, 90, 130), (250, 150, 320, 230), (40, 40, 40, 90)]
    columns = dict(zip(("minX", "minY", "maxX", "maxY"), zip(*boxes, strict=True), strict=True))
    frame = pl.DataFrame({"path": ["photo.png"] * 3, "label": ["happy"] * 3} | columns)
    write_csv(frame, tmp_path / "splits.csv")
    keys = set()
    for framing in (Framing(0.0), Framing(0.15), Framing(0.15, aspect=0.76)):
        listing = read_crop_table(tmp_path / "splits.csv", scheme=M1, root=tmp_path, framing=framing)
        found = open_crops(listing, tmp_path)
        keys.add(listing.key)

        assert found.dropped == {"bad_box": 1}
        for row in (0, 1):
            assert np.array_equal(found.pixels[row], geometry.face_crop(photograph, boxes[row], framing))
    assert len(keys) == 3


def test_boxes_of_another_kind_are_converted(tmp_path: Path) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(photograph).save(tmp_path / "photo.png")
    box = (60, 40, 150, 150)
    columns = dict(zip(("minX", "minY", "maxX", "maxY"), zip(box, (40, 40, 40, 90), strict=True), strict=True))
    frame = pl.DataFrame({"path": ["photo.png"] * 2, "label": ["happy"] * 2} | columns)
    write_csv(frame, tmp_path / "splits.csv")
    framing = Framing(-0.05, -0.06, 0.9, "detector")
    cut = {}
    for kind in geometry.BOX_KINDS:
        found = open_crops(
            read_crop_table(tmp_path / "splits.csv", scheme=M1, root=tmp_path, framing=framing, box_kind=kind), tmp_path
        )
        assert found.dropped == {"bad_box": 1}
        cut[kind] = found.pixels[0]

    own = geometry.annotator_box(box, "blazeface")
    assert np.array_equal(cut["blazeface"], geometry.face_crop(photograph, geometry.detector_box(own), framing))
    assert np.array_equal(cut["detector"], geometry.face_crop(photograph, box, framing))
    assert np.array_equal(cut["annotator"], geometry.face_crop(photograph, geometry.detector_box(box), framing))


def test_faces_are_aligned_by_the_landmarks_around_their_boxes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image, box = portrait(2)
    Image.fromarray(image).save(tmp_path / "face.png")
    Image.fromarray(np.full_like(image, 90)).save(tmp_path / "nobody.png")
    columns = {name: [value] * 3 for name, value in zip(BOX_COLUMNS, box, strict=True)}
    columns["maxX"][2] = box[0]
    paths = ["face.png", "nobody.png", "face.png"]
    write_csv(pl.DataFrame({"path": paths, "label": ["happy"] * 3} | columns), tmp_path / "splits.csv")
    framing = Framing(0.1, aligned_by="landmarks")
    table = read_crop_table(tmp_path / "splits.csv", scheme=M1, root=tmp_path, framing=framing)
    found = open_crops(table, tmp_path)

    looked = Detector(threads=1).look_at(image, box)
    assert looked
    assert np.array_equal(found.pixels[0], aligned_crop(image, face_points(looked.landmarks), geometry.SIZE))
    assert np.array_equal(found.pixels[1], geometry.face_crop(np.full_like(image, 90), box, framing))
    assert found.dropped == {"bad_box": 1}
    assert "no landmarks in 1 face, cut by the box" in caplog.text
    by_box = read_crop_table(tmp_path / "splits.csv", scheme=M1, root=tmp_path, framing=Framing(0.1))
    assert by_box.key != table.key


@pytest.mark.parametrize(("column", "wanted"), [("box", "landmarks"), ("landmarks", "box")])
def test_crops_that_are_aligned_in_another_way_are_refused(column: str, wanted: str, tmp_path: Path) -> None:
    def read(*values: str) -> CropTable:
        csv = tmp_path / "crops.csv"
        csv.write_text("path,label,aligned_by\n" + "".join(f"a.png,happy,{value}\n" for value in values))
        return read_crop_table(csv, scheme=M1, root=tmp_path, framing=Framing(aligned_by=wanted))

    assert read(wanted, "").paths == ["a.png", "a.png"], "empty where it is not known"
    with pytest.raises(
        InputError, match=rf"crops\.csv, line 3: this crop is aligned by {column}, .*aligned_by={column}"
    ):
        read(wanted, column)
    with pytest.raises(InputError, match=r"crops\.csv, line 2: aligned_by is 'eyes'; it must be box or landmarks"):
        read("eyes")


def test_another_picture_is_noticed_where_the_table_has_decomposed_hangul(tmp_path: Path) -> None:
    write_csv(
        pl.DataFrame({"path": [unicodedata.normalize("NFD", "기쁨.png")], "label": ["happy"]}), tmp_path / "a.csv"
    )
    for level, side in ((200, 40), (10, 80)):
        Image.fromarray(np.full((side, side, 3), level, np.uint8)).save(tmp_path / "기쁨.png")
        (patch,) = opened(tmp_path / "a.csv", tmp_path).pixels
        assert (patch.min(), patch.max()) == (level, level)


def test_a_crop_that_is_not_square_keeps_its_shape(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 80, 3), 200, np.uint8)).save(tmp_path / "wide.png")
    write_csv(pl.DataFrame({"path": ["wide.png"], "label": ["happy"]}), tmp_path / "wide.csv")
    (patch,) = opened(tmp_path / "wide.csv", tmp_path).pixels

    assert patch[80].min() == 200
    assert patch[:35].max() == 0
    assert patch[125:].max() == 0


def test_the_notes_say_what_was_dropped(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)
    (tmp_path / "crops/train/004.png").unlink()
    opened(csv, tmp_path)
    (notes,) = (tmp_path / CROP_CACHE).glob("*.json")

    assert json.loads(notes.read_text())["dropped"] == {"4": "missing"}


def write_rows(root: Path, words: list[str], **columns: list[object]) -> Path:
    """Write a table of (missing) crops with more columns than the contract's."""
    frame = pl.DataFrame({"path": [f"{row}.png" for row in range(len(words))], "orig_kor": words, **columns})
    write_csv(frame, root / "rows.csv")
    return root / "rows.csv"


VOTED: dict[str, list[object]] = {
    "votes_상처": [2, 1, None],
    "votes_슬픔": [1, 1, None],
    "votes_기쁨": [0, 0, None],
    "votes_알수없음": [0, 1, None],
}


def test_votes_are_counted_by_class_of_the_scheme(tmp_path: Path) -> None:
    csv = write_rows(tmp_path, ["상처", "슬픔", "기쁨"], **VOTED)
    votes = {
        scheme.name: read_crop_table(csv, scheme=scheme, root=tmp_path, framing=Framing(margin=0)).votes
        for scheme in (K7, M1, BASIC7)
    }

    assert votes["K7"] is not None
    assert votes["K7"].tolist() == [[0, 0, 0, 0, 2, 1, 0], [0, 0, 0, 0, 1, 1, 0], [0] * 7]
    for name, scheme in (("M1", M1), ("BASIC7", BASIC7)):
        sad = np.eye(len(scheme.classes))[scheme.classes.index("sad")]
        assert np.array_equal(np.array(votes[name]), [3 * sad, 2 * sad, 0 * sad])


@pytest.mark.parametrize(
    ("vote", "message"), [("two", "line 3: votes_기쁨 is 'two'"), (-1, "line 3: a negative number")]
)
def test_votes_that_are_none_are_refused(tmp_path: Path, vote: object, message: str) -> None:
    csv = write_rows(tmp_path, ["기쁨", "기쁨"], votes_기쁨=["1", str(vote)])

    with pytest.raises(InputError, match=message):
        read_crop_table(csv, scheme=K7, root=tmp_path, framing=Framing(margin=0))


def test_data_sets_are_numbered(tmp_path: Path) -> None:
    mixed = write_rows(tmp_path, ["기쁨"] * 4, set=["raf", "fer", "raf", None])
    assert read_crop_table(mixed, scheme=K7, root=tmp_path, framing=Framing(margin=0)).sets.tolist() == [2, 1, 2, 0]
    plain = write_rows(tmp_path, ["기쁨"] * 2)
    listing = read_crop_table(plain, scheme=K7, root=tmp_path, framing=Framing(margin=0))
    assert listing.sets.tolist() == [0, 0]
    assert listing.votes is None


def test_sets_and_votes_of_unusable_rows_are_left_out(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)
    frame = pl.read_csv(csv).with_columns(set=pl.Series([*"aabbcc"]), votes_분노=pl.Series(range(6)))
    write_csv(frame, csv)
    (tmp_path / "crops/train/001.png").unlink()
    found = opened(csv, tmp_path)

    assert found.sets.tolist() == [0, 1, 1, 2, 2]
    assert found.votes is not None
    assert found.votes[:, M1.classes.index("angry")].tolist() == [0, 2, 3, 4, 5]
    assert found.votes.sum() == 14


def test_votes_for_words_of_the_scheme_count_and_others_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    csv = write_crops(tmp_path, "train", 1)
    rows = pl.read_csv(csv).height
    columns = {"votes_happy": 2, "votes_기쁨": 1, "votes_알수없음": 1, "votes_bored": 3}
    write_csv(pl.read_csv(csv).with_columns(**{name: pl.lit(count) for name, count in columns.items()}), csv)
    votes = read_crop_table(csv, scheme=BASIC7, root=tmp_path, framing=Framing(margin=0)).votes

    assert votes is not None
    assert votes.tolist() == [[3.0 if name == "happy" else 0.0 for name in BASIC7.classes]] * rows
    assert "train.csv: votes_bored: not labels of BASIC7, so these votes are ignored" in caplog.text
    assert "알수없음" not in caplog.text


def test_faces_with_landmarks_are_aligned_and_others_taken_whole(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)
    table = pl.read_csv(csv).head(2)
    points = (40.0, 60.0, 110.0, 70.0, 70.0, 120.0)
    columns = {name: [str(value), ""] for name, value in zip(POINT_COLUMNS, points, strict=True)}
    write_csv(table.with_columns(**{name: pl.Series(values) for name, values in columns.items()}), csv)
    aligned = read_crop_table(csv, scheme=M1, root=tmp_path, framing=Framing(0, aligned_by="landmarks"))
    upright = read_crop_table(csv, scheme=M1, root=tmp_path, framing=Framing(0))
    found = open_crops(aligned, tmp_path)

    images = [np.asarray(Image.open(tmp_path / path)) for path in found.paths]
    corners = [points[:2], points[2:4], points[4:]]
    assert np.array_equal(found.pixels[0], aligned_crop(images[0], corners, geometry.SIZE))
    assert np.array_equal(found.pixels[1], geometry.resize(images[1]))
    assert upright.points is None
    assert upright.key != aligned.key
    assert np.array_equal(open_crops(upright, tmp_path).pixels[0], geometry.resize(images[0]))


def test_a_landmark_that_is_no_number_is_refused(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)
    columns = [pl.lit("5" if name != "mouthY" else "low").alias(name) for name in POINT_COLUMNS]
    write_csv(pl.read_csv(csv).with_columns(columns), csv)
    with pytest.raises(InputError, match=r"line 2: mouthY is 'low', not a number"):
        read_crop_table(csv, scheme=M1, root=tmp_path, framing=Framing(0, aligned_by="landmarks"))
