"""The evaluation CSV: what it says, where it may be written, and what an earlier one is still good for.

Beside ``NAME.csv`` lie ``NAME.json``, its settings and summary, and, while a run is at work, ``NAME.partial.jsonl``.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import MATCHED_IOU

DETECTION = ("det_minX", "det_minY", "det_maxX", "det_maxY")

MAY_COME = ("missing", "unreadable_archive")
"""Errors of photographs, and of archives still being downloaded, that are looked for again."""

log = logging.getLogger(__name__)


def summarize(path: Path) -> dict[str, Any]:
    """Return the protocols' figures of an evaluation CSV.

    Returns:
        ``{"n": rows, "unreadable": {reason: rows}, "coverage": {"n", "value"}, "matched": {"n", "accuracy"},
        "all": {...}, "given": {...}, "several_faces": rows with more than one face}``. Unreadable photographs
        count in none of the figures; the given-box figure leaves out boxes that can be no face. A figure
        over no row is None.
    """
    counts = cs.by_name("face_detected", "correct", "given_correct", "n_faces")
    frame = pl.read_csv(path, infer_schema=False).with_columns(counts.cast(pl.Int64), pl.col("iou").cast(pl.Float64))
    readable = frame.filter(pl.col("error").is_null())
    matched = readable.filter((pl.col("face_detected") == 1) & (pl.col("iou") >= MATCHED_IOU))
    given = readable.filter(pl.col("given_correct").is_not_null())
    reasons = frame["error"].drop_nulls().value_counts(sort=True)
    right = int(matched["correct"].sum())
    return {
        "n": len(frame),
        "unreadable": dict(reasons.iter_rows()),
        "coverage": {"n": len(readable), "value": _share(len(matched), len(readable))},
        "matched": {"n": len(matched), "accuracy": _share(right, len(matched))},
        "all": {"n": len(readable), "accuracy": _share(right, len(readable))},
        "given": {"n": len(given), "accuracy": _share(int(given["given_correct"].sum()), len(given))},
        "several_faces": int((readable["n_faces"] > 1).sum()),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def check_places(tables: Sequence[tuple[Path, Any, Path]]) -> None:
    """Check where the evaluations of ``tables`` (input CSV, anything, evaluation CSV) go.

    Raises InputError where one is no CSV, would replace something else than an evaluation, or two are the same.
    """
    read = {csv.resolve() for csv, _, _ in tables}
    for _, _, out in tables:
        if out.suffix.lower() != ".csv" or out.is_dir():
            raise InputError(f"{out}: an evaluation is a file whose name ends in .csv; give another --out")
        if out.resolve() in read:
            raise InputError(f"{out}: is the table that is read; give another --out")
        _check_replaceable(out)
    if len({out.resolve() for _, _, out in tables}) < len(tables):
        raise InputError(f"{tables[0][2]}: two tables have the same evaluation CSV; give one --out for each --csv")


def _check_replaceable(out: Path) -> None:
    """Refuse to write over anything but an evaluation, its settings or what a stopped run has left."""
    beside, aside = out.with_suffix(".json"), aside_of(out)
    for file, begin in ((out, b"image,gt_label,pred_label,"), (aside, b'{"key":')):
        if file.exists() and not (file.is_file() and _begins(file, begin)):
            raise InputError(f"{file}: is there already and no evaluation; move it away, or give another --out")
    if not beside.exists():
        return
    try:
        settings = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = None
    if not isinstance(settings, dict) or not {"csv", "sha256", "scheme", "summary"} <= settings.keys():
        raise InputError(f"{beside}: lies where the evaluation's settings go; move it away, or give another --out")


def _begins(file: Path, begin: bytes) -> bool:
    with file.open("rb") as opened:
        start = opened.readline()
    return not start or start.startswith(begin)


def aside_of(out: Path) -> Path:
    """Return the file in which a run at work keeps its answers until it writes ``out``."""
    return out.with_suffix(".partial.jsonl")


def made(out: Path, config: dict[str, Any], frame: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame | None:
    """Return the evaluation CSV that was made of ``frame`` with ``config``; None where there is no whole one.

    Args:
        out: the CSV.
        config: its settings.
        frame: the input table with ``path`` and ``label``.
        classes: the contender's.
    """
    if not out.is_file():
        return None
    kinds = {name: kind for name, kind in schema(classes).items() if name != "id"}
    try:
        table = pl.read_csv(out, infer_schema=False).with_columns(
            pl.col(name).cast(kind) for name, kind in kinds.items()
        )
        same = json.loads(out.with_suffix(".json").read_text(encoding="utf-8")) == {**config, "summary": summarize(out)}
        same &= table["image"].equals(frame["path"]) and table["gt_label"].equals(frame["label"])
    except (OSError, ValueError, pl.exceptions.PolarsError):
        same = False
    if not same:
        log.warning("%s: holds another evaluation, or is damaged; it will be replaced", out)
        return None
    if is_whole(table, frame):
        log.info("%s: already evaluated", out)
    return table


def is_whole(table: pl.DataFrame | None, frame: pl.DataFrame) -> bool:
    """Whether an evaluation needs nothing more: photographs that were missing, and archives, may have come."""
    if table is None or ("person" in frame.columns and "person" not in table.columns):
        return False
    return not table["error"].is_in(MAY_COME).any()


def known(table: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the answers in an evaluation of ``frame``, but for photographs that may have come since."""
    return table.with_columns(frame["id"]).filter(pl.col("error").is_in(MAY_COME).not_().fill_null(value=True))


