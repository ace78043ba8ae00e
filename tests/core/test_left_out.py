"""The line about rows that were left out."""

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
    line = left_out(csv, PATHS, [None, "missing", "bad_box", "missing"], boxes)
    assert line == (
        f"{csv}: 3 of 4 rows left out: 2 missing (first b.jpg, line 4), 1 bad_box (first c.jpg, line 5, minX 0, "
        "minY 0, maxX 9.5, maxY 9); check the paths and --project-root"
    )


def test_the_remedy_is_that_of_the_most_common_reason(csv: Path) -> None:
    assert str(left_out(csv, PATHS, ["corrupt", None, None, None])).endswith(
        "1 corrupt (first a.jpg, line 3); the image is damaged and cannot be decoded to its end"
    )
    line = str(left_out(csv, PATHS, ["bad_box"] * 4))
    assert "none of its 4 rows can be used: 4 bad_box (first a.jpg, line 3); a box has an area" in line


def test_a_table_of_one_row(csv: Path) -> None:
    assert "t.csv: its only row cannot be used: 1 missing (first a.jpg" in str(left_out(csv, PATHS[:1], ["missing"]))


def test_nothing_is_said_where_nothing_is_left_out(csv: Path) -> None:
    assert left_out(csv, PATHS, [None] * 4) is None
