"""Read and check the CSVs of the contract: columns, encodings and rows."""

import io
from pathlib import Path

import polars as pl

from pyojeong.core.errors import InputError
from pyojeong.core.files import relative_path, whole_file
from pyojeong.core.geometry import BOX_KEYS
from pyojeong.core.labels import KOREAN, UNKNOWN, Scheme

PATH_COLUMNS = ("path", "image", "img", "src")
LABEL_COLUMNS = ("label_en", "orig_kor", "label")
BOX_COLUMNS = BOX_KEYS

VOTES_PREFIX = "votes_"
VOTES = tuple(f"{VOTES_PREFIX}{label}" for label in (*KOREAN, UNKNOWN))
"""Columns that count the annotators by label; any label that is none of the seven counts as 알수없음."""


def read_csv(path: Path) -> pl.DataFrame:
    """Read any CSV as strings, in UTF-8 (with or without BOM) or CP949, as Korean spreadsheets write it.

    Raises InputError when the file is missing, empty, in another encoding, not a table, or has a column twice.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; a CSV file is needed") from None
    if not data.strip():
        raise InputError(f"{path}: the file is empty; it needs at least a header line")
    text = _to_utf8(data, path)
    try:
        frame = pl.read_csv(io.BytesIO(text), infer_schema=False).fill_null("")
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: not readable as CSV ({str(error).splitlines()[0]})") from None
    # polars would rename the second one.
    header = [name.strip('"\r') for name in text.partition(b"\n")[0].decode().split(",")]
    for name in frame.columns:
        if name and header.count(name) > 1:
            raise InputError(f"{path}: has two columns {name}; remove or rename one")
    # Spreadsheets and editors leave empty lines after the last row.
    filled = frame.select(pl.any_horizontal(pl.all().str.strip_chars() != "")).to_series().arg_true()
    return frame.head(filled[-1] + 1 if len(filled) else 0)


def read_table(path: Path, *, scheme: Scheme, root: Path, boxes: bool = False) -> pl.DataFrame:
    """Read a CSV of the contract and check every row.

    Args:
        path: the CSV file.
        scheme: label words are translated to its classes.
        root: the project root that relative paths start from.
        boxes: whether the four box columns are required.

    Returns:
        All columns of the file, first ``path`` (relative to ``root``, forward slashes), ``label`` (a class of
        ``scheme``) and, with ``boxes``, ``minX minY maxX maxY`` (Float64, pixels of the upright original image). Every
        other column is a string.

    Raises:
        InputError: a column is missing, the table has no row, a label is not in the scheme, a path is outside
            ``root``, or a box is not a number; file, line and remedy are named.
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
    if boxes:
        columns |= {name: numbers(frame, name, path) for name in BOX_COLUMNS}
    others = [name for name in frame.columns if name not in {*columns, path_column}]
    return pl.DataFrame([*columns.values(), *(frame[name] for name in others)])


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    """Write ``frame`` as UTF-8 CSV, whole or not at all."""
    with whole_file(path) as file:
        # Written by Python, because polars reports a full disk without its error number.
        file.write(frame.write_csv().encode())


def line_of(index: int) -> int:
    """Return the line of a CSV file with the row of 0-based ``index`` (the header is line 1)."""
    return index + 2


def _to_utf8(data: bytes, path: Path) -> bytes:
    for encoding in ("utf-8-sig", "cp949"):
        try:
            return data.decode(encoding).encode()
        except UnicodeDecodeError:
            continue
    raise InputError(f"{path}: neither UTF-8 nor CP949; save it as UTF-8")


def _first_column(frame: pl.DataFrame, names: tuple[str, ...], path: Path) -> str:
    for name in names:
        if name in frame.columns:
            return name
    raise InputError(f"{path}: no column {' or '.join(names)}; it has {', '.join(frame.columns)}. Rename one of them.")


def _paths(column: pl.Series, path: Path, root: Path) -> list[str]:
    paths = []
    for index, text in enumerate(column):
        if not text.strip():
            raise InputError(f"{path}, line {line_of(index)}: no path; fill it in, or remove the line")
        relative = relative_path(text, root)
        if relative is None:
            raise InputError(
                f"{path}, line {line_of(index)}: the path {text!r} is not below the project root {root}; "
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
                    f"{path}, line {line_of(index)}: the label {word!r} is not in scheme {scheme.name} "
                    f"({', '.join(scheme.classes)}); correct the row or choose another --scheme"
                )
            known[word] = name
        classes.append(known[word])
    return classes


def numbers(frame: pl.DataFrame, name: str, path: Path) -> pl.Series:
    """Return a column of strings as Float64; InputError names the file and line of a value that is not finite."""
    if name not in frame.columns:
        raise InputError(f"{path}: no column {name}; boxes need {', '.join(BOX_COLUMNS)}")
    values = frame[name].str.strip_chars().cast(pl.Float64, strict=False)
    bad = values.is_null() | ~values.is_finite()
    if bad.any():
        index = bad.arg_max() or 0
        raise InputError(
            f"{path}, line {line_of(index)}: {name} is {frame[name][index]!r}, not a number; "
            "correct the row, or remove it"
        )
    return values
