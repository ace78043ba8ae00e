"""Read and check the CSVs of the contract: columns, encodings, separators and rows."""

import io
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pyojeong.core.box_columns import (
    VIA_COLUMN,
    VIA_SIDES,
    Form,
    find_box_columns,
    incomplete,
    like_a_box,
    part_of_a_box,
)
from pyojeong.core.boxes import WANTED, first_flat
from pyojeong.core.csv_text import CsvText, column_word, csv_text, fault, records, rewritten
from pyojeong.core.errors import InputError, counted
from pyojeong.core.files import relative_path, stored_path, whole_file
from pyojeong.core.geometry import BOX_KEYS
from pyojeong.core.labels import KOREAN, UNKNOWN, Scheme
from pyojeong.core.people import warn_of_people

PATH_COLUMNS = ("path", "image", "img", "src")
LABEL_COLUMNS = ("label_en", "orig_kor", "label")
BOX_COLUMNS = BOX_KEYS

GROUP_COLUMNS = ("gender", "age", "profession", "place")
"""Columns by which scores are reported for each group of photographs."""

VOTES_PREFIX = "votes_"
VOTES = tuple(f"{VOTES_PREFIX}{label}" for label in (*KOREAN, UNKNOWN))
"""Columns that count the annotators by label; any label that is none of the seven counts as 알수없음."""

_SAME = 0.51  # pixels by which boxes may differ that were rounded
_ARE_CORNERS = 0.95  # share of rows with an area from which on numbered columns are taken for corners
_SHARE = 1.5  # no number of a box in pixels is so small in every row

_NAMES = (
    *(*PATH_COLUMNS, *LABEL_COLUMNS, *BOX_COLUMNS, *GROUP_COLUMNS, "person", "set", "photo", "true", "pred", "score"),
    *("detected", "iou", "given", "given_score", "error", "gt_label", "pred_label", "face_detected"),
)
_NAME_OF = {name.casefold(): name for name in _NAMES}

# Other names of the two columns; one is read where the table has neither the contract's nor a second one of them.
_PATH_WORDS = (
    *("file", "filename", "filepath", "imagename", "imagepath", "imagefile", "imgname", "imgpath", "photograph"),
    *("파일", "파일명", "파일이름", "파일경로", "경로", "이미지", "이미지명", "이미지경로", "사진"),
)
_LABEL_WORDS = (
    *("labels", "emotion", "emotions", "expression", "facialexpression", "class", "classname", "category", "target"),
    *("감정", "표정", "라벨", "레이블", "클래스", "정답"),
)

_GROUP_WORDS = {
    "sex": "gender",
    "성별": "gender",
    "나이": "age",
    "연령": "age",
    "연령대": "age",
    "직업": "profession",
    "장소": "place",
}

_IMAGE_NAME = re.compile(r"\.(jpe?g|png|webp|bmp|gif|tiff?|heic|avif)$", re.IGNORECASE)

log = logging.getLogger(__name__)


