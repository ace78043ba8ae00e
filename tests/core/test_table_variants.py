"""Tables as spreadsheets and other tools write them: encodings, separators, column names, boxes, names and repeats."""

import unicodedata
from pathlib import Path

import polars as pl
import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.images import ImageError, read_bytes
from pyojeong.core.labels import BASIC7, K7
from pyojeong.core.table import read_csv, read_table

ROWS = [["사진/1.jpg", "happy", "200", "240", "490", "550"], ["2.jpg", "neutral", "1", "2", "30", "40"]]
HEAD = ["path", "label_en", "minX", "minY", "maxX", "maxY"]


def text_of(separator: str = ",", head: list[str] = HEAD, rows: list[list[str]] = ROWS, end: str = "\n") -> str:
    return "".join(separator.join(row) + end for row in [head, *rows])


def read(path: Path, data: bytes | str, *, boxes: bool | None = True) -> pl.DataFrame:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_table(path, scheme=BASIC7, root=path.parent, boxes=boxes)


EXPECTED = [("사진/1.jpg", "happy", 200.0, 240.0, 490.0, 550.0), ("2.jpg", "neutral", 1.0, 2.0, 30.0, 40.0)]


@pytest.mark.parametrize(
    "data",
    [
        text_of(";").encode("utf-8-sig"),  # Excel where the comma is the decimal sign
        text_of("\t").encode(),
        text_of("|").encode(),
        ("sep=;\n" + text_of(";")).encode(),  # Excel's own first line
        ("sep=\t\r\n" + text_of("\t", end="\r\n")).encode("utf-8-sig"),
        text_of("\t").encode("utf-16"),  # Excel's "Unicode text"
        b"\xfe\xff" + text_of(",").encode("utf-16-be"),
        text_of(",").encode("cp949"),
        text_of(";", end="\r\n").encode("cp949"),
        text_of(",", end="\r\n").encode("utf-8-sig"),
        text_of(",", [f'"{name}"' for name in HEAD], [[f'"{cell}"' for cell in row] for row in ROWS]).encode(),
        text_of(";", [*HEAD, '"a, b, c, d, e, f, g, h"'], [[*row, "x"] for row in ROWS]).encode(),
        (text_of(",") + ",,,,,\n\n").encode(),
        text_of(",", end="\r").encode(),  # the old Macintosh, and Excel's "CSV (Macintosh)"
        text_of(",", end="\r\r\n").encode(),  # text mode on Windows, twice
        text_of(",", end="\r\n\r\n").encode(),
        text_of(",", end="\n , , \n").encode(),
        ("\n,,,\n\n" + text_of(",")).encode("utf-8-sig"),
        text_of(",").encode("utf-16-le"),
        text_of(";", end="\r\n").encode("utf-16-be"),
        ("My photographs,,,,,\n" + text_of(",")).encode(),
        ("# exported on Monday\n\n" + text_of(";")).encode(),
        ("\ufeff" + text_of(",")).encode("utf-8-sig"),
        (text_of(",") + "\x1a").encode(),
        (text_of(",", HEAD, [[*row, "", ""] for row in ROWS])).encode(),
        (text_of(",", rows=[[ROWS[0][0], "\u200bhappy\ufeff", *ROWS[0][2:]], ROWS[1]])).encode(),
        text_of(",", rows=[[f"  {cell}\t" for cell in row] for row in ROWS]).encode(),
    ],
)
def test_encodings_and_separators(tmp_path: Path, data: bytes) -> None:
    frame = read(tmp_path / "a.csv", data)
    assert frame.select("path", "label", "minX", "minY", "maxX", "maxY").rows() == EXPECTED


