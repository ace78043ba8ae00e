"""Messages about a table's rows that cannot be used: how many, why, the first of each kind, and what to do."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pyojeong.core.boxes import BAD_BOX, WANTED, Misread
from pyojeong.core.errors import counted
from pyojeong.core.geometry import BOX_KEYS, Box
from pyojeong.core.images import PROBLEMS
from pyojeong.core.table import line_of


def left_out(
    csv: Path, paths: Sequence[str], reasons: Sequence[str | None], boxes: Sequence[Box | None] | None = None
) -> str | None:
    """Return one line about the rows that were left out; None where there are none.

    Args:
        csv: the table.
        paths: of its rows.
        reasons: why each row was left out, a key of ``images.PROBLEMS`` or ``boxes.BAD_BOX``; None where it was not.
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
    return f"{csv}: {how_many}: {', '.join(parts)}; {_remedy(counts)}"


def first_row(csv: Path, row: int, path: str, box: Box | None) -> str:
    """Name a row of a table by its path and line, and by its box if one is given."""
    sides = f", {', '.join(f'{name} {side:g}' for name, side in zip(BOX_KEYS, box, strict=True))}" if box else ""
    return f"first {path}, line {line_of(csv, row)}{sides}"


def misread_problem(csv: Path, other: Misread, total: int) -> str:
    """Return the message for a table whose boxes lie on faces (of ``total`` photographs) only when read differently."""
    return (
        f"{csv}, line {line_of(csv, 0)}: no box lies on a face. Read as {other.holds}, {other.hits:,} of {total:,} do; "
        f"{other.remedy}"
    )


def stray_warning(csv: Path, path: str, box: Box, total: int) -> str:
    """Return the warning for a table whose boxes lie on no face in the ``total`` photographs in which one was found."""
    return (
        f"{csv}: none of the boxes lies on the face that was found ({counted(total, 'photograph')}; "
        f"{first_row(csv, 0, path, box)}); {WANTED}"
    )


def _remedy(counts: Counter[str]) -> str:
    reason = counts.most_common(1)[0][0]
    if reason == BAD_BOX:
        return f"a box has an area and lies on its photograph; {WANTED}"
    return "check the paths and --project-root" if reason == "missing" else PROBLEMS[reason]
