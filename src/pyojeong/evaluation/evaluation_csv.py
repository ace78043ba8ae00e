"""The evaluation CSV: its columns and summary, where it may be written, and when an existing one can be reused.

Next to ``NAME.csv`` lie ``NAME.json``, its settings and summary, and, while a run is in progress,
``NAME.partial.jsonl``.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from pyojeong.core.errors import InputError
from pyojeong.core.labels import Scheme, scheme_for
from pyojeong.core.table import GROUP_COLUMNS
from pyojeong.evaluation.predictions import class_of_answer, is_labeled_face

DETECTION = ("det_minX", "det_minY", "det_maxX", "det_maxY")

FACTS = ("person", *GROUP_COLUMNS)
"""Columns of the input table that are passed on."""

MAY_COME = ("missing", "unreadable_archive")
"""Errors that may go away, for example when a download ends; such photographs are tried again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, init=False)
class EvaluationTable:
    """A table of labeled photographs and the evaluation CSV to write for it.

    Attributes:
        csv: the table.
        scheme: of its labels. Given by name, it must not contradict the file name; None takes it from the file name.
        out: the evaluation CSV to write.

    Raises:
        InputError: the scheme is unknown, contradicts the file name, or is not in it.
    """

    csv: Path
    scheme: Scheme
    out: Path

    def __init__(self, csv: str | Path, scheme: str | Scheme | None, out: str | Path) -> None:
        object.__setattr__(self, "csv", Path(csv))
        object.__setattr__(self, "scheme", scheme_for(scheme, Path(csv)))
        object.__setattr__(self, "out", Path(out))


@dataclass(frozen=True)
class Coverage:
    """The share of ``n`` readable photographs in which the labeled face was found, 0..1; None when ``n`` is 0."""

    n: int
    value: float | None


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy over ``n`` photographs, 0..1; None when ``n`` is 0."""

    n: int
    accuracy: float | None


@dataclass(frozen=True)
class EvaluationSummary:
    """The figures of one evaluation CSV; ``NAME.json`` holds them in this shape.

    Attributes:
        n: rows of the table.
        unreadable: number of rows by the reason why they were left out (the photograph could not be read, or its box
            cannot be a face); no figure counts them.
        coverage: how often the labeled face was found.
        matched: accuracy where it was found (IoU of at least ``geometry.MATCHED_IOU``).
        all: accuracy over all readable photographs; a face that was not found is a wrong answer.
        given: accuracy for the given box.
        several_faces: number of rows whose photograph has more than one face.
    """

    n: int
    unreadable: dict[str, int]
    coverage: Coverage
    matched: Accuracy
    all: Accuracy
    given: Accuracy
    several_faces: int


def summarize(path: Path) -> EvaluationSummary:
    """Compute the figures of an evaluation CSV."""
    counts = cs.by_name("face_detected", "correct", "given_correct", "n_faces")
    frame = pl.read_csv(path, infer_schema=False).with_columns(counts.cast(pl.Int64), pl.col("iou").cast(pl.Float64))
    readable = frame.filter(pl.col("error").is_null())
    matched = readable.filter((pl.col("face_detected") == 1) & is_labeled_face())
    given = readable.filter(pl.col("given_correct").is_not_null())
    reasons = frame["error"].drop_nulls().value_counts(sort=True)
    correct = int(matched["correct"].sum())
    return EvaluationSummary(
        n=len(frame),
        unreadable=dict(reasons.iter_rows()),
        coverage=Coverage(len(readable), _share(len(matched), len(readable))),
        matched=Accuracy(len(matched), _share(correct, len(matched))),
        all=Accuracy(len(readable), _share(correct, len(readable))),
        given=Accuracy(len(given), _share(int(given["given_correct"].sum()), len(given))),
        several_faces=int((readable["n_faces"] > 1).sum()),
    )


def _share(part: int, total: int) -> float | None:
    return part / total if total else None


def check_places(tables: Sequence[EvaluationTable]) -> None:
    """Check that every evaluation CSV of ``tables`` can be written.

    Raises InputError where one is not a CSV, would overwrite anything but an evaluation, or is named twice.
    """
    inputs = {table.csv.resolve() for table in tables}
    outs = [table.out for table in tables]
    for out in outs:
        if out.suffix.lower() != ".csv" or out.is_dir():
            raise InputError(f"{out}: an evaluation must be a file whose name ends in .csv; give another --out")
        if out.resolve() in inputs:
            raise InputError(f"{out}: is an input table and would be overwritten; give another --out")
        _check_replaceable(out)
    if len({out.resolve() for out in outs}) < len(outs):
        raise InputError(f"{outs[0]}: two tables have the same evaluation CSV; give one --out for each --csv")


def _check_replaceable(out: Path) -> None:
    """Raise InputError if writing ``out`` would replace anything but an evaluation and its accompanying files."""
    for file, start in ((out, b"image,gt_label,pred_label,"), (partial_path(out), b'{"key":')):
        if file.exists() and not (file.is_file() and _starts_with(file, start)):
            raise InputError(f"{file}: exists and is not an evaluation; move it away, or give another --out")
    settings_file = out.with_suffix(".json")
    if not settings_file.exists():
        return
    try:
        settings = json.loads(settings_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = None
    if not isinstance(settings, dict) or not {"csv", "sha256", "scheme", "summary"} <= settings.keys():
        raise InputError(
            f"{settings_file}: exists and does not hold an evaluation's settings; move it away, or give another --out"
        )


def _starts_with(path: Path, start: bytes) -> bool:
    """Whether the file is empty or its first line starts with ``start``."""
    with path.open("rb") as file:
        line = file.readline()
    return not line or line.startswith(start)


def partial_path(out: Path) -> Path:
    """Return the file in which a run collects its answers until it writes ``out``."""
    return out.with_suffix(".partial.jsonl")


def read_existing(
    out: Path, settings: dict[str, Any], frame: pl.DataFrame, classes: Sequence[str], scheme: Scheme
) -> pl.DataFrame | None:
    """Return the existing evaluation CSV; None when there is none, or it is damaged or from other data or settings.

    Args:
        out: the CSV.
        settings: that it must have been made with, without the name of the table.
        frame: the input table with ``path`` and ``label``.
        classes: the contender's.
        scheme: of the table.
    """
    if not out.is_file():
        return None
    types = {name: dtype for name, dtype in schema(classes).items() if name != "id"}
    try:
        evaluation = pl.read_csv(out, infer_schema=False).with_columns(
            pl.col(name).cast(dtype) for name, dtype in types.items()
        )
        stored = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
        # The same table may be named from another folder; its content is compared.
        same = stored == {"csv": stored.get("csv"), **settings, "summary": asdict(summarize(out))}
        same &= evaluation["image"].equals(frame["path"]) and evaluation["gt_label"].equals(frame["label"])
        # The words of a scheme may have changed since.
        right = evaluation.select(column.cast(pl.String) for column in _right("gt_label", classes, scheme))
        same &= evaluation.select(right.columns).equals(right)
    except (OSError, ValueError, pl.exceptions.PolarsError):
        same = False
    if not same:
        log.warning("%s: was made with other settings or from another table, or is damaged; it is made again", out)
        return None
    if is_complete(evaluation, frame):
        log.info("%s: already evaluated", out)
    return evaluation


def is_complete(evaluation: pl.DataFrame | None, frame: pl.DataFrame) -> bool:
    """Whether an evaluation of ``frame`` needs no update: no photograph to try again, no new column of ``FACTS``."""
    if evaluation is None or any(name in frame.columns and name not in evaluation.columns for name in FACTS):
        return False
    return not evaluation["error"].is_in(MAY_COME).any()


def known_answers(evaluation: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the answers in an evaluation of ``frame`` that can be reused: all but those to try again."""
    return evaluation.with_columns(frame["id"]).filter(pl.col("error").is_in(MAY_COME).not_().fill_null(value=True))


