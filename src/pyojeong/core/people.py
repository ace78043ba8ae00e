"""What a table says of people: who is unknown, which words mean the same, and what may be a mistake."""

import logging
from pathlib import Path

import polars as pl

from pyojeong.core.labels import UNKNOWN

# What stands in the cell of an unknown person or group, in lower case. NA is no such word: a person may be called so.
_UNKNOWN = ("", "-", "–", "—", "?", "n/a", "nan", "none", "null", "unknown", "모름", "미상", UNKNOWN)

_GENDERS = (("남", "남자", "남성", "m", "male", "man"), ("여", "여자", "여성", "f", "female", "woman"))
_GENDER_OF = {word: words[0] for words in _GENDERS for word in words}

_YEARS = r"^(\d+(?:\.\d+)?)\s*(?:세|살)?$"
_AGING = 2
"""Years by which a person may grow older between the photographs of one table."""

_ROUNDED = r"^\d+([.,]\d+)?[eE]\+\d+$"

log = logging.getLogger(__name__)


def known(column: pl.Series) -> pl.Series:
    """Return a column of people or of one of ``GROUP_COLUMNS``, null where its text says that nothing is known."""
    texts = column.str.strip_chars()
    return texts.set(texts.str.to_lowercase().is_in(_UNKNOWN), None)


def plain(column: pl.Series) -> pl.Series:
    """Return texts as they are compared: stripped, in one form of Unicode and in lower case.

    The usual Korean and English words for a gender are one in a column ``gender``: 남자, M and male are 남.
    """
    texts = column.str.strip_chars().str.normalize("NFC").str.to_lowercase()
    return texts.replace(_GENDER_OF) if column.name == "gender" else texts


def warn_of_people(table: pl.DataFrame, path: Path) -> None:
    """Warn of what is odd about the people of a table; without the column ``person`` do nothing.

    These are names that a spreadsheet rounded, names that differ in case only (such as Kim and kim count as two people,
    because identifiers may differ in nothing else), and people with two genders or of very different ages.
    """
    if "person" not in table.columns:
        return
    person = known(table["person"])
    _warn_of_names(person.drop_nulls().unique(), path)
    if "gender" in table.columns:
        gender = known(table["gender"])
        _warn_of_several(person, gender, plain(gender).rank("dense").cast(pl.Float64), 0, path)
    if "age" in table.columns:
        age = known(table["age"])
        _warn_of_several(person, age, age.str.extract(_YEARS).cast(pl.Float64), _AGING, path)


def _warn_of_several(person: pl.Series, texts: pl.Series, values: pl.Series, reach: float, path: Path) -> None:
    """Warn of people whose ``values`` (null where unknown) are further apart than ``reach``; ``texts`` shows them."""
    rows = pl.DataFrame({"person": person, "text": texts, "value": values}).drop_nulls()
    first = pl.col("text").sort_by("value", "text").first()
    last = pl.col("text").sort_by("value", "text").last()
    spread = pl.col("value").max() - pl.col("value").min()
    people = rows.group_by("person").agg(spread.alias("spread"), first.alias("first"), last.alias("last"))
    several = people.filter(pl.col("spread") > reach).sort("person")
    if len(several):
        name, _, low, high = several.row(0)
        log.warning(
            "%s: %s in the column %s (first %s: %s and %s); correct the table, or write another name in person for "
            "someone else",
            path,
            "1 person has different values" if len(several) == 1 else f"{len(several):,} people have different values",
            texts.name,
            name,
            low,
            high,
        )


def _warn_of_names(names: pl.Series, path: Path) -> None:
    if names.str.contains(_ROUNDED).any():
        log.warning(
            "%s: the column person has numbers that a spreadsheet rounded (such as 2.02E+13); export it as text", path
        )
    groups = pl.DataFrame({"name": names, "plain": plain(names)}).group_by("plain").agg(pl.col("name").sort())
    alike = groups.filter(pl.col("name").list.len() > 1).sort("plain")["name"].to_list()
    if alike:
        log.warning(
            "%s: the people %s differ only in how they are written, and count as different people%s; write them alike "
            "if they are one",
            path,
            " and ".join(alike[0]),
            f" (as do {len(alike) - 1:,} more)" if len(alike) > 1 else "",
        )
