"""What a table says of people: who is unknown, and which names may be mistakes."""

import logging
from pathlib import Path

import polars as pl

from pyojeong.core.labels import UNKNOWN

# What stands in the cell of an unknown person or group, in lower case. NA is no such word: a person may be called so.
_UNKNOWN = ("", "-", "–", "—", "?", "n/a", "nan", "none", "null", "unknown", "모름", "미상", UNKNOWN)

_ROUNDED = r"^\d+([.,]\d+)?[eE]\+\d+$"

log = logging.getLogger(__name__)


def known(column: pl.Series) -> pl.Series:
    """Return a column of people or of one of ``GROUP_COLUMNS``, null where its text says that nothing is known."""
    texts = column.str.strip_chars()
    return texts.set(texts.str.to_lowercase().is_in(_UNKNOWN), None)


def warn_of_people(column: pl.Series, path: Path) -> None:
    """Warn of names that a spreadsheet rounded, and of names that differ in case only.

    Such as Kim and kim count as two people, because identifiers may differ in nothing else.
    """
    names = known(column).drop_nulls().unique()
    if names.str.contains(_ROUNDED).any():
        log.warning(
            "%s: the column person has numbers that a spreadsheet rounded (such as 2.02E+13); export it as text", path
        )
    plain = pl.col("name").str.normalize("NFC").str.to_lowercase()
    groups = pl.DataFrame({"name": names}).group_by(plain.alias("plain")).agg(pl.col("name").sort())
    alike = groups.filter(pl.col("name").list.len() > 1).sort("plain")["name"].to_list()
    if alike:
        log.warning(
            "%s: the people %s differ only in how they are written, and count as different people%s; write them alike "
            "if they are one",
            path,
            " and ".join(alike[0]),
            f" (as do {len(alike) - 1:,} more)" if len(alike) > 1 else "",
        )
