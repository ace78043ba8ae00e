"""Who is unknown in a table, and which names are told."""

from pathlib import Path

import polars as pl
import pytest

from pyojeong.core.labels import K7
from pyojeong.core.people import known, plain, warn_of_people
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
    warn_of_people(pl.DataFrame({"person": ["a", "A", "b", "B", "c", None]}), table)
    assert "the people A and a differ only in how they are written, and count as different people (as do 1 more)" in (
        caplog.text
    )


def test_rounded_numbers_are_told(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_people(pl.DataFrame({"person": ["2.02E+13", "7"]}), Path("t.csv"))
    assert "t.csv: the column person has numbers that a spreadsheet rounded" in caplog.text


def test_the_usual_words_for_a_gender_are_one() -> None:
    for words in (["남", "남자", "남성", "M", "male", "Male ", "MAN"], ["여", "여자", "여성", "f", "FEMALE", "Woman"]):
        assert plain(pl.Series("gender", words)).unique().to_list() == [words[0]]
    assert plain(pl.Series("place", ["M", "male"])).to_list() == ["m", "male"]


def test_a_person_with_two_genders_or_ages_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    table = pl.DataFrame(
        {
            "person": ["kim", "kim", "lee", "lee", "lee", "", ""],
            "gender": ["M", "남자", "F", "male", "", "F", "M"],
            "age": ["30", "32세", "30", "41", "30대", "1", "90"],
        }
    )
    warn_of_people(table, Path("t.csv"))
    remedy = "correct the table, or write another name in person for someone else"
    assert caplog.messages == [
        f"t.csv: 1 person has different values in the column gender (first lee: male and F); {remedy}",
        f"t.csv: 1 person has different values in the column age (first lee: 30 and 41); {remedy}",
    ]
    caplog.clear()
    warn_of_people(table.with_columns(age=pl.lit("30"), gender=pl.lit("n/a")), Path("t.csv"))
    warn_of_people(table.drop("person"), Path("t.csv"))
    assert not caplog.messages
