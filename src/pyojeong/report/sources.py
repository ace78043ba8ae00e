"""Reads the predictions of the seven experiments, with what their test tables say of each image."""

import logging
from pathlib import Path

import polars as pl

from pyojeong.core.errors import InputError
from pyojeong.core.files import json_value
from pyojeong.core.labels import Scheme, scheme_named
from pyojeong.core.people import known
from pyojeong.core.table import GROUP_COLUMNS, VOTES_PREFIX, read_table
from pyojeong.core.workspace import CROPS_CSV, EXPERIMENTS, SPLITS_CSV, SUMMARY
from pyojeong.evaluation.predictions import read_predictions

log = logging.getLogger(__name__)


def votes_decide_labels(root: Path) -> bool:
    """Whether the photographs in ``root`` were labeled by the annotators' majority, so that one can be scored.

    The policy ``unanimous`` keeps only photographs on which all annotators agree; ``uploader`` takes the label from
    someone else.
    """
    return (json_value(root / SUMMARY, "settings") or {}).get("policy") not in ("unanimous", "uploader")


def scheme_of_experiment(experiment: str) -> Scheme:
    """Return the label scheme of an experiment."""
    return scheme_named(EXPERIMENTS[experiment].scheme)


def says_synthetic(predictions: Path) -> bool:
    """Return whether the stage that wrote ``predictions`` recorded that the faces are synthetic."""
    settings = (predictions.with_suffix(".json"), predictions.parent / "config.json")
    return any(json_value(path, "synthetic") is True for path in settings)


def load(root: Path, experiment: str) -> pl.DataFrame:
    """Read an experiment's predictions and add what the test table says of each image, see ``with_facts``.

    Raises InputError where the two do not belong together.
    """
    scheme = scheme_of_experiment(experiment)
    predictions = root / EXPERIMENTS[experiment].predictions
    frame = read_predictions(predictions, scheme, root)
    if (predictions.parent / "best.pt").exists() and not (predictions.parent / "config.json").exists():
        log.warning(
            "%s: the run was stopped while its files were written, so they may come from two different runs; train "
            "again with the same command",
            predictions.parent,
        )
    whole_photographs = EXPERIMENTS[experiment].mode == "faceapi"
    csv = root / (SPLITS_CSV if whole_photographs else CROPS_CSV) / f"test_{scheme.name}.csv"
    if not csv.is_file():
        return frame
    test = read_table(csv, scheme=scheme, root=root)
    check_images(frame, test, predictions, csv, "run its stage again, or pyojeong run")
    if whole_photographs:
        test = test.with_columns(photo="path")
    elif "source" in test.columns:
        test = test.rename({"source": "photo"})
    return with_facts(frame, test)


def with_facts(frame: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Add the columns ``photo``, ``person``, ``table.GROUP_COLUMNS`` and the annotators' votes of a test table.

    ``photo`` is left out where it is unknown on some images; an unknown person or group is null.
    """
    facts = ("photo", "person", *GROUP_COLUMNS)
    added = [name for name in test.columns if name in facts or name.startswith(VOTES_PREFIX)]
    frame = frame.drop(name for name in added if name in frame.columns).join(
        test.select("path", *added).unique("path", keep="first"), on="path", how="left", maintain_order="left"
    )
    frame = frame.with_columns(known(frame[name]) for name in ("person", *GROUP_COLUMNS) if name in added)
    if "photo" in added and frame["photo"].replace("", None).null_count():
        return frame.drop("photo")
    return frame


def check_images(frame: pl.DataFrame, test: pl.DataFrame, predictions: Path, csv: Path, remedy: str) -> None:
    """Raise InputError where predictions disagree with the test table; warn of images without a prediction."""
    unlisted = frame.join(test, on="path", how="anti", maintain_order="left")
    relabeled = frame.join(
        test, left_on=["path", "true"], right_on=["path", "label"], how="anti", maintain_order="left"
    )
    for rows, problem in ((unlisted, "are not in"), (relabeled, "have another label in")):
        if len(rows):
            raise InputError(
                f"{predictions}: {len(rows):,} of its images {problem} {csv} (the first: {rows['path'][0]}), so it was "
                f"made from other data; {remedy}"
            )
    unpredicted = len(test.join(frame, on="path", how="anti"))
    if unpredicted:
        log.warning(
            "%s: no prediction for %s of the %s images in %s", predictions, f"{unpredicted:,}", f"{len(test):,}", csv
        )