def schema(classes: Sequence[str]) -> dict[str, Any]:
    """Return the columns of an answer about one face; all but ``id`` are also columns of the CSV."""
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


def rows_of(frame: pl.DataFrame, answers: pl.DataFrame, classes: Sequence[str], scheme: Scheme) -> pl.DataFrame:
    """Lay out the evaluation CSV: the seven published columns first, rows in the order of the input table.

    ``pred_label`` is the contender's own word. It is right where ``class_of_answer`` gives the label for it.
    """
    joined = frame.join(answers, on="id", how="left", maintain_order="left").with_columns(
        *_best("p_", classes, "pred_label", "score"), *_best("given_p_", classes, "given_pred_label", "given_score")
    )
    correct, given_correct = _right("label", classes, scheme)
    return joined.select(
        pl.col("path").alias("image"),
        pl.col("label").alias("gt_label"),
        "pred_label",
        "score",
        (pl.col("n_faces") > 0).fill_null(value=False).cast(pl.Int8).alias("face_detected"),
        "iou",
        correct,
        "n_faces",
        *DETECTION,
        "det_score",
        "given_pred_label",
        "given_score",
        given_correct,
        *columns("p_", classes),
        *columns("given_p_", classes),
        cs.by_name(*FACTS, require_all=False),
        "error",
    )


def _right(label: str, classes: Sequence[str], scheme: Scheme) -> tuple[pl.Expr, pl.Expr]:
    """Return the columns ``correct`` and ``given_correct``, 1 or 0; no face is wrong, no answer to a box is null."""
    class_of = {name: class_of_answer(name, scheme) or name for name in classes}
    correct, given = (pl.col(name).replace(class_of) == pl.col(label) for name in ("pred_label", "given_pred_label"))
    return (
        correct.fill_null(value=False).cast(pl.Int8).alias("correct"),
        given.cast(pl.Int8).alias("given_correct"),
    )


def _best(prefix: str, classes: Sequence[str], label: str, score: str) -> tuple[pl.Expr, pl.Expr]:
    """Return expressions for the most probable class and its probability; both null where there is no answer."""
    values = columns(prefix, classes)
    names = pl.concat_list(values).list.arg_max().replace_strict(dict(enumerate(classes)), return_dtype=pl.String)
    return pl.when(pl.col(values[0]).is_not_null()).then(names).alias(label), pl.max_horizontal(values).alias(score)
