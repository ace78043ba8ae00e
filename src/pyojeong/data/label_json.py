"""Reads the records of a label file: JSON in any of the encodings and wrappings in which AI Hub's labels are found."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pyojeong.core.errors import counted
from pyojeong.core.files import text_of
from pyojeong.data.records import file_name_of

_JSON = json.JSONDecoder()
_JSON_FLOATS = json.JSONDecoder(parse_int=float)
_SPACES = " \t\n\r"
_SPACE = re.compile(f"[{_SPACES}]*")
_IMAGE = re.compile(r"\.(jpe?g|png)$", re.IGNORECASE)

_DEPTH = 4
"""How many objects and lists may lie around a record."""

_KEYS = 8
"""How many keys ``described`` names."""


def parse_items(data: bytes) -> Iterator[Any]:
    """Yield the records of a label file in UTF-8 or UTF-16 (with or without BOM), CP949 or EUC-KR.

    A list yields its items. An object is one record, or holds records: in a list, or by file name. Several objects may
    follow one another, as in JSON Lines. Other values yield nothing. The items of a list are parsed one at a time,
    because the objects of a 60 MB label file take half a GB.

    Raises ValueError for other encodings and for invalid JSON, RecursionError for extreme nesting.
    """
    text = text_of(data).strip(_SPACES)
    if not text:
        raise ValueError("the file is empty")
    if not text.startswith("["):
        position = 0
        while position < len(text):
            value, position = _item(text, position)
            yield from _records_in(value)
            position = _skip_space(text, position)
        return
    position, separator = _skip_space(text, 1), ","
    if text[position : position + 1] == "]":
        position, separator = position + 1, "]"
    while separator == ",":
        item, position = _item(text, position)
        yield from [*_records_in(item)] or [item]
        position = _skip_space(text, position)
        separator = text[position : position + 1]
        position = _skip_space(text, position + 1)
    if separator != "]" or position < len(text):
        raise ValueError(f"no comma or bracket at character {position}")


def described(data: bytes) -> str:
    """Say in a few words what a JSON file without records holds, for a message to the user."""
    value, _ = _item(text_of(data).strip(_SPACES), 0)
    if isinstance(value, list) and value:
        return f"a list of {counted(len(value), 'item')}, the first of them {_kind(value[0])}"
    return _kind(value)


def _kind(value: Any) -> str:
    if not isinstance(value, dict):
        return f"a {type(value).__name__}"
    keys = [key[:40] for key in value]
    return f"an object with the keys {', '.join(keys[:_KEYS])}{', …' if len(keys) > _KEYS else ''}" if keys else "{}"


def _records_in(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the records in a value, and what lies in a list beside them; nothing where there is no record."""
    if isinstance(value, dict):
        if file_name_of(value):
            yield value
        elif depth < _DEPTH:
            for key, inner in value.items():
                if isinstance(inner, dict) and _IMAGE.search(key) and not file_name_of(inner):
                    yield {**inner, "filename": key}
                else:
                    yield from _records_in(inner, depth + 1)
    elif isinstance(value, list) and depth < _DEPTH:
        if any(isinstance(inner, dict) and file_name_of(inner) for inner in value):
            yield from value
        else:
            for inner in value:
                yield from _records_in(inner, depth + 1)


def _item(text: str, position: int) -> tuple[Any, int]:
    try:
        return _JSON.raw_decode(text, position)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # Python refuses integers of more than 4,300 digits. Read as a float such a number is infinite, so only its
        # own record is lost.
        return _JSON_FLOATS.raw_decode(text, position)


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
