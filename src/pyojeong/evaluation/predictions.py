"""Reads predictions CSVs and evaluation CSVs into one table, the same for every contender."""

from pathlib import Path

import polars as pl

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import MATCHED_IOU
from pyojeong.core.labels import FACEAPI, Scheme
from pyojeong.core.people import known, warn_of_people
from pyojeong.core.table import GROUP_COLUMNS, line_of, path_in_cell, read_csv

# The evaluation CSV keeps the published column names of the face-api baseline.
_EVALUATION_NAMES = {
    "image": "path",
    "gt_label": "true",
    "pred_label": "pred",
    "face_detected": "detected",
    "given_pred_label": "given",
}
_FLAGS = {"1": True, "true": True, "1.0": True, "0": False, "false": False, "0.0": False, "": False}


def all_classes(scheme: Scheme) -> tuple[str, ...]:
    """Return the classes in the rows and columns of a table of ``scheme``.

    A scheme with face-api's class names has all seven of them in alphabetical order, as in the published tables,
    because face-api may predict a class that the scheme lacks. Other schemes have their own classes in order.
    """
    return tuple(sorted(FACEAPI)) if set(scheme.classes) <= set(FACEAPI) else scheme.classes


def class_of_answer(word: str, scheme: Scheme) -> str | None:
    """Return which of ``all_classes`` an answer counts as: the class that the scheme has for the word, else the word.

    None where it is none of them.
    """
    return scheme.class_of(word) or (word if word in all_classes(scheme) else None)


def read_predictions(path: Path, scheme: Scheme, root: Path = Path()) -> pl.DataFrame:
    """Read a predictions CSV, or an evaluation CSV of ``evaluate``, and check every row.

    A file without the columns ``detected`` and ``given`` comes from a contender that was given the box; its
    predictions count under every protocol.

    Args:
        path: the CSV; columns ``path,true,pred`` or ``image,gt_label,pred_label,face_detected,iou``.
        scheme: whose classes label words are translated to.
        root: the project root; paths below it become relative to it, as in ``table.read_table``, others stay.

    Returns:
        One row per image:
        ``path`` (String), ``true`` (a class of the scheme),
        ``pred`` (one of ``all_classes``; null = no prediction), ``score`` (its probability 0..1, null = unknown),
        ``detected`` (Boolean), ``iou`` (Float64 0..1; null where the box was given),
        ``given`` and ``given_score`` (prediction for the given box; null where the file has none),
        ``error`` (why the row was left out, null if it was not; rows with an error count in no score),
        ``p_<class>`` (Float64), ``person`` and ``table.GROUP_COLUMNS`` (String, null = unknown) where the file has
        them.

    Raises:
        InputError: a column is missing, there is no row, a label is unknown or a number is invalid; the message
            names file, line and remedy.
    """
    frame = read_csv(path)
    evaluation = "gt_label" in frame.columns
    if evaluation:
        frame = frame.rename({old: new for old, new in _EVALUATION_NAMES.items() if old in frame.columns})
        _require_columns(frame, ("path", "true", "pred", "detected", "iou"), path, names=_EVALUATION_NAMES)
    _require_columns(frame, ("path", "true", "pred"), path)
    if frame.is_empty():
        raise InputError(f"{path}: the table has a header but no row; run the stage that writes it again")
    box_given = not {"detected", "given"} & set(frame.columns)
    iou = _numbers(frame, "iou", path)
    if evaluation:
        iou = iou.fill_null(0.0)
    pred, score = _labels(frame, "pred", path, scheme), _numbers(frame, "score", path)
    columns = {
        "path": pl.Series([path_in_cell(text, root) or text for text in frame["path"]], dtype=pl.String),
        "true": _labels(frame, "true", path, scheme),
        "pred": pred,
        "score": score,
        "detected": _flags(frame, path) if "detected" in frame.columns else pred.is_not_null(),
        "iou": iou,
        "given": pred if box_given else _labels(frame, "given", path, scheme),
        "given_score": score if box_given else _numbers(frame, "given_score", path),
        "error": frame["error"].replace("", None) if "error" in frame.columns else pl.lit(None, pl.String),
        **{name: _numbers(frame, name, path) for name in frame.columns if name.startswith("p_")},
    }
    for name in ("person", *GROUP_COLUMNS):
        if name in frame.columns:
            columns[name] = known(frame[name])
    warn_of_people(frame, path)
    return frame.select(column.alias(name) for name, column in columns.items())


