"""Prediction files become tables with the same images, and what is left out of them is told with its place."""

from pathlib import Path

import polars as pl
import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.labels import K7, M1
from pyojeong.evaluation.common_images import align, read_common
from pyojeong.evaluation.comparison import compare
from tests.evaluation.test_comparison import FACEAPI_CSV, _read


def test_alignment_pairs_by_photograph_and_number(tmp_path: Path) -> None:
    first = _read(tmp_path, "path,true,pred\nx,happy,happy\ny,sad,sad\nx,angry,sad\n")
    second = _read(tmp_path, "path,true,pred\nw,sad,sad\nx,happy,sad\nx,angry,angry\n")
    one, two = align(first, second)
    assert one["true"].to_list() == two["true"].to_list() == ["happy", "angry"]
    assert two["pred"].to_list() == ["sad", "angry"]
    crops = second.with_columns(photo=pl.Series(["y", "no", "no"]), path=pl.Series(["1", "2", "3"]))
    one, two = align(first.with_columns(photo="path"), crops)
    assert (one["path"].to_list(), two["path"].to_list()) == (["y"], ["1"])


def test_two_truths_for_one_image_are_an_error(tmp_path: Path) -> None:
    first = _read(tmp_path, "path,true,pred\na,sad,sad\nx,happy,happy\n")
    second = _read(tmp_path, "path,true,pred\nx,sad,happy\na,sad,sad\n")
    with pytest.raises(InputError, match="one file: x is 'happy', and 'sad' in the other; make both"):
        align(first, second)
    for name, label in (("a", "happy"), ("b", "sad")):
        (tmp_path / f"{name}.csv").write_text(f"path,true,pred\n\n1,sad,sad\n2,{label},sad\n")
    with pytest.raises(InputError, match=r"a\.csv, line 4: 2 is 'happy', and 'sad' in .*b\.csv, line 4; make both"):
        compare([(name, tmp_path / f"{name}.csv") for name in "ab"], M1, tmp_path / "out")


def test_compare_reports_what_it_leaves_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_text("path,true,pred\n1,happy,happy\n2,happy,happy\n3,happy,happy\n")
    (tmp_path / "b.csv").write_text("path,true,pred\n1,happy,happy\n")
    compare([(name, tmp_path / f"{name}.csv") for name in "ab"], M1, tmp_path)
    assert "a.csv: 2 of its 3 rows are not in all files (first 2, line 3); they are left out" in caplog.text
    assert "b.csv" not in caplog.text


def test_compare_tells_repeats_and_images_with_two_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_text("path,true,pred\n1,happy,happy\n2,sad,sad\n2,happy,sad\n9,sad,sad\n")
    (tmp_path / "b.csv").write_text("path,true,pred\n1,happy,happy\n2,sad,sad\n")
    compare([(name, tmp_path / f"{name}.csv") for name in "ab"], M1, tmp_path / "out")
    assert "a.csv: 1 of its 4 rows are not in all files (first 9, line 5)" in caplog.text
    assert "a.csv: 1 of its 4 rows repeat an image more often than another file does (first 2, line 4)" in caplog.text
    assert "a.csv: the rows of 1 image have different labels (first 2, line 3)" in caplog.text
    assert "b.csv" not in caplog.text
    with pytest.raises(InputError, match=r"a\.csv: is a file; name a folder"):
        compare([(name, tmp_path / f"{name}.csv") for name in "ab"], M1, tmp_path / "a.csv")


def test_compare_tells_rows_in_no_score_and_faces_elsewhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "faceapi.csv").write_text(FACEAPI_CSV, encoding="utf-8")
    (tmp_path / "astray.csv").write_text(FACEAPI_CSV.replace("1,0.", "1,0.0"), encoding="utf-8")
    made = compare([(name, tmp_path / f"{name}.csv") for name in ("faceapi", "astray")], M1, tmp_path)
    assert made.left_out == {"faceapi": {"corrupt": 1}, "astray": {"corrupt": 1}}
    assert "faceapi.csv: 1 of 7 rows are in no score (1 corrupt; first f, line 7)" in caplog.text
    assert "faceapi.csv: none of the faces" not in caplog.text
    assert "astray.csv: none of the faces that were found lies at the labeled box (4 images)" in caplog.text


def test_compare_keeps_the_images_in_all_three(tmp_path: Path) -> None:
    for name, rows in {"a": "123", "b": "234", "c": "345"}.items():
        lines = "".join(f"{row},happy,happy\n" for row in rows)
        (tmp_path / f"{name}.csv").write_text("path,true,pred\n" + lines)
    comparison = compare([(name, tmp_path / f"{name}.csv") for name in "abc"], M1, tmp_path)
    assert comparison.scores["n"].to_list() == [1, 1, 1]
    assert comparison.paired.select("first", "second").rows() == [("a", "b"), ("a", "c"), ("b", "c")]


def test_paths_are_compared_as_everywhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One photograph may be written in several ways; what is not below the project root stays as it is."""
    ways = ("photos/가 나.jpg", r"photos\가 나.jpg", "./photos//가 나.jpg", f" {tmp_path}/photos/가 나.jpg ")
    for number, way in enumerate(ways):
        lines = f"{way},happy,happy\n/elsewhere/b.jpg,sad,sad\n../c.jpg,sad,sad\n"
        (tmp_path / f"{number}.csv").write_text("path,true,pred\n" + lines, encoding="utf-8")
    files = [(str(number), tmp_path / f"{number}.csv") for number in range(len(ways))]
    found = compare(files, M1, tmp_path / "out", root=tmp_path)
    assert found.scores["n"].to_list() == [3] * len(ways)
    monkeypatch.chdir(tmp_path)
    assert compare(files, M1, tmp_path / "out").scores["n"].to_list() == [3] * len(ways)


def test_files_may_write_a_group_differently_but_not_a_person(tmp_path: Path) -> None:
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for file, text in zip(files, ("kim,남자,Home", "kim,Male,home"), strict=True):
        file.write_text(f"path,true,pred,person,gender,place\n1.jpg,기쁨,기쁨,{text}\n", encoding="utf-8")
    first, second = read_common(files, K7, tmp_path)
    assert first["gender"].to_list() == second["gender"].to_list() == ["남자"]
    files[1].write_text("path,true,pred,person,gender\n1.jpg,기쁨,기쁨,Kim,남\n", encoding="utf-8")
    with pytest.raises(InputError, match="has the person 'kim', and 'Kim' in"):
        read_common(files, K7, tmp_path)
