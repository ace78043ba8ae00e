"""The seven experiments: predictions in, every table, figure and the page of ``reports/`` out."""

import logging
from collections.abc import Callable, Sequence
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
from pyojeong.core.labels import Scheme, scheme_named
from pyojeong.core.progress import track
from pyojeong.core.table import read_table, write_csv
from pyojeong.core.workspace import CROPS_CSV, EXPERIMENTS, REPORTS, SPLITS_CSV, SUMMARY, is_synthetic
from pyojeong.evaluation import comparison
from pyojeong.evaluation.predictions import all_classes, read_predictions
from pyojeong.evaluation.protocols import PROTOCOLS, answers, box_was_given, counts_in, own_protocols
from pyojeong.report import figures, page

log = logging.getLogger(__name__)

SYNTHETIC = "synthetic faces: proves the machinery, says nothing about real accuracy"

Frames = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class Report:
    """What ``report`` made.

    Attributes:
        summary: the rows of ``summary_overall_7exp.csv``.
        missing: experiments without predictions -> the command that makes them.
        page: the HTML page.
        notice: what must be said beside every number; empty for real data.
    """

    summary: pl.DataFrame
    missing: dict[str, str]
    page: Path
    notice: str


def report(root: Path, *, seed: int = 0) -> Report:
    """Write ``reports/`` from the predictions that are there.

    Every experiment gets ``{exp}_cm_counts.csv``, ``_cm_row_normalized.csv`` and ``_per_class_metrics.csv`` over
    its matched images, in the published form. All together: ``summary_overall_7exp.csv``,
    ``per_class_all_7exp.csv``, ``fair_comparison_7exp.csv`` (one row per experiment and protocol),
    ``paired_comparison.csv``, ``human_ceiling.csv``, ``figures/*.png`` and ``index.html``.

    Args:
        root: the workspace.
        seed: of the bootstrap intervals.

    Raises:
        InputError: no experiment is there, nothing could be read, or a file is unusable.
    """
    missing = {
        name: _command(name) for name, experiment in EXPERIMENTS.items() if not (root / experiment.predictions).exists()
    }
    if len(missing) == len(EXPERIMENTS):
        raise InputError(
            f"{root}: none of the seven experiments has predictions here; make the first one with: "
            f"{missing['FaceAPI_M1']} (or all of them with: pyojeong run)"
        )
    frames = {name: _load(root, name) for name in EXPERIMENTS if name not in missing}
    notice = SYNTHETIC if any(_is_synthetic(root, name) for name in frames) else ""
    out = root / REPORTS
    tables = _tables(root, frames, notice, seed)
    matrices = {name: _write_experiment(name, frame, out) for name, frame in frames.items()}
    tables["per_class_all_7exp"] = pl.concat(
        [_class_table(name, frame).insert_column(0, pl.lit(name).alias("exp")) for name, frame in frames.items()]
    )
    for name, table in tables.items():
        if table.is_empty():
            (out / f"{name}.csv").unlink(missing_ok=True)
        else:
            write_csv(table, out / f"{name}.csv")
    for name in missing:
        for kind in ("cm_counts", "cm_row_normalized", "per_class_metrics"):
            (out / f"{name}_{kind}.csv").unlink(missing_ok=True)
    pictures = _draw(tables, matrices, notice, out / "figures")
    write_text(out / "index.html", page.render(tables, pictures, missing=missing, notice=notice))
    return Report(tables["summary_overall_7exp"], missing, out / "index.html", notice)


def compare(
    files: Sequence[tuple[str, Path]], scheme: Scheme, out: Path, *, protocols: Sequence[str] = PROTOCOLS
) -> comparison.Comparison:
    """Compare prediction files as ``comparison.compare`` does, and draw ``compare.png`` beside its tables."""
    tables = comparison.compare(files, scheme, out, protocols=protocols)
    notice = SYNTHETIC if any(_says_synthetic(csv) for _, csv in files) else ""
    if notice:
        log.warning(notice)
    figure = figures.overview(tables.scores.with_columns(scheme=pl.lit(scheme.name)), notice=notice)
    write_bytes(out / "compare.png", figures.to_png(figure))
    return tables


def scheme_in(experiment: str) -> Scheme:
    """Return the label scheme of an experiment by its name."""
    return scheme_named(EXPERIMENTS[experiment].scheme)