@pytest.mark.parametrize(
    "head",
    [
        [name.capitalize() for name in HEAD],
        [name.upper() for name in HEAD],
        [name.lower() for name in HEAD],
        [f" {name} " for name in HEAD],
        ["Image", "Label", *HEAD[2:]],
        ["IMG", "Orig_Kor", *HEAD[2:]],
        ["src", "LABEL_EN", *HEAD[2:]],
        ["path", "label", "xmin", "ymin", "xmax", "ymax"],
        ["path", "label", "x_min", "y_min", "x_max", "y_max"],
        ["path", "label", "X1", "Y1", "X2", "Y2"],
        ["path", "label", "left", "top", "right", "bottom"],
        ["path", "label", "Xmin", "Ymin", "Xmax", "Ymax"],
        ["Filename", "Emotion", *HEAD[2:]],
        ["image", "label", *HEAD[2:]],
        ["파일명", "감정", *HEAD[2:]],
        [unicodedata.normalize("NFD", "파일 이름"), unicodedata.normalize("NFD", "표정"), *HEAD[2:]],
        ["File Name", "Facial-Expression", *HEAD[2:]],
        ["image_path", "CLASS", *HEAD[2:]],
        [*HEAD[:2], "min_x", "min_y", "max_x", "max_y"],
        [*HEAD[:2], "x min", "y min", "x max", "y max"],
        [*HEAD[:2], "x0", "y0", "x1", "y1"],
        [*HEAD[:2], "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"],
        [*HEAD[:2], "BoxLeft", "BoxTop", "BoxRight", "BoxBottom"],
        [*HEAD[:2], "face_xmin", "face_ymin", "face_xmax", "face_ymax"],
        [*HEAD[:2], "xtl", "ytl", "xbr", "ybr"],
        [*HEAD[:2], "startX", "startY", "endX", "endY"],
        [*HEAD[:2], "x_left", "y_top", "x_right", "y_bottom"],
        [*HEAD[:2], "bbox.xmin", "bbox.ymin", "bbox.xmax", "bbox.ymax"],
        [*HEAD[:2], "face_rectangle_left", "face_rectangle_top", "face_rectangle_right", "face_rectangle_bottom"],
        [*HEAD[:2], "left_x", "top_y", "right_x", "bottom_y"],
        [*HEAD[:2], "top-left x", "top-left y", "bottom-right x", "bottom-right y"],
        [*HEAD[:2], "왼쪽", "위", "오른쪽", "아래"],
        [*HEAD[:2], "좌", "상", "우", "하"],
    ],
)
def test_column_names(tmp_path: Path, head: list[str]) -> None:
    frame = read(tmp_path / "a.csv", text_of(",", head))
    assert frame.select("path", "label", "minX", "minY", "maxX", "maxY").rows() == EXPECTED


def test_two_columns_for_one_side_of_a_box_are_refused(tmp_path: Path) -> None:
    text = text_of(",", [*HEAD[:2], "x", "y", "bbox_x", "bbox_y"])
    with pytest.raises(InputError, match="x and bbox_x could both belong to a box; remove or rename one"):
        read(tmp_path / "a.csv", text, boxes=None)
    both = text_of(",", [*HEAD, "bbox_minX"], [[*row, "7"] for row in ROWS])
    assert read(tmp_path / "a.csv", both)["minX"].to_list() == [200, 1]


@pytest.mark.parametrize(
    "size",
    [
        ["x", "y", "width", "height"],
        ["x", "y", "w", "h"],
        ["X", "Y", "Width", "Height"],
        ["bbox_x", "bbox_y", "bbox_w", "bbox_h"],
    ],
)
def test_boxes_of_corner_and_size(tmp_path: Path, size: list[str]) -> None:
    rows = [[*row[:4], str(int(row[4]) - int(row[2])), str(int(row[5]) - int(row[3]))] for row in ROWS]
    frame = read(tmp_path / "a.csv", text_of(",", [*HEAD[:2], *size], rows))
    assert frame.select("path", "label", "minX", "minY", "maxX", "maxY").rows() == EXPECTED


SIZES = ["x", "y", "w", "h"]
LANDMARKS = ["x1", "y1", "x2", "y2"]
CORNERS = ["left", "top", "right", "bottom"]


@pytest.mark.parametrize(
    ("names", "values"),
    [
        ([*SIZES, "width", "height"], "10,20,30,40,512,512"),
        (["width", "height", *SIZES], "512,512,10,20,30,40"),
        (["bbox_x", "bbox_y", "bbox_w", "bbox_h", "width", "height"], "10,20,30,40,512,512"),
        ([*LANDMARKS, "face_x", "face_y", "face_w", "face_h"], "15,25,35,26,10,20,30,40"),
        ([*LANDMARKS, "box_left", "box_top", "box_right", "box_bottom"], "15,25,35,26,10,20,40,60"),
        ([*LANDMARKS, "face_x1", "face_y1", "face_x2", "face_y2"], "15,25,35,26,10,20,40,60"),
        ([*LANDMARKS, *HEAD[2:]], "15,25,35,26,10,20,40,60"),
        ([*CORNERS, "width", "height"], "10,20,40,60,512,512"),
        (["left", "top", "box_width", "box_height"], "10,20,30,40"),
        (["x", "y", "width", "height", *CORNERS], "10,20,30,40,10,20,40,60"),
        ([*CORNERS, *LANDMARKS], "10.4,20,40,60,10,20,40,60"),
    ],
)
def test_the_box_is_told_from_landmarks_and_the_size_of_the_photograph(
    tmp_path: Path, names: list[str], values: str
) -> None:
    text = f"path,label,{','.join(names)}\n1.jpg,happy,{values}\n"
    box = read(tmp_path / "a.csv", text).select(HEAD[2:]).row(0)
    assert box == pytest.approx((10, 20, 40, 60), abs=0.5)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([*LANDMARKS, *CORNERS], "x1, y1, x2, y2 and left, top, right, bottom could both be the box; remove or rename"),
        ([*LANDMARKS, *SIZES], "x1, y1, x2, y2 and x, y, w, h could both be the box"),
        (["x0", "y0", *LANDMARKS, "n", "m"], "x1, y1, x2, y2 and x0, y0, x1, y1 could both be the box"),
    ],
)
def test_two_boxes_that_differ_are_refused(tmp_path: Path, names: list[str], words: str) -> None:
    text = f"path,label,{','.join(names)}\n1.jpg,happy,15,25,35,26,10,20,40,60\n"
    with pytest.raises(InputError, match=words):
        read(tmp_path / "a.csv", text, boxes=None)