def matched(frame: pl.DataFrame) -> pl.Series:
    """Return for each row of ``read_predictions`` whether it counts in the published protocol.

    It does if there is a prediction and it is about the labeled face: the box was given, or the detection's IoU with
    it reaches ``MATCHED_IOU``.
    """
    found = pl.col("detected") & pl.col("pred").is_not_null() & is_labeled_face()
    return frame.select(found.alias("matched"))["matched"]


def is_labeled_face() -> pl.Expr:
    """Whether the answer of a row is about the labeled face: the box was given (no ``iou``), or the detection fits."""
    return pl.col("iou").is_null() | (pl.col("iou") >= MATCHED_IOU)


def end_to_end(frame: pl.DataFrame) -> pl.Series:
    """Return the predictions of ``frame``, null where the labeled face was not found."""
    return frame["pred"].zip_with(matched(frame), pl.Series([None] * len(frame), dtype=pl.String)).alias("pred")


def _require_columns(
    frame: pl.DataFrame, columns: tuple[str, ...], path: Path, names: dict[str, str] | None = None
) -> None:
    printed = {new: old for old, new in (names or {}).items()}
    if missing := [printed.get(name, name) for name in columns if name not in frame.columns]:
        raise InputError(
            f"{path}: no column {' or '.join(missing)}; predictions need path, true, pred, and evaluations need image, "
            "gt_label, pred_label, face_detected, iou. Rename the columns or run the stage again."
        )


def _labels(frame: pl.DataFrame, name: str, path: Path, scheme: Scheme) -> pl.Series:
    if name not in frame.columns:
        return pl.Series(name, [None] * len(frame), dtype=pl.String)
    words = frame[name].str.strip_chars()
    class_by_word: dict[str, str | None] = {"": None} if name != "true" else {}
    for word in words.unique().drop_nulls():
        if word in class_by_word:
            continue
        class_by_word[word] = scheme.class_of(word) if name == "true" else class_of_answer(word, scheme)
        if class_by_word[word] is None:
            line = line_of(path, (words == word).arg_max() or 0)
            remedy = "correct the row or choose another --scheme"
            if name != "true":
                remedy = f"add it to the words of a class, or {remedy}"
            raise InputError(
                f"{path}, line {line}: the label {word!r} in column {name} is not in scheme {scheme.name} "
                f"({', '.join(scheme.classes)}); {remedy}"
            )
    return words.replace_strict(class_by_word, return_dtype=pl.String)


def _numbers(frame: pl.DataFrame, name: str, path: Path) -> pl.Series:
    if name not in frame.columns:
        return pl.Series(name, [None] * len(frame), dtype=pl.Float64)
    texts = frame[name].str.strip_chars()
    numbers = texts.cast(pl.Float64, strict=False)
    # A softmax in float32 rounds, so a probability can exceed 1 by a few units in the last place.
    bad = (texts != "") & ~(numbers.is_between(0, 1 + 1e-6).fill_null(value=False))
    if bad.any():
        index = bad.arg_max() or 0
        raise InputError(
            f"{path}, line {line_of(path, index)}: {name} is {texts[index]!r}, not a number from 0 to 1; "
            "correct the row"
        )
    return numbers


def _flags(frame: pl.DataFrame, path: Path) -> pl.Series:
    texts = frame["detected"].str.strip_chars().str.to_lowercase()
    bad = ~texts.is_in(list(_FLAGS))
    if bad.any():
        index = bad.arg_max() or 0
        raise InputError(f"{path}, line {line_of(path, index)}: detected is {texts[index]!r}; write 1 or 0")
    return texts.replace_strict(_FLAGS, return_dtype=pl.Boolean)