def _load(root: Path, experiment: str) -> pl.DataFrame:
    """Read predictions and add ``person``, ``photo`` and the annotators' votes where the data CSVs have them."""
    scheme = scheme_in(experiment)
    predictions = root / EXPERIMENTS[experiment].predictions
    frame = read_predictions(predictions, scheme)
    if (predictions.parent / "best.pt").exists() and not (predictions.parent / "config.json").exists():
        log.warning(
            "%s: the run was stopped while its files were written, and they may be of two runs; train it again with "
            "the same command",
            predictions.parent,
        )
    own_photographs = EXPERIMENTS[experiment].mode == "faceapi"
    csv = root / (SPLITS_CSV if own_photographs else CROPS_CSV) / f"test_{scheme.name}.csv"
    if not csv.is_file():
        return frame
    facts = read_table(csv, scheme=scheme, root=root)
    _check_images(frame, facts, predictions, csv)
    if own_photographs:
        facts = facts.with_columns(photo="path")
    elif "source" in facts.columns:
        facts = facts.rename({"source": "photo"})
    wanted = [name for name in facts.columns if name in ("photo", "person") or name.startswith(comparison.VOTES_PREFIX)]
    frame = frame.drop(name for name in wanted if name in frame.columns).join(
        facts.select("path", *wanted).unique("path", keep="first"), on="path", how="left", maintain_order="left"
    )
    unknown = [name for name in ("photo", "person") if name in wanted and not _is_complete(frame[name])]
    return frame.drop(unknown)


def _check_images(frame: pl.DataFrame, facts: pl.DataFrame, predictions: Path, csv: Path) -> None:
    """Refuse predictions for images that the test table lacks or labels otherwise; warn of images without any."""
    foreign = frame.join(facts, on="path", how="anti", maintain_order="left")
    other = frame.join(facts, left_on=["path", "true"], right_on=["path", "label"], how="anti", maintain_order="left")
    for found, what in ((foreign, "are not in"), (other, "have another label in")):
        if len(found):
            raise InputError(
                f"{predictions}: {len(found)} of its images {what} {csv} (the first: {found['path'][0]}), so it was "
                "made from other data; run its stage again, or pyojeong run"
            )
    without = len(facts.join(frame, on="path", how="anti"))
    if without:
        log.warning("%s: no prediction for %d of the %d images in %s", predictions, without, len(facts), csv)


def _is_synthetic(root: Path, experiment: str) -> bool:
    """Whether an experiment saw synthetic faces: its own stage has written that beside its predictions."""
    return is_synthetic(root) or _says_synthetic(root / EXPERIMENTS[experiment].predictions)


def _says_synthetic(predictions: Path) -> bool:
    beside = (predictions.with_suffix(".json"), predictions.parent / "config.json")
    return any(json_value(settings, "synthetic") is True for settings in beside)


def _is_complete(column: pl.Series) -> bool:
    return bool((column.is_not_null() & (column != "")).all())


def _command(experiment: str) -> str:
    mode, scheme = EXPERIMENTS[experiment].mode, EXPERIMENTS[experiment].scheme
    if mode == "faceapi":
        return f"pyojeong baseline --csv {SPLITS_CSV}/test_{scheme}.csv"
    csvs = " ".join(f"--{split}-csv {CROPS_CSV}/{split}_{scheme}.csv" for split in ("train", "val", "test"))
    return f"pyojeong train --mode {mode} {csvs} --out {EXPERIMENTS[experiment].run}"


def _tables(root: Path, frames: Frames, notice: str, seed: int) -> Frames:
    fair = [
        {
            "exp": name,
            "contender": EXPERIMENTS[name].contender,
            "scheme": EXPERIMENTS[name].scheme,
            "protocol": protocol,
            "n_all": int(frame["error"].is_null().sum()),
            **asdict(comparison.score(some, seed)),
        }
        for name, frame in track(frames.items(), "scores", len(frames))
        for protocol in own_protocols(frame)
        if (some := answers(frame, scheme_in(name), protocol))
    ]
    if not fair:
        raise InputError(
            f"{root}: none of the photographs could be read, so there is nothing to score; bring them back to the "
            "places that the tables name and run the stages again"
        )
    couples = [
        (one, two)
        for one, two in combinations(frames, 2)
        if EXPERIMENTS[one].scheme == EXPERIMENTS[two].scheme and _can_pair(frames[one], frames[two])
    ]
    pairs = [
        {"scheme": EXPERIMENTS[one].scheme, "first": one, "second": two, "protocol": protocol, **asdict(pair)}
        for one, two in track(couples, "pairs")
        for protocol, pair in comparison.paired_scores(frames[one], frames[two], scheme_in(one), seed).items()
    ]
    # Where only photographs on which all agree were kept, people agree by construction, and an uploader's word is not
    # what the annotators are measured by.
    picked = (json_value(root / SUMMARY, "settings") or {}).get("policy") in ("unanimous", "uploader")
    ceilings = {} if picked else {EXPERIMENTS[name].scheme: (name, frame) for name, frame in frames.items()}
    people = [
        {"scheme": scheme, "images": ceiling.images, **asdict(ceiling.score)}
        for scheme, (name, frame) in ceilings.items()
        if (ceiling := comparison.human_ceiling(frame, scheme_in(name), seed))
    ]
    return {
        "summary_overall_7exp": pl.DataFrame(
            [_summary_row(root, name, frame, fair, notice) for name, frame in frames.items()], infer_schema_length=None
        ),
        "fair_comparison_7exp": pl.DataFrame(fair, infer_schema_length=None),
        "paired_comparison": pl.DataFrame(pairs, infer_schema_length=None),
        "human_ceiling": pl.DataFrame(people, infer_schema_length=None),
    }