@pytest.mark.parametrize(
    ("head", "rows", "words"),
    [
        ([*HEAD[:2], "x", "y"], [row[:4] for row in ROWS], "has x, y of a box, and no right or bottom; a box is minX"),
        ([*HEAD[:2], "bbox"], [[*row[:2], '"[1, 2, 3, 4]"'] for row in ROWS], "x, y, width, height"),
        ([*HEAD[:2], "cx", "cy", "w"], [row[:5] for row in ROWS], "has cx, cy, w of a box, and no height"),
        (
            [*HEAD[:2], "xmin", "ymin", "xmax"],
            [row[:5] for row in ROWS],
            "has xmin, ymin, xmax of a box, and no bottom",
        ),
        (
            [*HEAD[:2], "minX", "minY", "maxX"],
            [row[:5] for row in ROWS],
            "has minX, minY, maxX of a box, and no bottom",
        ),
        ([*HEAD[:2], "x", "y", "너비"], [row[:5] for row in ROWS], "has x, y, 너비 of a box, and no height"),
        ([*HEAD[:2], "xmin", "ymin", "높이"], [row[:5] for row in ROWS], "has xmin, ymin, 높이 of a box, and no width"),
        (
            [*HEAD[:2], "left", "ymin", "w", "h", "right"],
            [[*row[:6], "7"] for row in ROWS],
            "left, ymin, w, h, right could all belong to a box; remove or rename those that do not",
        ),
        ([*HEAD[:2], "bbox_0", "bbox_1"], [row[:4] for row in ROWS], "no column minX"),
        (HEAD, [[*row[:2], "0.1", "0.2", "0.5", "0.9"] for row in ROWS], "not in shares of the image"),
        (HEAD, [[*ROWS[0][:5], '"550,5"']], "line 2: maxY is '550,5', not a number; write it with a decimal point"),
        (HEAD, [[*ROWS[0][:5], "550px"]], "line 2: maxY is '550px', not a number"),
        (HEAD, [ROWS[0], [*ROWS[1], "7"]], "line 3 has 7 fields and the header 6"),
    ],
)
def test_what_is_no_box_is_told_with_the_names_that_are_wanted(
    tmp_path: Path, head: list[str], rows: list[list[str]], words: str
) -> None:
    with pytest.raises(InputError, match=r"a\.csv") as caught:
        read(tmp_path / "a.csv", text_of(",", head, rows), boxes=None)
    assert words in str(caught.value)


def test_the_size_of_a_crop_is_no_box(tmp_path: Path) -> None:
    frame = read(tmp_path / "a.csv", "path,label,width,height\n1.jpg,happy,160,160\n", boxes=None)
    assert frame.columns == ["path", "label", "width", "height"]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Happy", "happy"),
        ("HAPPY", "happy"),
        (" happy ", "happy"),
        ("Happiness", "happy"),
        ("JOY", "happy"),
        (unicodedata.normalize("NFD", "기쁨"), "happy"),
        ("Sadness", "sad"),
        ("Fear", "fearful"),
        ("NEUTRAL", "neutral"),
        ("Disgust", "disgusted"),
        ("surprise", "surprised"),
        ("ANGER", "angry"),
    ],
)
def test_label_words(tmp_path: Path, word: str, name: str) -> None:
    assert read(tmp_path / "a.csv", f"path,label\n1.jpg,{word}\n", boxes=None)["label"].to_list() == [name]


