"""The text of a CSV file as people save it: encoding, line ends, separator, and where each record begins."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pyojeong.core.errors import InputError, counted
from pyojeong.core.files import require_file, text_of

SEPARATORS = ",;\t|"

_EMPTY_LINES = re.compile(r"(?:[ ,;|\t]*\n)+")


class CsvText(NamedTuple):
    """The text of a CSV file from its header on, with line feeds only; its separator; and the line of the header."""

    text: str
    separator: str
    first_line: int = 1


def csv_text(path: Path, is_known: Callable[[str], bool]) -> CsvText:
    """Read the text of a CSV file; of the separators, the one that gives the header most known columns is taken.

    Line ends may be those of Windows, Unix or the old Macintosh. Empty lines above the header are left out.

    Raises InputError when the file is missing, a folder or empty, in an encoding that ``text_of`` does not know, holds
    a NUL character, or is a workbook.
    """
    require_file(path)
    data = path.read_bytes()
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f"{path}: is a spreadsheet or an archive; save the table as CSV in UTF-8")
    try:
        text = text_of(data)
    except ValueError as error:
        raise InputError(f"{path}: {error}; save it as UTF-8") from None
    if "\r" in text:
        # Text mode on Windows makes \r\n of the \n in \r\n.
        text = re.sub(r"\r*\n|\r", "\n", text)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}, line {line}: holds a NUL character; remove it, or save the table as UTF-8 again")
    first_line = 1
    if empty := _EMPTY_LINES.match(text):
        text, first_line = text[empty.end() :], 1 + empty[0].count("\n")
    if not text.strip():
        raise InputError(f"{path}: the file is empty; it needs at least a header line")
    if declared := re.match(r"sep=(.)\n", text):  # Excel's own first line
        return CsvText(text[declared.end() :], declared[1], first_line + 1)

    def known_columns(content: CsvText) -> tuple[int, int]:
        _, header = next(records(content), (0, []))
        return sum(map(is_known, header)), len(header)

    return max((CsvText(text, separator, first_line) for separator in SEPARATORS), key=known_columns)


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
    """Return the same table with every cell quoted as the rules of CSV want it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(fields for _, fields in records(content))
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
            if len(fields) > width
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
