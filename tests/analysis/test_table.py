import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pyojeong.analysis.reading import PictureFaces
from pyojeong.analysis.table import FaceTable, rows_of, schema_of
from pyojeong.analyzer import Face
from pyojeong.core.errors import InputError
from pyojeong.core.labels import BASIC7, FACEAPI, FACEAPI_KOREAN, K7, KOREAN

CLASSES = ("happy", "sad")
COLUMNS = [
    *("source", "frame", "time_s", "width", "height", "id", "minX", "minY", "maxX", "maxY", "score"),
    *("label", "label_en", "label_ko", "p_happy", "p_sad", "unsure", "reason"),
]


def seen(number: int, happy: float = 0.75) -> Face:
    chances = {"happy": happy, "sad": 1 - happy}
    label = max(chances, key=chances.__getitem__)
    return Face((1.5, 2.0, 30.0, 40.25), 0.875, {}, chances, label, unsure=happy == 0.5, id=number)


def table(*results: PictureFaces) -> FaceTable:
    rows = [row for result in results for row in rows_of(result, CLASSES)]
    return FaceTable(pl.DataFrame(rows, schema_of(CLASSES), orient="row"))


@pytest.fixture
def faces() -> FaceTable:
    return table(
        PictureFaces('사진 "1", 둘.jpg', width=640, height=480, faces=[seen(1), seen(2, 0.25)]),
        PictureFaces("film.mp4", 0, 0.0, 64, 48, [seen(1, 0.5)]),
        PictureFaces("film.mp4", 1, 0.04, 64, 48),
        PictureFaces("film.mp4", reason="ends_early"),
    )


def test_there_is_a_row_for_each_face_each_empty_picture_and_each_reason(faces: FaceTable) -> None:
    frame = faces.to_polars()
    assert frame.columns == COLUMNS
    assert frame.schema == schema_of(CLASSES)
    assert frame.row(0) == (
        *('사진 "1", 둘.jpg', None, None, 640, 480, 1, 1.5, 2.0, 30.0, 40.25, 0.875),
        *("happy", "happy", "기쁨", 0.75, 0.25, False, None),
    )
    assert frame["label_ko"].to_list() == ["기쁨", "슬픔", "기쁨", None, None]
    assert frame["unsure"].to_list() == [False, False, True, None, None]
    assert frame.row(3) == ("film.mp4", 1, 0.04, 64, 48, *(None,) * 13)
    assert frame.row(4) == ("film.mp4", *(None,) * 16, "ends_early")
    assert faces.problems.rows() == [("film.mp4", "ends_early")]
    assert (len(faces), faces.classes) == (5, CLASSES)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".CSV"])
def test_what_is_written_is_read_again(faces: FaceTable, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"faces{suffix}"
    faces.write(path)
    assert_frame_equal(FaceTable.read(path).to_polars(), faces.to_polars(), check_exact=True)
    empty = table()
    empty.write(path)
    if suffix != ".jsonl":
        assert_frame_equal(FaceTable.read(path).to_polars(), empty.to_polars())


def test_pandas_gets_the_same_rows_with_types_that_know_missing_values(faces: FaceTable) -> None:
    pandas = pytest.importorskip("pandas")
    frame = faces.to_pandas()
    assert [*frame.columns] == COLUMNS
    assert frame["frame"].isna().tolist() == [True, True, False, False, True]
    assert str(frame["id"].dtype) == "Int32"
    assert str(frame["unsure"].dtype) == "boolean"
    assert frame["p_happy"][0] == 0.75
    assert frame["time_s"][3] == 0.04
    assert isinstance(frame, pandas.DataFrame)


def test_without_pandas_the_remedy_is_named(faces: FaceTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pip install pandas"):
        faces.to_pandas()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"path,label\nx,y\n", "its columns are others"),
        ("a.csv", b"", "is no table of pyojeong analyze"),
        ("a.jsonl", b'{"a": 1}\n', "its columns are others"),
        ("a.jsonl", b"", "its columns are others"),
        ("a.parquet", b"?" * 100, "is no table of pyojeong analyze"),
        ("a.txt", b"x", r"a table ends in \.parquet, \.csv, \.jsonl"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: .*{words}"):
        FaceTable.read(tmp_path / name)


def test_labels_have_both_languages_under_every_scheme_of_the_package() -> None:
    for scheme in (K7, BASIC7):
        faces = [Face((0, 0, 1, 1), 1.0, {}, dict.fromkeys(scheme.classes, 0.1), name) for name in scheme.classes]
        rows = rows_of(PictureFaces("a.jpg", width=1, height=1, faces=faces), scheme.classes)
        frame = pl.DataFrame(rows, schema_of(scheme.classes), orient="row")
        assert frame["label"].to_list() == [*scheme.classes]
        assert set(frame["label_ko"]) == set(KOREAN if scheme is K7 else FACEAPI_KOREAN)
        assert all(name.isascii() for name in frame["label_en"])
        if scheme is BASIC7:
            assert tuple(frame["label_en"]) == FACEAPI