def test_the_line_is_that_of_the_file_behind_quoted_line_breaks(tmp_path: Path) -> None:
    note = '"line one\nline two"'
    rows = "".join(f"{number}.jpg,happy,{note}\n" for number in range(4))
    with pytest.raises(InputError, match="line 10: the label 'neutrall'"):
        read(tmp_path / "a.csv", f"path,label,note\n{rows}5.jpg,neutrall,{note}\n", boxes=None)
    with pytest.raises(InputError, match="line 11: the label 'neutrall'"):
        read(tmp_path / "a.csv", f"sep=,\r\npath,label,note\r\n{rows}5.jpg,neutrall,{note}\r\n", boxes=None)


def test_the_line_is_that_of_the_file_behind_empty_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 9: the label 'neutrall'"):
        read(tmp_path / "a.csv", "\r\rpath,label\r\r1.jpg,happy\r,\r\r2.jpg,sad\r3.jpg,neutrall\r", boxes=None)


def test_a_quotation_mark_inside_a_cell_is_no_fault(tmp_path: Path) -> None:
    frame = read(tmp_path / "a.csv", 'path,label,note\n1.jpg,happy,5" tall\n2.jpg,sad,\n', boxes=None)
    assert frame["note"].to_list() == ['5" tall', ""]


def test_a_path_loses_the_blanks_around_it_unless_the_file_has_them(tmp_path: Path) -> None:
    (tmp_path / " own.jpg").write_bytes(b"x")
    frame = read(tmp_path / "a.csv", "path,label\n other.jpg ,happy\n own.jpg,happy\n", boxes=None)
    assert frame["path"].to_list() == ["other.jpg", " own.jpg"]


@pytest.mark.parametrize(
    ("head", "box", "words"),
    [
        (HEAD, ["490", "550", "200", "240"], "line 2: maxX is 200 and minX 490, and none of 2 boxes has an area"),
        (HEAD, ["200", "240", "490", "240"], "line 2: maxY is 240 and minY 240, and none of 2 boxes has an area"),
        (
            HEAD,
            ["300", "300", "200", "210"],
            "a box is minX, minY, maxX, maxY in pixels of the upright photograph, or x,",
        ),
        ([*HEAD[:2], "x", "y", "w", "h"], ["10", "10", "-5", "20"], "none of 2 boxes has an area"),
    ],
)
def test_a_table_without_a_box_with_an_area_is_refused(
    tmp_path: Path, head: list[str], box: list[str], words: str
) -> None:
    bad = ["1.jpg", "happy", *box]
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.csv", text_of(",", head, [bad, ["2.jpg", *bad[1:]]]))
    assert words in str(caught.value)
    assert len(read(tmp_path / "a.csv", text_of(",", head, [ROWS[0], bad]))) == 2


