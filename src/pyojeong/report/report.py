"""Write the report of the seven experiments from their predictions, and compare any prediction files."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pyojeong.core import metrics
from pyojeong.core.errors import InputError
from pyojeong.core.files import json_value, write_bytes, write_text
from pyojeong.core.geometry import MATCHED_IOU
from pyojeong.core.labels import Scheme, scheme_named
from pyojeong.core.progress import track
from pyojeong.core.table import write_csv, write_or_remove
from pyojeong.core.workspace import (
    CROPS_CSV,
    EXPERIMENTS,
    REPORTS,
    SPLITS_CSV,
    SYNTHETIC_NOTICE,
    is_synthetic,
)
from pyojeong.evaluation import comparison
from pyojeong.evaluation.groups import annotator_groups, contender_groups, group_table
from pyojeong.evaluation.predictions import all_classes
from pyojeong.evaluation.protocols import PROTOCOLS, answers, box_was_given, counts_in, own_protocols
from pyojeong.report import figures, page
from pyojeong.report.sources import load, says_synthetic, scheme_of_experiment, votes_decide_labels

log = logging.getLogger(__name__)

Frames = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class Report:
    """The result of ``report``.

    Attributes:
        summary: the rows of ``summary_overall_7exp.csv``.
        groups: the rows of ``group_scores.csv``; empty where the test tables have no such columns.
        missing: experiment without predictions -> the command that makes them.
        page: the HTML page.
        notice: must be shown with every number; empty for real data.
    """

    summary: pl.DataFrame
    groups: pl.DataFrame
    missing: dict[str, str]
    page: Path
    notice: str


def report(root: str | Path, *, seed: int = 0) -> Report:
    """Write ``reports/`` from the predictions of the experiments; those without predictions are left out.

    Each experiment gets ``{exp}_cm_counts.csv``, ``_cm_row_normalized.csv`` and ``_per_class_metrics.csv`` over its
    matched images, in the published format. All together get ``summary_overall_7exp.csv``,
    ``per_class_all_7exp.csv``, ``fair_comparison_7exp.csv`` (one row per experiment and protocol),
    ``paired_comparison.csv``, ``human_ceiling.csv``, ``group_scores.csv``, ``figures/*.png`` and ``index.html``. Files
    of an earlier report that no longer apply are deleted.

    Args:
        root: the workspace.
        seed: seed of the bootstrap intervals.

    Raises:
        InputError: no experiment has predictions, no photograph could be read, or a file is invalid.
    """
    root = Path(root)
    missing = {
        name: _command(name) for name, experiment in EXPERIMENTS.items() if not (root / experiment.predictions).exists()
    }
    if len(missing) == len(EXPERIMENTS):
        raise InputError(
            f"{root.absolute()}: none of the seven experiments has predictions; make the first with: "
            f"{missing['FaceAPI_M1']} (or all of them with: pyojeong run)"
        )
    frames = {name: load(root, name) for name in EXPERIMENTS if name not in missing}
    synthetic = is_synthetic(root) or any(says_synthetic(root / EXPERIMENTS[name].predictions) for name in frames)
    notice = SYNTHETIC_NOTICE if synthetic else ""
    tables = _tables(root, frames, notice, seed)
    out = root / REPORTS
    matrices = {name: _write_experiment(name, frame, out) for name, frame in frames.items()}
    for name in missing:
        for kind in ("cm_counts", "cm_row_normalized", "per_class_metrics"):
            (out / f"{name}_{kind}.csv").unlink(missing_ok=True)
    for name, table in tables.items():
        write_or_remove(table, out / f"{name}.csv")
    pictures = _draw(tables, matrices, notice, out / "figures")
    write_text(out / "index.html", page.render(tables, pictures, missing=missing, synthetic=synthetic))
    return Report(tables["summary_overall_7exp"], tables["group_scores"], missing, out / "index.html", notice)


def compare(
    predictions: Mapping[str, str | Path] | Iterable[tuple[str, str | Path]],
    scheme: Scheme | str,
    out: str | Path,
    *,
    root: str | Path = ".",
    protocols: Sequence[str] = PROTOCOLS,
) -> comparison.Comparison:
    """Compare contenders on the images that all their prediction files contain.

    Writes ``compare_scores.csv``, ``compare_paired.csv`` and the figure ``compare.png``::

        compare({"ours": "ours.csv", "theirs": "theirs.csv"}, "K7", "out")

    Args:
        predictions: contender -> its CSV, or pairs of both. A CSV has the columns ``path,true,pred`` and may have
            ``score``, ``person`` and others, or is an evaluation CSV of ``evaluate``.
        scheme: the label scheme of all files: ``K7``, ``M1``, ``M2``, ``BASIC7`` or the path of a ``.toml`` file.
        out: folder for the tables and the figure.
        root: the project root that relative paths in the files start from.
        protocols: which images count, and how a missed face counts. ``matched``: the images on which the contender
            found the labeled face; ``all``: every image, a miss is wrong; ``given``: every image, the contender
            received the labeled box. For images that are cropped faces, only ``given`` is fair, because detectors
            find few faces in crops.

    Returns:
        ``scores``: one row per contender and protocol, with accuracy and macro-F1 (0..1) and their 95 % intervals.
        ``paired``: one row per pair of contenders and protocol, with the differences, their intervals and McNemar's
        p-value. ``groups``: accuracy, coverage and calibration by group (``evaluation.groups``), also written to
        ``compare_groups.csv``, where a file has columns ``gender``, ``age``, ``profession`` or ``place``.

    Raises:
        InputError: a file is invalid, there are fewer than two files, two have one name, the scheme or a protocol
            is unknown, the files have no image in common or disagree about one, or no image counts; no file is
            written then.
    """
    out = Path(out)
    scheme = scheme_named(scheme) if isinstance(scheme, str) else scheme
    pairs = predictions.items() if isinstance(predictions, Mapping) else predictions
    files = [(name, Path(path)) for name, path in pairs]
    tables = comparison.compare(files, scheme, out, root=Path(root), protocols=protocols)
    notice = SYNTHETIC_NOTICE if any(says_synthetic(path) for _, path in files) else ""
    if notice:
        log.warning(notice)
    figure = figures.overview(tables.scores.with_columns(scheme=pl.lit(scheme.name)), own=scheme, notice=notice)
    write_bytes(out / "compare.png", figures.to_png(figure))
    return tables


def _command(experiment: str) -> str:
    """Return the command that makes the predictions of ``experiment``."""
    mode, scheme = EXPERIMENTS[experiment].mode, EXPERIMENTS[experiment].scheme
    if mode == "faceapi":
        return f"pyojeong baseline --csv {SPLITS_CSV}/test_{scheme}.csv"
    csvs = " ".join(f"--{split}-csv {CROPS_CSV}/{split}_{scheme}.csv" for split in ("train", "val", "test"))
    return f"pyojeong train --mode {mode} {csvs} --out {EXPERIMENTS[experiment].run}"


def _tables(root: Path, frames: Frames, notice: str, seed: int) -> Frames:
    """Return the tables over all experiments by file name; they may be empty except for the scores."""
    scores = _scores(frames, seed)
    if not scores:
        raise InputError(
            f"{root.absolute()}: none of the photographs could be read, so there is nothing to score; put them back "
            "where the tables say they are and run the stages again"
        )
    rows = {
        "summary_overall_7exp": [_summary_row(root, name, frame, scores, notice) for name, frame in frames.items()],
        "fair_comparison_7exp": scores,
        "paired_comparison": _pairs(frames, seed),
        "human_ceiling": _human_ceilings(root, frames, seed),
    }
    per_class = [
        _class_table(name, frame).insert_column(0, pl.lit(name).alias("exp")) for name, frame in frames.items()
    ]
    tables = {name: pl.DataFrame(table, infer_schema_length=None) for name, table in rows.items()}
    return tables | {"per_class_all_7exp": pl.concat(per_class), "group_scores": _groups(root, frames)}


def _scores(frames: Frames, seed: int) -> list[dict[str, Any]]:
    """Score each experiment under each protocol that applies to it."""
    return [
        {
            "exp": name,
            "contender": EXPERIMENTS[name].contender,
            "scheme": EXPERIMENTS[name].scheme,
            "protocol": protocol,
            "n_all": int(frame["error"].is_null().sum()),
            **asdict(comparison.score(predictions, seed)),
        }
        for name, frame in track(frames.items(), "scores", len(frames))
        for protocol in own_protocols(frame)
        if (predictions := answers(frame, scheme_of_experiment(name), protocol))
    ]


def _pairs(frames: Frames, seed: int) -> list[dict[str, Any]]:
    """Compare each two experiments of one scheme that both name photographs, or both name crops."""
    pairs = [
        (first, second)
        for first, second in combinations(frames, 2)
        if EXPERIMENTS[first].scheme == EXPERIMENTS[second].scheme
        and ("photo" in frames[first].columns) == ("photo" in frames[second].columns)
    ]
    return [
        {"scheme": EXPERIMENTS[first].scheme, "first": first, "second": second, "protocol": protocol, **asdict(pair)}
        for first, second in track(pairs, "pairs")
        for protocol, pair in comparison.paired_scores(
            frames[first], frames[second], scheme_of_experiment(first), seed
        ).items()
    ]


def _groups(root: Path, frames: Frames) -> pl.DataFrame:
    """Score each experiment by group, and the annotators in each scheme."""
    parts = [contender_groups(frame, name) for name, frame in track(frames.items(), "groups", len(frames))]
    for scheme, (name, frame) in _one_per_scheme(root, frames).items():
        parts.append(annotator_groups(frame, scheme_of_experiment(name), f"annotators_{scheme}"))
    return group_table(parts)


def _human_ceilings(root: Path, frames: Frames, seed: int) -> list[dict[str, Any]]:
    """Score one annotator against the others in each scheme, where the label policy makes that meaningful."""
    return [
        {"scheme": scheme, "images": ceiling.images, **asdict(ceiling.score)}
        for scheme, (name, frame) in _one_per_scheme(root, frames).items()
        if (ceiling := comparison.human_ceiling(frame, scheme_of_experiment(name), seed))
    ]


def _one_per_scheme(root: Path, frames: Frames) -> dict[str, tuple[str, pl.DataFrame]]:
    """Return an experiment of each scheme; none where the annotators' votes mean nothing."""
    if not votes_decide_labels(root):
        return {}
    return {EXPERIMENTS[name].scheme: (name, frame) for name, frame in frames.items()}


def _summary_row(
    root: Path, name: str, frame: pl.DataFrame, scores: list[dict[str, Any]], notice: str
) -> dict[str, Any]:
    """Return the eight published columns with their published meaning, then the columns that this project adds.

    One difference: the published macro-F1 counted an absent class as 0, this one leaves it out.
    """
    by_protocol = {row["protocol"]: row for row in scores if row["exp"] == name}
    given = by_protocol.get("given", {})
    end_to_end = by_protocol.get("all", given)
    headline = by_protocol.get("matched", {} if "all" in by_protocol else given)
    n_raw, n_eval = int(frame["error"].is_null().sum()), headline.get("n", 0)
    return {
        "exp": name,
        "csv": EXPERIMENTS[name].predictions,
        "n_raw": n_raw,
        "n_eval": n_eval,
        "coverage(%)": _percent(n_eval / n_raw if n_raw else None),
        "filter": "" if box_was_given(frame) else f"face_detected==1; iou>={MATCHED_IOU};",
        "Top1_Acc(%)": _percent(headline.get("accuracy")),
        "Macro-F1": _rounded(headline.get("macro_f1")),
        "Macro-F1_low": _rounded(headline.get("macro_f1_low")),
        "Macro-F1_high": _rounded(headline.get("macro_f1_high")),
        "all_Acc(%)": _percent(end_to_end.get("accuracy")),
        "all_Acc_low(%)": _percent(end_to_end.get("accuracy_low")),
        "all_Acc_high(%)": _percent(end_to_end.get("accuracy_high")),
        "all_Macro-F1": _rounded(end_to_end.get("macro_f1")),
        "given_Acc(%)": _percent(given.get("accuracy")),
        "given_Acc_low(%)": _percent(given.get("accuracy_low")),
        "given_Acc_high(%)": _percent(given.get("accuracy_high")),
        "given_Macro-F1": _rounded(given.get("macro_f1")),
        "val_best_Macro-F1": _rounded(_val_best(root, name)),
        "ECE": _rounded(_headline_calibration(frame)),
        "people": frame["person"].n_unique() if "person" in frame.columns else None,
        "unreadable": int(frame["error"].is_not_null().sum()),
        "interval_over": end_to_end.get("interval_over"),
        "started_from": _started_from(root, name),
        "data": notice,
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _val_best(root: Path, name: str) -> float | None:
    value = json_value((root / EXPERIMENTS[name].predictions).parent / "val_metrics_best.json", "macro_f1")
    return float(value) if isinstance(value, int | float) else None


def _started_from(root: Path, name: str) -> str | None:
    """Return the recipe's initial weights, without the folder of a file; None for what was not trained here."""
    recipe = json_value((root / EXPERIMENTS[name].predictions).parent / "config.json", "recipe") or {}
    return Path(recipe["weights"]).name if "weights" in recipe else None


def _headline_calibration(frame: pl.DataFrame) -> float | None:
    """Return the calibration error on the matched images, or None if the file has no probabilities."""
    scored = frame.filter(counts_in(frame, "matched")).drop_nulls("score")
    if scored.is_empty():
        return None
    return metrics.calibration_error(scored["score"].to_numpy(), (scored["pred"] == scored["true"]).to_numpy())


def _headline_counts(name: str, frame: pl.DataFrame) -> metrics.Ints:
    """Return confusion counts [K, K] over the matched images, as published."""
    classes = all_classes(scheme_of_experiment(name))
    matched = answers(frame, scheme_of_experiment(name), "matched")
    return matched.counts[:, : len(classes)] if matched else metrics.confusion_counts([], [], len(classes))


def _write_experiment(name: str, frame: pl.DataFrame, out: Path) -> pl.DataFrame:
    """Write the three published tables of an experiment; return the row-normalized confusion matrix."""
    classes, counts = all_classes(scheme_of_experiment(name)), _headline_counts(name, frame)
    shares = _matrix(classes, metrics.row_normalized(counts))
    write_csv(_matrix(classes, counts), out / f"{name}_cm_counts.csv")
    write_csv(shares, out / f"{name}_cm_row_normalized.csv")
    write_csv(_class_table(name, frame), out / f"{name}_per_class_metrics.csv")
    return shares


def _matrix(classes: tuple[str, ...], cells: NDArray[Any]) -> pl.DataFrame:
    return pl.DataFrame({"true": classes, **dict(zip(classes, cells.T, strict=True))})


def _class_table(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    scores = metrics.per_class(_headline_counts(name, frame))
    return pl.DataFrame({"class": all_classes(scheme_of_experiment(name)), **scores._asdict()})


def _draw(tables: Frames, matrices: Frames, notice: str, folder: Path) -> dict[str, page.Picture]:
    """Write the figures with the light theme to ``folder``; return them in both themes."""
    drawings: dict[str, Callable[[figures.Theme], Figure]] = {
        "overview": lambda theme: figures.overview(
            tables["fair_comparison_7exp"], tables["human_ceiling"], theme=theme, notice=notice
        ),
        "confusions": lambda theme: figures.confusions(matrices, theme=theme, notice=notice),
        "class_scores": lambda theme: figures.class_scores(tables["per_class_all_7exp"], theme=theme, notice=notice),
    }
    pictures = {}
    for name, draw in drawings.items():
        pictures[name] = page.Picture(figures.to_png(draw(figures.LIGHT)), figures.to_png(draw(figures.DARK)))
        write_bytes(folder / f"{name}.png", pictures[name].light)
    return pictures