def schema(classes: Sequence[str]) -> dict[str, Any]:
    """Return the columns of an answer about one face, which lie in the CSV too but for ``id``."""
    return {
        "id": pl.Int64,
        "error": pl.String,
        "n_faces": pl.Int64,
        **dict.fromkeys((*DETECTION, "det_score", "iou"), pl.Float64),
        **dict.fromkeys((*columns("p_", classes), *columns("given_p_", classes)), pl.Float32),
    }


def columns(prefix: str, classes: Sequence[str]) -> list[str]:
    """Return the names of the columns of probabilities: ``p_`` of the detected face, ``given_p_`` of the given box."""
    return [prefix + name for name in classes]


def rows_of(frame: pl.DataFrame, answers: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """Lay out the evaluation CSV: the seven published columns first, in the order of the input table."""
    joined = frame.join(answers, on="id", how="left", maintain_order="left").with_columns(
        *_best("p_", classes, "pred_label", "score"), *_best("given_p_", classes, "given_pred_label", "given_score")
    )
    right, given_right = pl.col("pred_label") == pl.col("label"), pl.col("given_pred_label") == pl.col("label")
    return joined.select(
        pl.col("path").alias("image"),
        pl.col("label").alias("gt_label"),
        "pred_label",
        "score",
        (pl.col("n_faces") > 0).fill_null(value=False).cast(pl.Int8).alias("face_detected"),
        "iou",
        right.fill_null(value=False).cast(pl.Int8).alias("correct"),
        "n_faces",
        *DETECTION,
        "det_score",
        "given_pred_label",
        "given_score",
        given_right.cast(pl.Int8).alias("given_correct"),
        *columns("p_", classes),
        *columns("given_p_", classes),
        cs.by_name("person", require_all=False),
        "error",
    )


def _best(prefix: str, classes: Sequence[str], label: str, score: str) -> tuple[pl.Expr, pl.Expr]:
    values = columns(prefix, classes)
    names = pl.concat_list(values).list.arg_max().replace_strict(dict(enumerate(classes)), return_dtype=pl.String)
    # Where there is no answer all are null, and so is their maximum.
    return pl.when(pl.col(values[0]).is_not_null()).then(names).alias(label), pl.max_horizontal(values).alias(score)
