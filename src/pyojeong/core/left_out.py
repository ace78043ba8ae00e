"""Messages about a table's rows that cannot be used: how many, why, the first of each kind, and what to do."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pyojeong.core.boxes import BAD_BOX, STORED, WANTED, Look, Misread, resized, strays
from pyojeong.core.errors import counted
from pyojeong.core.files import similar_file
from pyojeong.core.geometry import BOX_KEYS, Box
from pyojeong.core.images import PROBLEMS
from pyojeong.core.table import line_of


def left_out(
    csv: Path,
    paths: Sequence[str],
    reasons: Sequence[str | None],
    root: Path,
    boxes: Sequence[Box | None] | None = None,
) -> str | None:
    """Return one line about the rows that were left out; None where there are none.

    Args:
        csv: the table.
        paths: of its rows.
        reasons: why each row was left out, a key of ``images.PROBLEMS`` or ``boxes.BAD_BOX``; None where it was not.
        root: where relative paths start.
        boxes: of the rows, as the table gives them.
    """
    counts = Counter(reason for reason in reasons if reason)
    if not counts:
        return None
    parts = []
    for reason, count in counts.most_common():
        row = reasons.index(reason)
        box = boxes[row] if boxes and reason == BAD_BOX else None
        parts.append(f"{count:,} {reason} ({first_row(csv, row, paths[row], box)})")
    total = len(reasons)
    if counts.total() < total:
        how_many = f"{counts.total():,} of {total:,} rows left out"
    else:
        how_many = "its only row cannot be used" if total == 1 else f"none of its {total:,} rows can be used"
    return f"{csv}: {how_many}: {', '.join(parts)}; {_remedy(csv, paths, reasons, root)}"


def first_row(csv: Path, row: int, path: str, box: Box | None) -> str:
    """Name a row by its path, its line unless ``csv`` is a folder, and its box if one is given."""
    sides = f", {', '.join(f'{name} {side:g}' for name, side in zip(BOX_KEYS, box, strict=True))}" if box else ""
    return f"first {path}{_line(csv, row)}{sides}"


def misread_problem(csv: Path, other: Misread, remedy: str | None = None) -> str:
    """Return the message for a table, or a folder of labels, whose boxes lie on faces only when read differently.

    It ends with ``remedy``, by default that of the reading.
    """
    right, total = sum(look.is_on_a_face for look in other.looks), len(other.looks)
    how_many = f"{right} of {counted(total, 'box')} lie" if right else "no box lies"
    where = " in photographs that EXIF turns" if other.holds == STORED else ""
    return (
        f"{csv}{_line(csv, other.looks[0].row)}: {how_many} on a face{where}. Read as {other.holds}, "
        f"{other.hits:,} of {total:,} do; {remedy or other.remedy}"
    )


def stray_warning(csv: Path, paths: Sequence[str], looks: Sequence[Look], remedy: str = WANTED) -> str | None:
    """Return the warning for a table whose boxes lie beside the faces; None where most of them lie on one.

    Args:
        csv: the table, or the folder of the labels.
        paths: of its rows.
        looks: the photographs of it that were looked at.
        remedy: what to do where these photographs were not resized.
    """
    if size := resized(looks):
        return (
            f"{csv}: the boxes fit the faces better when they are read as {size}; were the photographs resized? Use "
            "the original files"
        )
    if not (found := strays(looks)):
        return None
    total = counted(len(looks), "photograph")
    how_many = f"{len(found)} of the boxes do not lie" if len(found) < len(looks) else "none of the boxes lies"
    first = first_row(csv, found[0].row, paths[found[0].row], found[0].box)
    return f"{csv}: {how_many} on the face that was found ({total}; {first}); {remedy}"


def _line(csv: Path, row: int) -> str:
    return "" if csv.is_dir() else f", line {line_of(csv, row)}"


def _remedy(csv: Path, paths: Sequence[str], reasons: Sequence[str | None], root: Path) -> str:
    """Say what to do about the most common reason."""
    reason = Counter(filter(None, reasons)).most_common(1)[0][0]
    if reason == BAD_BOX:
        return f"a box has an area and lies on its photograph; {WANTED}"
    return _missing(csv, paths[reasons.index(reason)], root) if reason == "missing" else PROBLEMS[reason]


def _missing(csv: Path, path: str, root: Path) -> str:
    """Say where a photograph was looked for, and which file was probably meant."""
    nothing = f"there is no {root.resolve() / path}"
    with suppress(OSError):  # a name may be too long, a folder closed
        if similar := similar_file(root.resolve(), path):
            return f"{nothing}, but {similar}; correct the paths"
        if other := next((folder for folder in csv.resolve().parents if (folder / path).is_file()), None):
            return f"{nothing}, but {other / path}; give --project-root {other}"
    return f"{nothing}; check the paths and --project-root"