def read_csv(path: Path) -> pl.DataFrame:
    """Read any CSV as strings, as spreadsheets write it.

    The encoding is UTF-8 or UTF-16 (with or without BOM), or CP949; the separator is a comma, semicolon, tab or
    vertical bar, whichever gives the header most columns of the contract. Their names are found in any case. Empty
    lines are left out.

    Raises InputError when the file is missing, empty, in another encoding, not a table, or has a column twice.
    """
    content = _content_of(path)
    # polars cannot read a quotation mark inside a cell, and takes one that is not closed for the end of the table.
    frame = None if content.text.count('"') % 2 else _parsed(content)
    if frame is None:
        if reason := fault(content):
            raise InputError(f"{path}: not readable as CSV ({reason})")
        frame = _parsed(rewritten(content))
    if frame is None:
        raise InputError(f"{path}: not readable as CSV; save it as CSV in UTF-8")
    frame = frame.fill_null("")
    names = [_contract_name(name) for name in next(records(content))[1]]
    header = [_group_name(name, names) for name in names]
    for name in header:
        # polars would rename the second one.
        if name and header.count(name) > 1:
            raise InputError(f"{path}: has two columns {name}; remove or rename one")
    frame = frame.rename({old: new for old, new in zip(frame.columns, header, strict=False) if new and old != new})
    return frame.filter(pl.any_horizontal(pl.all().str.strip_chars() != ""))


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
        are also read from ``x1,y1,x2,y2``, ``xmin,ymin,xmax,ymax``, ``left,top,right,bottom``, ``xtl,ytl,xbr,ybr``,
        ``x,y,width,height`` and ``x,y,w,h`` (x and y are the left upper corner), ``cx,cy,w,h`` and
        ``x_center,y_center,width,height``, with ``box``, ``bbox`` or ``face`` before each name or without, from
        ``bbox[0]`` to ``bbox[3]``, from mixtures such as ``x,y,너비,높이``, and from the rectangles in
        ``region_shape_attributes``. Every other column is a string.

    Raises:
        InputError: a column is missing, the table has no row, a label is not in the scheme, a path is outside
            ``root``, a box is not four numbers in pixels, or two sets of box columns differ; file, line and remedy are
            named. With ``boxes`` None, columns that look like a box and are none are warned of.
    """
    frame = read_csv(path)
    path_column = _first_column(frame, PATH_COLUMNS, _PATH_WORDS, path)
    label_column = _first_column(frame, LABEL_COLUMNS, _LABEL_WORDS, path)
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
    warn_of_people(table, path)
    return table


def path_in_cell(text: str, root: Path) -> str | None:
    """Return the path in a cell, relative to ``root`` with forward slashes; None where it is not below ``root``.

    Blanks around it are left out, unless a file is named with them.
    """
    trimmed = text.strip()
    named = text != trimmed and (relative := relative_path(text, root)) and stored_path(root, relative).exists()
    return relative_path(text if named else trimmed, root)


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
    for number, (line, _) in enumerate(records(_content_of(path))):
        if number == index + 1:
            return line
    return index + 2


def _parsed(content: CsvText) -> pl.DataFrame | None:
    """Return the cells as strings; None where polars cannot read them."""
    try:
        return pl.read_csv(io.BytesIO(content.text.encode()), separator=content.separator, infer_schema=False)
    except pl.exceptions.PolarsError:
        return None


def _content_of(path: Path) -> CsvText:
    return csv_text(
        path, lambda name: _contract_name(name) in _NAMES or column_word(name) in (*_PATH_WORDS, *_LABEL_WORDS)
    )


def _contract_name(name: str) -> str:
    name = name.strip()
    if name.casefold().startswith(VOTES_PREFIX):
        return VOTES_PREFIX + name[len(VOTES_PREFIX) :]
    return _NAME_OF.get(name.casefold(), name)


def _group_name(name: str, names: Sequence[str]) -> str:
    """Return the contract's name of a column of groups that a table names otherwise, unless it has both."""
    own = _GROUP_WORDS.get(column_word(name), name)
    return name if own in names else own


def _first_column(frame: pl.DataFrame, names: tuple[str, ...], words: tuple[str, ...], path: Path) -> str:
    """Return the column with the first of the contract's ``names``, or the only one with one of the other ``words``."""
    for name in names:
        if name in frame.columns:
            return name
    others = [name for name in frame.columns if column_word(name) in words]
    if len(others) == 1:
        return others[0]
    if image := next((name for name in frame.columns if _IMAGE_NAME.search(name.strip())), None):
        raise InputError(
            f"{path}: has no header, its first line holds {image!r}; put column names above it, such as path,label"
        )
    if frame.width == 1 and names == PATH_COLUMNS and frame.columns[0] not in _NAMES:
        raise InputError(f"{path}: has only the column {frame.columns[0]!r}; separate columns by , ; | or tabs")
    problem = f"{' and '.join(others)} could both be it" if others else f"it has {', '.join(frame.columns)}"
    raise InputError(f"{path}: no column {' or '.join(names)}; {problem}. Rename one of them to {names[0]}.")


