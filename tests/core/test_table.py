import re
from pathlib import Path

import polars as pl
import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.labels import K7, M1
from pyojeong.core.table import read_csv, read_table, write_csv


def save(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_columns_are_found_under_all_their_names(tmp_path):
    file = save(tmp_path / "a.csv", "img,label\nx/1.jpg,기쁨\n")
    frame = read_table(file, scheme=M1, root=tmp_path)
    assert frame.rows() == [("x/1.jpg", "happy")]


def test_label_en_wins_over_orig_kor_and_other_columns_stay(tmp_path):
    file = save(tmp_path / "a.csv", "image,orig_kor,label_en,person\n1.jpg,기쁨,sad,p1\n")
    frame = read_table(file, scheme=M1, root=tmp_path)
    assert frame.to_dicts() == [
        {"path": "1.jpg", "label": "sad", "orig_kor": "기쁨", "label_en": "sad", "person": "p1"}
    ]


def test_empty_columns_of_spreadsheets_do_no_harm(tmp_path):
    file = save(tmp_path / "a.csv", ",path,label,path_duplicated_0,,\n,1.jpg,기쁨,x,,\n")
    assert read_table(file, scheme=K7, root=tmp_path).select("path", "label").rows() == [("1.jpg", "기쁨")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_encodings_of_korean_spreadsheets(tmp_path, encoding):
    file = save(tmp_path / "a.csv", "path,label\n사람/1.jpg,상처\n", encoding)
    assert read_table(file, scheme=K7, root=tmp_path)["path"].to_list() == ["사람/1.jpg"]


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\n,\n , \n"])
def test_empty_lines_at_the_end_do_no_harm(tmp_path, end):
    file = save(tmp_path / "a.csv", f"path,label\n1.jpg,기쁨{end}")
    assert read_table(file, scheme=K7, root=tmp_path)["path"].to_list() == ["1.jpg"]


def test_boxes_become_numbers(tmp_path):
    file = save(tmp_path / "a.csv", "path,label,minX,minY,maxX,maxY\n1.jpg,기쁨,-1, 2.5,30,40\n")
    frame = read_table(file, scheme=K7, root=tmp_path, boxes=True)
    assert frame.select("minX", "minY", "maxX", "maxY").rows() == [(-1.0, 2.5, 30.0, 40.0)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("where,label\n1.jpg,기쁨\n", ["path or image or img or src", "where, label", "Rename one of them to path"]),
        ("path,what\n1.jpg,기쁨\n", ["label_en or orig_kor or label", "Rename one of them to label_en"]),
        ("path,label\n", ["no row"]),
        ('path,"label",label\r\n1.jpg,기쁨,슬픔\r\n', ["two columns label", "remove or rename"]),
        ("", ["empty"]),
        ("path,label\n1.jpg,기쁨\n2.jpg,기뿜\n", ["line 3", "기뿜", "scheme K7"]),
        ("path,label\n1.jpg,\n", ["line 2", "''"]),
        ("path,label\n1.jpg,기쁨\n\n,기쁨\n", ["line 4: no path; fill it in, or remove the line"]),
        ("path,label\n,\n", ["no row"]),
        ("path,label\n1.jpg,기쁨\n../2.jpg,기쁨\n", ["line 3", "project root", "--project-root"]),
        ("path,label\n/etc/passwd,기쁨\n", ["line 2", "project root"]),
        ("path,label\n1.jpg,기쁨\n", ["no column minX"]),
        ("path,label,minX,minY,maxX,maxY\n1.jpg,기쁨,1,2,3,x\n", ["line 2", "maxY", "'x'"]),
        ("path,label,minX,minY,maxX,maxY\n1.jpg,기쁨,1,2,3,inf\n", ["line 2", "maxY"]),
        ("path,label,minX,minY,maxX,maxY\n1.jpg,기쁨,1,2,3,\n", ["line 2", "maxY"]),
    ],
)
def test_errors_name_file_line_and_remedy(tmp_path, text, words):
    file = save(tmp_path / "bad.csv", text)
    with pytest.raises(InputError) as caught:
        read_table(file, scheme=K7, root=tmp_path, boxes=True)
    for word in ["bad.csv", *words]:
        assert word in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_csv(tmp_path)


def test_a_file_in_no_known_encoding_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"path,label\n\xff\xff\x81,x\n")
    with pytest.raises(InputError, match="CP949"):
        read_csv(tmp_path / "a.csv")


def test_what_is_written_is_read_back(tmp_path):
    frame = pl.DataFrame({"path": ["a,b.jpg", 'c"d.jpg'], "label": ["기쁨", "슬픔"]})
    write_csv(frame, tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv", scheme=K7, root=tmp_path).equals(frame)


def test_the_project_root_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = save(tmp_path / "a.csv", "path,label\n/elsewhere/1.jpg,기쁨\n")
    with pytest.raises(InputError, match=re.escape(f"is not below the project root {tmp_path}; give paths relative")):
        read_table(file, scheme=K7, root=Path())
