"""Turns one AI Hub label record into one row: person, label, votes and face box, or the reason to drop it."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import polars as pl

from pyojeong.core.geometry import Box, iou
from pyojeong.core.labels import KOREAN, UNKNOWN
from pyojeong.core.table import BOX_COLUMNS, VOTES

SCHEMA = {
    "name": pl.String,
    "reason": pl.String,
    "label": pl.String,
    **dict.fromkeys(BOX_COLUMNS, pl.Float64),
    "person": pl.String,
    "gender": pl.String,
    "age": pl.Int64,
    "profession": pl.String,
    "place": pl.String,
    "uploader": pl.String,
    "agreement": pl.Int8,
    **dict.fromkeys(VOTES, pl.Int8),
    "official": pl.String,
}
"""Columns of a row; ``name`` is null for a malformed record, ``reason`` is null for a usable one."""

_PERSON = re.compile(r"([0-9a-fA-F]{64})_")
_YEARS = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*(?:세|살)?")
_sides = itemgetter(*BOX_COLUMNS)
_sizes = itemgetter("x", "y", "width", "height")

# A larger coordinate is nonsense, and sums of such numbers lose whole pixels.
_LIMIT = 1e9


class Vote(NamedTuple):
    """One annotator's answer: the label as written (None when absent) and the box (None when unusable)."""

    label: str | None
    box: Box | None


class _Choice(NamedTuple):
    label: str | None
    reason: str | None


def _majority(votes: Sequence[str], uploader: str) -> _Choice:
    label = max(votes, key=votes.count, default=UNKNOWN)
    if votes.count(label) < 2:
        return _Choice(None, "no_majority")
    return _Choice(label, None if label in KOREAN else "unknown_label")


def _unanimous(votes: Sequence[str], uploader: str) -> _Choice:
    if len(votes) < 3 or len(set(votes)) > 1:
        return _Choice(None, "not_unanimous")
    return _majority(votes, uploader)


def _uploader(votes: Sequence[str], uploader: str) -> _Choice:
    return _Choice(uploader, None if uploader in KOREAN else "unknown_label")


POLICIES: dict[str, Callable[[Sequence[str], str], _Choice]] = {
    "majority": _majority,
    "unanimous": _unanimous,
    "uploader": _uploader,
}
"""How the label is chosen: by at least two of three annotators, by all three, or by the uploader."""


def read_records(values: Iterable[Any], key: Callable[[str], str], policy: str, official: str) -> pl.DataFrame:
    """Turn the items of a label file into rows of ``SCHEMA``.

    Args:
        values: the list in the JSON file; items may be JSON values of any shape.
        key: normalizes a file name, so that records and photographs match.
        policy: a key of ``POLICIES``.
        official: ``training`` or ``validation``, AI Hub's own division.
    """
    rows = [_row(value, key, policy, official) for value in values]
    return pl.DataFrame(list(zip(*rows, strict=True)) or None, schema=SCHEMA, orient="col")


def file_name_of(record: dict[str, Any]) -> str | None:
    """Return the file name in a record, whose key may also be written ``fileName`` or ``file_name``; None without."""
    for key in ("filename", "fileName", "file_name", "FileName", "Filename"):
        if isinstance(name := record.get(key), str) and name:
            return name
    return None


def votes_of(record: dict[str, Any]) -> list[Vote]:
    """Return the answers of annotators A, B and C, from AI Hub's delivered format or its documented one."""
    votes = []
    for letter in "ABC":
        entry = record.get(f"annot_{letter}") or record.get(f"faceBB_{letter}")
        if isinstance(entry, dict):
            boxes = entry.get("boxes")
            label = entry.get("faceExp", boxes.get("label") if isinstance(boxes, dict) else None)
            votes.append(Vote(_clean_word(label) if isinstance(label, str) else None, _box(boxes)))
    return votes


def clean_text(text: str) -> str:
    """Return ``text`` stripped, composed (NFC) and valid as UTF-8: lone surrogates become question marks."""
    return unicodedata.normalize("NFC", text).strip().encode(errors="replace").decode()


def choose_box(votes: Sequence[Vote], label: str) -> tuple[Box | None, str | None]:
    """Return the face box, or the reason why there is none.

    The candidates are the boxes of the annotators who chose ``label``, or of all annotators when none of those has
    an area. The one that overlaps best with all boxes (largest sum of IoU, the first on a tie) is chosen, so it is
    always a box that an annotator drew.
    """
    boxes = [vote.box for vote in votes if vote.box]
    valid = [box for box in boxes if box[0] < box[2] and box[1] < box[3]]
    if not valid:
        return None, "zero_area_box" if boxes else "no_box"
    candidates = [vote.box for vote in votes if vote.label == label and vote.box in valid]
    return max(candidates or valid, key=lambda box: sum(iou(box, other) for other in valid)), None


def _box(sides: Any) -> Box | None:
    try:
        left, top, right, bottom = _corners(sides)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if not (abs(left) < _LIMIT and abs(top) < _LIMIT and abs(right) < _LIMIT and abs(bottom) < _LIMIT):
        return None
    # The corners may be swapped.
    return min(left, right), min(top, bottom), max(left, right), max(top, bottom)


def _corners(sides: Any) -> Box:
    """Return the corners of a box: an object with their names or with x, y, width and height, or a list of corners.

    Raises KeyError, TypeError, ValueError or OverflowError for anything else.
    """
    if isinstance(sides, list):
        left, top, right, bottom = map(float, sides)
        if left > right or top > bottom:
            raise ValueError("the list holds x, y, width and height")
        return left, top, right, bottom
    if "minX" not in sides and "width" in sides:
        left, top, width, height = map(float, _sizes(sides))
        return left, top, left + width, top + height
    left, top, right, bottom = map(float, _sides(sides))
    return left, top, right, bottom


def _row(record: Any, key: Callable[[str], str], policy: str, official: str) -> tuple[Any, ...]:
    file_name = file_name_of(record) if isinstance(record, dict) else None
    if not file_name:
        return (None, "malformed_record", *[None] * (len(SCHEMA) - 2))
    name = key(file_name)
    votes = votes_of(record)
    uploader = _text(record.get("faceExp_uploader"))
    labels = [vote.label for vote in votes if vote.label]
    label, reason = POLICIES[policy](labels, uploader)
    box: Box | None = None
    if label and not reason:
        box, reason = choose_box(votes, label)
    match = _PERSON.match(name)
    known_labels = [word if word in KOREAN else UNKNOWN for word in labels]
    return (
        name,
        reason if match else "no_person",
        label,
        *(box or (None,) * 4),
        match[1].lower() if match else None,
        _text(record.get("gender")),
        _age(record.get("age")),
        _text(record.get("isProf")),
        _text(record.get("bg_uploader")),
        uploader,
        known_labels.count(label) if label else 0,
        *(known_labels.count(word) for word in (*KOREAN, UNKNOWN)),
        official,
    )


def _text(value: Any) -> str:
    return _clean_word(value) if isinstance(value, str) else ""


# There are few places and labels, but many records.
_clean_word = lru_cache(1024)(clean_text)


def _age(value: Any) -> int | None:
    """Return an age in whole years, which may also be written as text, such as ``"30"`` or ``"30세"``."""
    if isinstance(value, str):
        match = _YEARS.fullmatch(_clean_word(value))
        value = float(match[1]) if match else None
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 200 else None