def _paths(column: pl.Series, path: Path, root: Path) -> list[str]:
    paths = []
    for index, text in enumerate(column):
        if not text.strip():
            raise InputError(f"{path}, line {line_of(path, index)}: no path; fill it in, or remove the line")
        if "://" in text:
            raise InputError(
                f"{path}, line {line_of(path, index)}: the path {text!r} is an address; download the file and give "
                "its path below the project root"
            )
        relative = path_in_cell(text, root)
        if relative is None:
            raise InputError(
                f"{path}, line {line_of(path, index)}: the path {text!r} is not below the project root "
                f"{root.absolute()}; give paths relative to it, or another --project-root"
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
    columns = frame.columns
    via = [name for name in columns if column_word(name) == VIA_COLUMN]
    if found := find_box_columns(columns, path):
        boxes = _only_box({names: _sides(frame, names, form, path) for names, form in found.items()}, path)
    elif via:
        boxes = _sides(_via_rectangles(frame[via[0]], path), VIA_SIDES, "size", path)
    elif (part := part_of_a_box(columns, path)) or required:
        missing = [name for name in BOX_COLUMNS if name not in columns]
        problem = (incomplete(columns, path) if part else "") or f"no column {missing[0]}"
        raise InputError(f"{path}: {problem}; {WANTED}. The table has {', '.join(columns)}")
    else:
        if like := like_a_box(columns):
            log.warning(
                "%s: %s cannot be read as a box, so each image counts as a finished face crop; if it is a photograph, "
                "%s",
                path,
                ", ".join(like),
                WANTED,
            )
        return {}
    _check_area(boxes, path)
    return {name: values.alias(name) for name, values in boxes.items()}


def _sides(frame: pl.DataFrame, columns: Sequence[str], form: Form, path: Path) -> dict[str, pl.Series]:
    left, top, right, bottom = raw = np.stack([numbers(frame, name, path).to_numpy() for name in columns])
    if (largest := np.abs(raw).max()) <= _SHARE:
        raise InputError(
            f"{path}: {', '.join(columns)} are not above {largest:g}; boxes are in pixels, not in shares of the image. "
            "Multiply x and widths by the width of the photograph, y and heights by its height"
        )
    if form == "numbered":
        # A size is smaller than the left upper corner in some photographs.
        form = "corners" if ((right > left) & (bottom > top)).mean() >= _ARE_CORNERS else "size"
    if form == "center":
        left, top = left - right / 2, top - bottom / 2
    if form != "corners":
        right, bottom = left + right, top + bottom
    return {name: pl.Series(name, side) for name, side in zip(BOX_COLUMNS, (left, top, right, bottom), strict=True)}


def _via_rectangles(column: pl.Series, path: Path) -> pl.DataFrame:
    """Return x, y, width and height of rectangles as the VGG Image Annotator writes them, as strings."""
    frame = pl.DataFrame([column.str.json_path_match(f"$.{side}").alias(side) for side in VIA_SIDES])
    bad = frame.select(pl.any_horizontal(pl.all().is_null())).to_series()
    if bad.any():
        index = bad.arg_max() or 0
        raise InputError(
            f"{path}, line {line_of(path, index)}: {column.name} is {column[index]!r}, not a rectangle with "
            f"{', '.join(VIA_SIDES)}; draw one around the face, or remove the row"
        )
    return frame


def _only_box(boxes: dict[tuple[str, ...], dict[str, pl.Series]], path: Path) -> dict[str, pl.Series]:
    """Return the box that all sets of columns give; InputError where two of them differ."""
    (columns, first), *others = boxes.items()
    for other, sides in others:
        if any(((first[name] - sides[name]).abs() > _SAME).any() for name in BOX_COLUMNS):
            raise InputError(
                f"{path}: {', '.join(columns)} and {', '.join(other)} could both be the box; remove or rename those "
                "that are not"
            )
    return first


def _check_area(boxes: dict[str, pl.Series], path: Path) -> None:
    """Refuse a table in which no box has an area; where some have none, the stage that needs them counts them."""
    count, row, problem = first_flat(pl.DataFrame(boxes).to_numpy())
    if count and count == len(boxes["minX"]):
        where = f"{path}, line {line_of(path, row)}"
        raise InputError(f"{where}: {problem}, and none of {counted(count, 'box')} has an area; {WANTED}")


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
        "%s: %s a face of an earlier row (line %d repeats line %d%s), and each row counts; remove the repetition",
        path,
        "1 row repeats" if len(repeats) == 1 else f"{len(repeats):,} rows repeat",
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
