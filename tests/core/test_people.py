"""Who is unknown in a table, and which names are told."""

from pathlib import Path

import polars as pl
import pytest

from pyojeong.core.labels import K7
from pyojeong.core.people import known, warn_of_people
from pyojeong.core.table import read_table


def test_words_for_nobody_are_unknown() -> None:
    people = ["n/a", "모름", " Unknown", "-", "NA", " kim ", "Kim"]
    assert known(pl.Series(people)).to_list() == [None, None, None, None, "NA", "kim", "Kim"]


def test_names_that_differ_in_case_are_two_people_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = tmp_path / "t.csv"
    table.write_text(
        "path,label,person\n1,기쁨,Kim\n2,기쁨,kim \n3,기쁨,lee\n4,기쁨,n/a\n5,기쁨,N/A\n", encoding="utf-8"
    )
    people = read_table(table, scheme=K7, root=tmp_path)["person"]
    assert known(people).drop_nulls().n_unique() == 3
    assert caplog.messages == [
        f"{table}: the people Kim and kim differ only in how they are written, and count as different people; write "
        "them alike if they are one"
    ]
    caplog.clear()
    warn_of_people(pl.Series(["a", "A", "b", "B", "c", None]), table)
    assert "the people A and a differ only in how they are written, and count as different people (as do 1 more)" in (
        caplog.text
    )


def test_rounded_numbers_are_told(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_people(pl.Series(["2.02E+13", "7"]), Path("t.csv"))
    assert "t.csv: the column person has numbers that a spreadsheet rounded" in caplog.text