def test_repeated_rows_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read(tmp_path / "a.csv", text_of(",", HEAD, [*ROWS, *ROWS]))
    assert "a.csv: 2 rows repeat a face of an earlier row (line 4 repeats line 2), and each row counts" in caplog.text
    caplog.clear()
    read(tmp_path / "a.csv", text_of(",", HEAD, [*ROWS, ROWS[0]]))
    assert "a.csv: 1 row repeats a face of an earlier row (line 4 repeats line 2)" in caplog.text
    caplog.clear()
    two_faces = [ROWS[0], [*ROWS[0][:2], "1", "2", "30", "40"]]
    read(tmp_path / "a.csv", text_of(",", HEAD, two_faces))
    assert not caplog.text
    read(tmp_path / "a.csv", text_of(",", HEAD, [ROWS[0], [ROWS[0][0], "sad", *ROWS[0][2:]]]))
    assert "(line 3 repeats line 2 with another label)" in caplog.text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04rest of a workbook", "is a spreadsheet or an archive; save the table as CSV in UTF-8"),
        (b"\xd0\xcf\x11\xe0old workbook", "is a spreadsheet or an archive"),
        ("path,label\né.jpg,happy\n".encode("cp1252"), "neither UTF-8 nor CP949; save it as UTF-8"),
        *(
            (data, "the file is empty")
            for data in (b"\n\n  \n", b",,,", b'"', b'""\n""\n', b"sep=;\n", b"sep=;", b"\x1a")
        ),
        (b"label\nhappy\n", "no column path or image"),
        (b"path,label,Path\n1.jpg,happy,2.jpg\n", "has two columns path"),
        (b"path,label,PATH\n1.jpg,happy,2.jpg\n", "has two columns path"),
        (
            b"file,filepath,emotion\n1.jpg,1.jpg,happy\n",
            "file and filepath could both be it. Rename one of them to path",
        ),
        (b"path,emotion,class\n1.jpg,happy,1\n", "emotion and class could both be it. Rename one of them to label_en"),
        (b'[{"path": "1.jpg"}]', "holds JSON; save the table as CSV in UTF-8"),
        (b'{"path": "1.jpg", "label": "happy"}\n{"path": "2.jpg", "label": "sad"}\n', "holds JSON"),
        (b"\n<!DOCTYPE html><html><table></table></html>", "holds HTML or XML"),
        (b"\x1f\x8b\x08\0rest", "is compressed"),
        (b"\xff\xd8\xff\xe0rest", "is a picture"),
        (b"path label\n1.jpg happy\n", "has only the column 'path label'; separate columns by , ; | or tabs"),
        (b"path,label\nhttps://a.org/1.jpg,happy\n", "line 2: the path 'https://a.org/1.jpg' is an address; download"),
        (
            b"1.jpg,happy\n2.jpg,sad\n",
            "has no header, its first line holds '1.jpg'; put column names above it, such as path,label",
        ),
        ("\ufeff사진/가.PNG;happy\n2.jpg;sad\n".encode(), "has no header"),
        (b"path,label\n1.jpg,happy\n2\0.jpg,sad\n", "a.csv, line 3: holds a NUL character; remove it"),
        (b"\0" * 400, "holds a NUL character"),
        (b"\xff\xfep\0a", "damaged UTF-16; save it as UTF-8"),
        (b'path,label\n"1.jpg,happy\n2.jpg,sad\n', "(line 2 has a quotation mark that is not closed; close it"),
        (b'path,label\n1.jpg,happy\n\n2.jpg,"sad\n3.jpg,sad\n', "(line 4 has a quotation mark that is not closed"),
        (b'path,"label\n1.jpg,happy\n', "(line 1 has a quotation mark that is not closed"),
        (b"path,label\n" + b'"' + b"x" * 200_000 + b"\n", "(line 2 has a quotation mark that is not closed"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.csv", data, boxes=None)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (unicodedata.normalize("NFC", "기쁨.jpg"), unicodedata.normalize("NFD", "기쁨.jpg")),
        (unicodedata.normalize("NFD", "기쁨.jpg"), unicodedata.normalize("NFC", "기쁨.jpg")),
        ("사진/기쁨.jpg", f"사진/{unicodedata.normalize('NFD', '기쁨.jpg')}"),
        (f"사진/{unicodedata.normalize('NFD', '기쁨')}/é.jpg", f"{unicodedata.normalize('NFD', '사진')}/기쁨/é.jpg"),
        ("Mummé.jpg", unicodedata.normalize("NFD", "Mummé.jpg")),
        ("사진\\기쁨.jpg", "사진/기쁨.jpg"),
        (".\\a\\b.jpg", "a/b.jpg"),
        ("a//b.jpg", "a/b.jpg"),
        ("사진 😀 #1 50%25 & 'q'.jpg", "사진 😀 #1 50%25 & 'q'.jpg"),
        ("-dash.jpg", "-dash.jpg"),
    ],
)
def test_names_lead_to_their_file_however_they_are_written(tmp_path: Path, written: str, stored: str) -> None:
    (tmp_path / stored).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / stored).write_bytes(b"x")
    table = tmp_path / "a.csv"
    table.write_text(f"path,label\n{written},기쁨\n", encoding="utf-8")
    (path,) = read_table(table, scheme=K7, root=tmp_path)["path"]
    assert read_bytes(tmp_path, path) == b"x"


def test_a_folder_is_told_wherever_a_file_is_expected(tmp_path: Path) -> None:
    (tmp_path / "사진.jpg").mkdir()
    (tmp_path / "a.zip").mkdir()
    for path in ("사진.jpg", "a.zip", unicodedata.normalize("NFD", "사진.jpg"), "a.zip!/b.jpg"):
        with pytest.raises(ImageError, match="is a folder; name the images in it"):
            read_bytes(tmp_path, path)
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        read_csv(tmp_path)


def test_columns_of_groups_have_other_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,label,Sex,나이,직업,장소\na.jpg,happy,f,30,학생,집\n", encoding="utf-8")
    frame = read_csv(tmp_path / "a.csv")
    assert frame.select("gender", "age", "profession", "place").rows() == [("f", "30", "학생", "집")]
    (tmp_path / "a.csv").write_text("path,label,sex,gender\na.jpg,happy,f,m\n", encoding="utf-8")
    assert read_csv(tmp_path / "a.csv").select("sex", "gender").rows() == [("f", "m")]
