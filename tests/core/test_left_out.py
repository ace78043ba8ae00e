"""The line about rows that were left out."""

import unicodedata
from pathlib import Path

import pytest

from pyojeong.core.left_out import left_out

PATHS = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    file = tmp_path / "t.csv"
    file.write_text("path,label\n\n" + "".join(f"{path},happy\n" for path in PATHS))
    return file


def test_each_reason_has_its_count_and_its_first_row(csv: Path) -> None:
    boxes = [(0.0, 0.0, 9.5, 9.0)] * 4
    line = left_out(csv, PATHS, [None, "missing", "bad_box", "missing"], csv.parent, boxes)
    assert line == (
        f"{csv}: 3 of 4 rows left out: 2 missing (first b.jpg, line 4), 1 bad_box (first c.jpg, line 5, minX 0, "
        f"minY 0, maxX 9.5, maxY 9); there is no {csv.parent / 'b.jpg'}; check the paths and --project-root"
    )


def test_the_remedy_is_that_of_the_most_common_reason(csv: Path) -> None:
    assert str(left_out(csv, PATHS, ["corrupt", None, None, None], csv.parent)).endswith(
        "1 corrupt (first a.jpg, line 3); the image is damaged and cannot be decoded to its end"
    )
    line = str(left_out(csv, PATHS, ["bad_box"] * 4, csv.parent))
    assert "none of its 4 rows can be used: 4 bad_box (first a.jpg, line 3); a box has an area" in line


def test_a_table_of_one_row(csv: Path) -> None:
    line = str(left_out(csv, PATHS[:1], ["missing"], csv.parent))
    assert "t.csv: its only row cannot be used: 1 missing (first a.jpg" in line


@pytest.mark.parametrize("path", ["p/00", "P/00.JPG", "사진/a"])
def test_a_file_with_nearly_the_same_name_is_told(csv: Path, path: str) -> None:
    root = csv.parent
    for name in ("p/00.jpg", unicodedata.normalize("NFD", "사진/a.png")):
        (root / name).parent.mkdir()
        (root / name).touch()
    meant = "p/00.jpg" if path.isascii() else unicodedata.normalize("NFD", "사진/a.png")
    line = str(left_out(csv, [path], ["missing"], root))
    assert line.endswith(f"; there is no {root / path}, but {root / meant}; correct the paths")


def test_the_project_root_is_told_where_the_photographs_lie_near_the_table(tmp_path: Path) -> None:
    (tmp_path / "mine/tables").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "mine/a.jpg").touch()
    csv = tmp_path / "mine/tables/t.csv"
    csv.write_text("path,label\na.jpg,happy\n")
    line = str(left_out(csv, ["a.jpg"], ["missing"], tmp_path / "other"))
    found = tmp_path / "mine"
    assert line.endswith(
        f"; there is no {tmp_path / 'other/a.jpg'}, but {found / 'a.jpg'}; give --project-root {found}"
    )


def test_a_name_that_is_too_long_is_only_missing(csv: Path) -> None:
    assert str(left_out(csv, ["a" * 300], ["missing"], csv.parent)).endswith("; check the paths and --project-root")


def test_nothing_is_said_where_nothing_is_left_out(csv: Path) -> None:
    assert left_out(csv, PATHS, [None] * 4, csv.parent) is None