def _can_pair(first: pl.DataFrame, second: pl.DataFrame) -> bool:
    """Whether the two name their images alike: both by photograph, or both by crop."""
    return ("photo" in first.columns) == ("photo" in second.columns)


def _summary_row(root: Path, name: str, frame: pl.DataFrame, fair: list[dict[str, Any]], notice: str) -> dict[str, Any]:
    """Return the eight published columns with their published meaning, then ours.

    The published macro-F1 averaged an absent class as 0; this one does not.
    """
    by_protocol = {row["protocol"]: row for row in fair if row["exp"] == name}
    given = by_protocol.get("given", {})
    whole = by_protocol.get("all", given)
    head = by_protocol.get("matched", {} if "all" in by_protocol else given)
    n_raw, n_eval = int(frame["error"].is_null().sum()), head.get("n", 0)
    return {
        "exp": name,
        "csv": EXPERIMENTS[name].predictions,
        "n_raw": n_raw,
        "n_eval": n_eval,
        "coverage(%)": _percent(n_eval / n_raw if n_raw else None),
        "filter": "" if box_was_given(frame) else "face_detected==1; iou>=0.3;",
        "Top1_Acc(%)": _percent(head.get("accuracy")),
        "Macro-F1": _digits(head.get("macro_f1")),
        "Macro-F1_low": _digits(head.get("macro_f1_low")),
        "Macro-F1_high": _digits(head.get("macro_f1_high")),
        "all_Acc(%)": _percent(whole.get("accuracy")),
        "all_Acc_low(%)": _percent(whole.get("accuracy_low")),
        "all_Acc_high(%)": _percent(whole.get("accuracy_high")),
        "all_Macro-F1": _digits(whole.get("macro_f1")),
        "given_Acc(%)": _percent(given.get("accuracy")),
        "given_Acc_low(%)": _percent(given.get("accuracy_low")),
        "given_Acc_high(%)": _percent(given.get("accuracy_high")),
        "given_Macro-F1": _digits(given.get("macro_f1")),
        "val_best_Macro-F1": _digits(_val_best(root, name)),
        "ECE": _digits(_calibration(frame)),
        "people": frame["person"].n_unique() if "person" in frame.columns else None,
        "unreadable": int(frame["error"].is_not_null().sum()),
        "interval_over": whole.get("interval_over"),
        "data": notice,
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _digits(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _val_best(root: Path, name: str) -> float | None:
    value = json_value((root / EXPERIMENTS[name].predictions).parent / "val_metrics_best.json", "macro_f1")
    return float(value) if isinstance(value, int | float) else None


def _calibration(frame: pl.DataFrame) -> float | None:
    """Calibration error of the answers that the headline counts; None where the file has no probabilities."""
    sure = frame.filter(counts_in(frame, "matched")).drop_nulls("score")
    if sure.is_empty():
        return None
    return metrics.calibration_error(sure["score"].to_numpy(), (sure["pred"] == sure["true"]).to_numpy())


def _headline_counts(name: str, frame: pl.DataFrame) -> metrics.Ints:
    """Confusion counts [K, K] over the matched images, as published."""
    classes = all_classes(scheme_in(name))
    some = answers(frame, scheme_in(name), "matched")
    return some.counts[:, : len(classes)] if some else metrics.confusion_counts([], [], len(classes))


def _write_experiment(name: str, frame: pl.DataFrame, out: Path) -> pl.DataFrame:
    """Write the three published tables of an experiment and return the row-normalized one."""
    classes, counts = all_classes(scheme_in(name)), _headline_counts(name, frame)
    shares = _matrix(classes, metrics.row_normalized(counts))
    write_csv(_matrix(classes, counts), out / f"{name}_cm_counts.csv")
    write_csv(shares, out / f"{name}_cm_row_normalized.csv")
    write_csv(_class_table(name, frame), out / f"{name}_per_class_metrics.csv")
    return shares


def _matrix(classes: tuple[str, ...], cells: NDArray[Any]) -> pl.DataFrame:
    return pl.DataFrame({"true": classes, **{word: cells[:, column] for column, word in enumerate(classes)}})


def _class_table(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    scores = metrics.per_class(_headline_counts(name, frame))
    return pl.DataFrame({"class": all_classes(scheme_in(name)), **scores._asdict()})


def _draw(tables: Frames, matrices: Frames, notice: str, folder: Path) -> dict[str, page.Picture]:
    """Write the figures for light paper to ``folder`` and return each with its dark twin."""
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
