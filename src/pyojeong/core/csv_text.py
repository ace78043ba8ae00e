"""The text of a CSV file as people save it: encoding, line ends, separator, and where each record begins."""

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pyojeong.core.errors import InputError, counted
from pyojeong.core.files import require_file, text_of

SEPARATORS = ",;\t|"

_EMPTY_LINES = re.compile(r"(?:[ ,;|\t]*\n)+")

_QUOTED_LINE = re.compile(r'\s*"((?:[^"]|"")*)"[\s,;|]*')

# What people give in place of a CSV, by its first bytes or characters.
_OTHER_FILES = {
    b"PK\x03\x04": "a spreadsheet or an archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet or an archive",
    b"\x1f\x8b": "compressed",
    b"%PDF": "a PDF",
    b"\xff\xd8\xff": "a picture",
    b"\x89PNG": "a picture",
}
_OTHER_TEXTS = {
    re.compile(r"\s*(\[\s*\{|\{\s*\")"): "JSON",
    re.compile(r"\s*<(!doctype|html|\?xml|table)", re.IGNORECASE): "HTML or XML",
}

_LINES_ABOVE = 10
"""Among how many records the header is looked for; a title may stand above it."""

_HEAD = 1 << 16
"""Characters among which it is looked for."""


class CsvText(NamedTuple):
    """The text of a CSV file from its header on, with line feeds only; its separator; and the line of the header."""

    text: str
    separator: str
    first_line: int = 1


def column_word(name: str) -> str:
    """Return a column's name without what people write in different ways: case, spaces, dots, brackets, _ and -."""
    return re.sub(r"[\s_.\[\]-]", "", unicodedata.normalize("NFC", name)).casefold()


def csv_text(path: Path, is_known: Callable[[str], bool]) -> CsvText:
    """Read the text of a CSV file; of the separators, the one that gives the header most known columns is taken.

    Line ends may be those of Windows, Unix or the old Macintosh. Lines that are quoted as a whole, as some spreadsheets
    write them, lose these quotation marks. Empty lines above the header are left out, and a title where the line below
    it has at least two known columns.

    Raises InputError when the file is missing, a folder or empty, in an encoding that ``text_of`` does not know, holds
    a NUL character, or is no CSV at all.
    """
    require_file(path)
    text = _text(path)
    if "\r" in text:
        # Text mode on Windows makes \r\n of the \n in \r\n.
        text = re.sub(r"\r*\n|\r", "\n", text)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}, line {line}: holds a NUL character; remove it, or save the table as UTF-8 again")
    _refuse_others(path, text)
    text = _without_quoted_lines(text)
    first_line = 1
    if empty := _EMPTY_LINES.match(text):
        text, first_line = text[empty.end() :], 1 + empty[0].count("\n")
    declared = re.match(r"sep=(.)(\n|$)", text)  # Excel's own first line
    if not text[declared.end() if declared else 0 :].strip(' ,;|\t\n"'):
        raise InputError(f"{path}: the file is empty; it needs at least a header line")
    if declared:
        return CsvText(text[declared.end() :], declared[1], first_line + 1)

    headers = [_header(CsvText(text[:_HEAD], separator, first_line), is_known) for separator in SEPARATORS]
    _, separator, line = max(headers, key=lambda header: header[0])
    return CsvText(text.split("\n", line - first_line)[-1], separator, line)


def _without_quoted_lines(text: str) -> str:
    """Return a table without quotation marks where each line below the header is a single quoted field.

    Only where the header, quoted or not, has a separator: a table of one column may have commas in its cells.
    """
    lines = text.split("\n")
    filled = (number for number, line in enumerate(lines) if line.strip())
    header, first = next(filled, None), next(filled, None)
    if header is None or first is None or not _QUOTED_LINE.fullmatch(lines[first]):
        return text
    bare = [found[1].replace('""', '"') if (found := _QUOTED_LINE.fullmatch(line)) else line for line in lines]
    is_whole = all(line != plain or not line.strip() for line, plain in zip(lines[first:], bare[first:], strict=True))
    return "\n".join(bare) if is_whole and any(separator in bare[header] for separator in SEPARATORS) else text


def _text(path: Path) -> str:
    data = path.read_bytes()
    for start, kind in _OTHER_FILES.items():
        if data.startswith(start):
            raise InputError(f"{path}: is {kind}; save the table as CSV in UTF-8")
    try:
        # A second byte order mark comes from joining files, the other character from DOS, as the end of the file.
        return text_of(data).lstrip("\ufeff").rstrip("\x1a")
    except ValueError as error:
        raise InputError(f"{path}: {error}; save it as UTF-8") from None


def _refuse_others(path: Path, text: str) -> None:
    for start, kind in _OTHER_TEXTS.items():
        if start.match(text):
            raise InputError(f"{path}: holds {kind}; save the table as CSV in UTF-8")


def _header(content: CsvText, is_known: Callable[[str], bool]) -> tuple[tuple[int, int], str, int]:
    """Return how many known columns the header has and how many at all, the separator, and the header's line.

    The header is the first of the upper records with two known columns or more; otherwise the first record.
    """
    upper = [(sum(map(is_known, fields)), len(fields), line) for line, fields in islice(records(content), _LINES_ABOVE)]
    known, width, line = next((record for record in upper if record[0] >= 2), upper[0])
    return (known, width), content.separator, line


def records(content: CsvText) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins, and its fields; records without any text are left out.

    A quoted field may hold line breaks.
    """
    reader = csv.reader(io.StringIO(content.text, newline=""), delimiter=content.separator)
    while True:
        line = content.first_line + reader.line_num
        try:
            fields = next(reader)
        except (StopIteration, csv.Error):
            return
        if any(map(str.strip, fields)):
            yield line, fields


def rewritten(content: CsvText) -> CsvText:
    """Return the same table quoted by the rules of CSV, without fields beyond the header's."""
    text = io.StringIO()
    width = len(next(records(content))[1])
    csv.writer(text, lineterminator="\n").writerows(fields[:width] for _, fields in records(content))
    return CsvText(text.getvalue(), ",")


def fault(content: CsvText) -> str | None:
    """Say what keeps a CSV from being a table, with its line; None where nothing is found."""
    if line := _open_quote(content):
        return f"line {line} has a quotation mark that is not closed; close it, or write it twice inside a cell"
    rows = records(content)
    width = len(next(rows)[1])
    return next(
        (
            f"line {line} has {counted(len(fields), 'field')} and the header {width}; correct that row"
            for line, fields in rows
            if any(map(str.strip, fields[width:]))
        ),
        None,
    )


def _open_quote(content: CsvText) -> int | None:
    """Return the line of the record in which a quoted field does not end; None where there is none."""
    if content.text.count('"') % 2 == 0:
        return None
    reader = csv.reader(io.StringIO(content.text, newline=""), delimiter=content.separator, strict=True)
    while True:
        line = content.first_line + reader.line_num
        try:
            next(reader)
        except StopIteration:
            return None
        except csv.Error:
            return line
