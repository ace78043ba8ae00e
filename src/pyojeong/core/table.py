"""Read and check the CSVs of the contract: columns, encodings, separators and rows."""

import csv
import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pyojeong.core.errors import InputError
from pyojeong.core.files import relative_path, require_file, text_of, whole_file
from pyojeong.core.geometry import BOX_KEYS
from pyojeong.core.labels import KOREAN, UNKNOWN, Scheme

PATH_COLUMNS = ("path", "image", "img", "src")
LABEL_COLUMNS = ("label_en", "orig_kor", "label")
BOX_COLUMNS = BOX_KEYS

GROUP_COLUMNS = ("gender", "age", "profession", "place")
"""Columns by which scores are reported for each group of photographs."""

VOTES_PREFIX = "votes_"
VOTES = tuple(f"{VOTES_PREFIX}{label}" for label in (*KOREAN, UNKNOWN))
"""Columns that count the annotators by label; any label that is none of the seven counts as 알수없음."""

SEPARATORS = ",;\t|"

_CORNERS = (
    BOX_COLUMNS,
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
_SIZES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
# Width and height are also those of the photograph.
_BOX_WORDS = {name.lower() for names in (*_CORNERS, *_SIZES) for name in names} - {"width", "height"}
_WHOLE_BOX_WORDS = {"box", "bbox", "rect", "x_center", "y_center", "cx", "cy"}

_NAMES = (
    *(*PATH_COLUMNS, *LABEL_COLUMNS, *BOX_COLUMNS, *GROUP_COLUMNS, "person", "set", "photo", "true", "pred", "score"),
    *("detected", "iou", "given", "given_score", "error", "gt_label", "pred_label", "face_detected"),
)
_NAME_OF = {name.casefold(): name for name in _NAMES}

log = logging.getLogger(__name__)


def read_csv(path: Path) -> pl.DataFrame:
    """Read any CSV as strings, as spreadsheets write it.

    The encoding is UTF-8 (with or without BOM), UTF-16 with BOM, or CP949; the separator is a comma, semicolon, tab or
    vertical bar, whichever gives the header most columns of the contract. Their names are found in any case.

    Raises InputError when the file is missing, empty, in another encoding, not a table, or has a column twice.
    """
    content = _content_of(path)
    try:
        frame = pl.read_csv(io.BytesIO(content.text.encode()), separator=content.separator, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        reason = _longer_row(content) or str(error).splitlines()[0]
        raise InputError(f"{path}: not readable as CSV ({reason})") from None
    frame = frame.fill_null("")
    header = [_contract_name(name) for name in next(_records(content))[1]]
    for name in header:
        # polars would rename the second one.
        if name and header.count(name) > 1:
            raise InputError(f"{path}: has two columns {name}; remove or rename one")
    frame = frame.rename({old: new for old, new in zip(frame.columns, header, strict=False) if new and old != new})
    # Spreadsheets and editors leave empty lines after the last row.
    filled = frame.select(pl.any_horizontal(pl.all().str.strip_chars() != "")).to_series().arg_true()
    return frame.head(filled[-1] + 1 if len(filled) else 0)


def read_table(path: Path, *, scheme: Scheme, root: Path, boxes: bool | None = False) -> pl.DataFrame:
    """Read a CSV of the contract and check every row; rows that name the same face twice are warned of.

    Args:
        path: the CSV file.
        scheme: label words are translated to its classes.
        root: the project root that relative paths start from.
        boxes: whether boxes are required; None takes them where the table has them.

    Returns:
        All columns of the file, first ``path`` (relative to ``root``, forward slashes), ``label`` (a class of
        ``scheme``) and, with boxes, ``minX minY maxX maxY`` (Float64, pixels of the upright original image). Boxes
        are also read from ``x1,y1,x2,y2``, ``xmin,ymin,xmax,ymax``, ``left,top,right,bottom``, ``x,y,width,height``
        and ``x,y,w,h`` (x and y are the left upper corner). Every other column is a string.

    Raises:
        InputError: a column is missing, the table has no row, a label is not in the scheme, a path is outside
            ``root``, or a box is not four numbers in pixels; file, line and remedy are named.
    """
    frame = read_csv(path)
    path_column = _first_column(frame, PATH_COLUMNS, path)
    label_column = _first_column(frame, LABEL_COLUMNS, path)
    if frame.is_empty():
        raise InputError(f"{path}: the table has a header but no row")
    columns = {
        "path": pl.Series("path", _paths(frame[path_column], path, root)),
        "label": pl.Series("label", _classes(frame[label_column], path, scheme)),
    }
    if boxes is not False:
        columns |= _boxes(frame, path, required=boxes is True)
    others = [name for name in frame.columns if name not in {*columns, path_column}]
    table = pl.DataFrame([*columns.values(), *(frame[name] for name in others)])
    _warn_of_repeats(table, path)
    return table


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    """Write ``frame`` as UTF-8 CSV, whole or not at all."""
    with whole_file(path) as file:
        # Written by Python, because polars reports a full disk without its error number.
        file.write(frame.write_csv().encode())


def write_or_remove(frame: pl.DataFrame, path: Path) -> None:
    """Write ``frame``; where it is empty, remove the file of an earlier run."""
    if frame.is_empty():
        path.unlink(missing_ok=True)
    else:
        write_csv(frame, path)


def line_of(path: Path, index: int) -> int:
    """Return the line of a CSV file on which the row of 0-based ``index`` begins (the header is line 1)."""
    for number, (line, _) in enumerate(_records(_content_of(path))):
        if number == index + 1:
            return line
    return index + 2


class _Content(NamedTuple):
    """The text of a CSV file from its header on, its separator, and the line of the header."""

    text: str
    separator: str
    first_line: int = 1


def _content_of(path: Path) -> _Content:
    require_file(path)
    data = path.read_bytes()
    if not data.strip():
        raise InputError(f"{path}: the file is empty; it needs at least a header line")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f"{path}: is a spreadsheet or an archive; save the table as CSV in UTF-8")
    try:
        text = text_of(data)
    except ValueError as error:
        raise InputError(f"{path}: {error}; save it as UTF-8") from None
    if declared := re.match(r"sep=(.)\r?\n", text):  # Excel's own first line
        return _Content(text[declared.end() :], declared[1], 2)
    return max((_Content(text, separator) for separator in SEPARATORS), key=_columns)


def _columns(content: _Content) -> tuple[int, int]:
    """Return how many columns of the contract the header has, and how many columns at all."""
    _, header = next(_records(content), (0, []))
    return sum(_contract_name(name) in _NAMES for name in header), len(header)


def _records(content: _Content) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins, and its fields; a quoted field may hold line breaks."""
    reader = csv.reader(io.StringIO(content.text, newline=""), delimiter=content.separator)
    while True:
        line = content.first_line + reader.line_num
        try:
            yield line, next(reader)
        except (StopIteration, csv.Error):
            return


def _longer_row(content: _Content) -> str | None:
    """Say which row has more fields than the header, if one has."""
    records = _records(content)
    width = len(next(records)[1])
    return next(
        (
            f"line {line} has {len(fields)} fields and the header {width}; correct that row"
            for line, fields in records
            if len(fields) > width
        ),
        None,
    )


def _contract_name(name: str) -> str:
    name = name.strip()
    if name.casefold().startswith(VOTES_PREFIX):
        return VOTES_PREFIX + name[len(VOTES_PREFIX) :]
    return _NAME_OF.get(name.casefold(), name)


def _first_column(frame: pl.DataFrame, names: tuple[str, ...], path: Path) -> str:
    for name in names:
        if name in frame.columns:
            return name
    raise InputError(f"{path}: no column {' or '.join(names)}; it has {', '.join(frame.columns)}. Rename one of them.")


def _paths(column: pl.Series, path: Path, root: Path) -> list[str]:
    paths = []
    for index, text in enumerate(column):
        if not text.strip():
            raise InputError(f"{path}, line {line_of(path, index)}: no path; fill it in, or remove the line")
        relative = relative_path(text, root)
        if relative is None:
            raise InputError(
                f"{path}, line {line_of(path, index)}: the path {text!r} is not below the project root {root}; "
                "give paths relative to it, or another --project-root"
            )
        paths.append(relative)
    return paths


def _classes(column: pl.Series, path: Path, scheme: Scheme) -> list[str]:
    known: dict[str, str] = {}
    classes = []
    for index, word in enumerate(column):
        if word not in known:
            name = scheme.class_of(word.strip())
            if name is None:
                raise InputError(
                    f"{path}, line {line_of(path, index)}: the label {word!r} is not in scheme {scheme.name} "
                    f"({', '.join(scheme.classes)}); correct the row or choose another --scheme"
                )
            known[word] = name
        classes.append(known[word])
    return classes


def _boxes(frame: pl.DataFrame, path: Path, *, required: bool) -> dict[str, pl.Series]:
    """Return the four box columns; an empty dictionary where the table has none and none are required."""
    present = {name.lower(): name for name in frame.columns}
    conventions = [(names, False) for names in _CORNERS] + [(names, True) for names in _SIZES]
    for names, sized in conventions:
        if all(name.lower() in present for name in names):
            left, top, right, bottom = (numbers(frame, present[name.lower()], path) for name in names)
            if sized:
                right, bottom = left + right, top + bottom
            boxes = dict(zip(BOX_COLUMNS, (left, top, right, bottom), strict=True))
            _refuse_shares(boxes, path)
            return {name: values.alias(name) for name, values in boxes.items()}
    partial = [name for word, name in present.items() if word in _BOX_WORDS]
    if required or len(partial) > 1 or any(word in _WHOLE_BOX_WORDS for word in present):
        missing = [name for name in BOX_COLUMNS if name not in frame.columns]
        raise InputError(
            f"{path}: no column {missing[0]}; a box is {', '.join(BOX_COLUMNS)} in pixels, or x, y, width, height. The "
            f"table has {', '.join(frame.columns)}"
        )
    return {}


def _refuse_shares(boxes: dict[str, pl.Series], path: Path) -> None:
    ends = pl.DataFrame([boxes["maxX"].alias("x"), boxes["maxY"].alias("y")])
    if ends.select(pl.all_horizontal(pl.all() <= 1).all()).item():
        raise InputError(f"{path}: no box is larger than one pixel; boxes are in pixels, not in shares of the image")


def _warn_of_repeats(table: pl.DataFrame, path: Path) -> None:
    key = ["path", *(name for name in BOX_COLUMNS if table.schema.get(name) == pl.Float64)]
    rows = table.select(*key, "label").with_row_index("row")
    first = pl.col("row").min().over(key)
    repeats = rows.with_columns(first=first).filter(pl.col("row") != pl.col("first"))
    if repeats.is_empty():
        return
    row, original = repeats["row"][0], repeats["first"][0]
    other = " with another label" if rows["label"][row] != rows["label"][original] else ""
    log.warning(
        "%s: %d rows repeat a face of an earlier row (line %d repeats line %d%s), and each of them counts; remove them",
        path,
        len(repeats),
        line_of(path, row),
        line_of(path, original),
        other,
    )


def numbers(frame: pl.DataFrame, name: str, path: Path) -> pl.Series:
    """Return a column of strings as Float64; InputError names the file and line of a value that is not finite."""
    values = frame[name].str.strip_chars().cast(pl.Float64, strict=False)
    bad = values.is_null() | ~values.is_finite()
    if bad.any():
        index = bad.arg_max() or 0
        text = frame[name][index]
        remedy = "write it with a decimal point" if "," in text else "correct the row, or remove it"
        raise InputError(f"{path}, line {line_of(path, index)}: {name} is {text!r}, not a number; {remedy}")
    return values
