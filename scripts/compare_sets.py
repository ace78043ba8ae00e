"""Compare face-api.js with an exported model on every data set at hand, and print tables.

    python scripts/compare_sets.py FOLDER [--model FILE] [--project-root .]

FOLDER holds ``rafdb.zip``, ``fer2013.zip``, ``jaffe.zip``, ``scut_asian.zip`` and ``london_as_aihub/``, as the runbook
describes them; a set that is not there is left out, and said to be. Tables are written to ``data_raw``, evaluations and
comparisons to ``models/sets/NAME``. A second run repeats only what has changed.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fer2013
import mixture
import numpy as np
import onnxruntime
import polars as pl
import rafdb
import scut
import unsure
from archive_tables import link_into

from pyojeong.analyzer import MODEL, ModelContender
from pyojeong.classifier import Classifier
from pyojeong.core import metrics
from pyojeong.core.errors import InputError
from pyojeong.core.files import write_bytes
from pyojeong.core.labels import BASIC7
from pyojeong.core.table import BOX_COLUMNS, read_csv, write_csv
from pyojeong.core.workspace import SPLITS_CSV
from pyojeong.data.prepare import prepare
from pyojeong.evaluation.comparison import Comparison, compare
from pyojeong.evaluation.evaluate import evaluate
from pyojeong.evaluation.evaluation_csv import EvaluationTable
from pyojeong.evaluation.predictions import read_predictions
from pyojeong.evaluation.protocols import answers
from pyojeong.faceapi.engines import FaceApiContender
from pyojeong.report import figures

JAFFE_BOX = (65, 85, 195, 230)
"""The face in each of JAFFE's pictures, whose 256 x 256 pixels always show it in the same place."""

FACE_API, OURS = "face-api.js", "pyojeong"

HEADER = (
    "faces",
    "protocol",
    "n",
    FACE_API + " %",
    OURS + " %",
    "difference",
    "McNemar p",
    *(f"macro-F1 {name}" for name in (FACE_API, OURS)),
    *(f"ECE {name}" for name in (FACE_API, OURS)),
)

GROUP_NAMES = {"여": "women", "F": "women", "남": "men", "M": "men"}
FEWEST = 10
"""Pictures that a group must have to get a row."""


@dataclass(frozen=True)
class DataSet:
    """A set to compare on.

    Attributes:
        name: of its table and its folder.
        title: of its rows.
        source: file or folder in FOLDER.
        protocols: those that are fair on it; crops around a face have only ``given``.
    """

    name: str
    title: str
    source: str
    protocols: tuple[str, ...]


SETS = (
    DataSet("rafdb", "RAF-DB test", "rafdb.zip", ("given",)),
    DataSet("fer2013", "FER2013 test", "fer2013.zip", ("given",)),
    DataSet("ferplus", "FER+ test, majority of votes", "fer2013.zip", ("given",)),
    DataSet("jaffe", "JAFFE", "jaffe.zip", ("all", "given")),
    DataSet("scut", "SCUT-FBP5500, neutral and smiling", "scut_asian.zip", ("all", "given")),
    DataSet("london", "London, neutral and happy", "london_as_aihub", ("all", "given")),
)
EAST_ASIAN = ("jaffe", "scut")

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.5)
"""Shares of the answers, the surest first, whose error is printed."""

ANSWERS = ("gt_label", "given_pred_label")
"""Columns of an evaluation CSV: the label, and the answer for the given box."""


def table(data_set: DataSet, folder: Path, root: Path) -> pl.DataFrame:
    """Return the rows of a data set, with paths from ``root``."""
    source = folder / data_set.source
    if data_set.name == "london":
        return _london(source, root)
    link_into(root / "data_raw", source)
    if data_set.name == "rafdb":
        tables: dict[str, pl.DataFrame] = rafdb.tables(source)
        return tables["test"]
    if data_set.name == "scut":
        portraits: pl.DataFrame = scut.table(source)
        return portraits
    if data_set.name == "jaffe":
        return _with_box(mixture.jaffe(source)["val"], JAFFE_BOX)
    faces = fer2013.majority(source) if data_set.name == "ferplus" else fer2013.table(source)
    return _with_box(faces, (0, 0, fer2013.SIDE, fer2013.SIDE))


def _with_box(faces: pl.DataFrame, box: tuple[int, ...]) -> pl.DataFrame:
    return faces.with_columns(pl.lit(value).alias(name) for name, value in zip(BOX_COLUMNS, box, strict=True))


def _london(source: Path, root: Path) -> pl.DataFrame:
    """Return the photographs as ``pyojeong prepare`` reads them, in a workspace of their own below ``root``."""
    within = Path("data_raw") / "london"
    prepare(source, root / within)
    parts = [read_csv(root / within / SPLITS_CSV / f"{split}_M1.csv") for split in ("train", "val", "test")]
    rows = pl.concat(parts).select("path", "label_en", "person", "gender", "age", *BOX_COLUMNS)
    return rows.with_columns(path=f"{within.as_posix()}/" + pl.col("path"))


def sets_in(folder: Path) -> list[DataSet]:
    """Return the sets that are in the folder, and print which are not; InputError where none is."""
    there = [one for one in SETS if (folder / one.source).exists()]
    if not there:
        sources = ", ".join(dict.fromkeys(one.source for one in SETS))
        raise InputError(f"no data set in {folder}; name a folder that holds at least one of {sources}")
    for one in SETS:
        if one not in there:
            print(f"{one.title}: left out, {folder / one.source} is not there")
    return there


def evaluate_all(there: list[DataSet], root: Path, model: ModelContender, workers: int) -> None:
    """Evaluate both contenders; a picture in two tables is analyzed once."""
    for name, contender in ((FACE_API, FaceApiContender()), (OURS, model)):
        tables = [EvaluationTable(_csv(one, root), BASIC7, _out(one, root) / f"{name}_eval.csv") for one in there]
        evaluate(tables, contender, root=root, workers=workers)


def compared(data_set: DataSet, root: Path) -> Comparison:
    """Compare the evaluations of a set."""
    out = _out(data_set, root)
    files = [(name, out / f"{name}_eval.csv") for name in (FACE_API, OURS)]
    return compare(files, BASIC7, out, protocols=data_set.protocols)


def score_rows(data_set: DataSet, comparison: Comparison) -> Iterator[str]:
    """Yield the rows of a set in the printed table."""
    for protocol in data_set.protocols:
        theirs, ours = (
            comparison.scores.row(
                by_predicate=(pl.col("contender") == name) & (pl.col("protocol") == protocol), named=True
            )
            for name in (FACE_API, OURS)
        )
        pair = comparison.paired.row(by_predicate=pl.col("protocol") == protocol, named=True)
        cells = [
            data_set.title,
            protocol,
            ours["n"],
            *(_share(one, "accuracy") for one in (theirs, ours)),
            _difference(pair),
            f"{pair['mcnemar_p']:.2g}",
            *(f"{one['macro_f1']:.3f}" for one in (theirs, ours)),
            *("-" if one["ece"] is None else f"{one['ece']:.3f}" for one in (theirs, ours)),
        ]
        yield _row(cells)


def group_rows(data_set: DataSet, comparison: Comparison) -> Iterator[str]:
    """Yield a row for each sex and age of a set, where a contender finds the face itself and a missed one is wrong."""
    wanted = comparison.groups.filter(pl.col("protocol") == "all", pl.col("measure") == "accuracy")
    for (column, group), both in wanted.group_by("column", "group", maintain_order=True):
        if both.filter(pl.col("n") < FEWEST).height:
            continue
        theirs, ours = (both.row(by_predicate=pl.col("contender") == name, named=True) for name in (FACE_API, OURS))
        title = f"{data_set.title}: {GROUP_NAMES.get(str(group), f'{column} {group}')}"
        yield _row([title, ours["n"], _share(theirs, "value"), _share(ours, "value")])


def print_groups(comparisons: dict[DataSet, Comparison]) -> None:
    """Print the table by sex and age; nothing where no set names them."""
    rows = [row for one, comparison in comparisons.items() for row in group_rows(one, comparison)]
    if rows:
        print(
            "\nBy sex and age, protocol all: each contender finds the face with its own detector, and a missed face is "
            f"wrong. Groups of at least {FEWEST} pictures; 95 % intervals over people where they are known, else over "
            "images; a group that is too small for an interval has none\n"
        )
        print("\n".join([_row(["faces", "n", f"{FACE_API} %", f"{OURS} %"]), "|---" * 4 + "|", *rows]))


def _row(cells: list[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _csv(data_set: DataSet, root: Path) -> Path:
    return root / "data_raw" / f"set_{data_set.name}_BASIC7.csv"


def _out(data_set: DataSet, root: Path) -> Path:
    return root / "models" / "sets" / data_set.name


def _share(score: dict[str, float], name: str) -> str:
    """Return a share with its interval, which a small group lacks."""
    low, high = score[f"{name}_low"], score[f"{name}_high"]
    return f"{100 * score[name]:.1f}" + (f" ({100 * low:.1f}-{100 * high:.1f})" if low is not None else "")


def _difference(pair: dict[str, float]) -> str:
    low, high = pair["accuracy_difference_low"], pair["accuracy_difference_high"]
    return f"{100 * pair['accuracy_difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def print_recalls(sets: list[DataSet], root: Path) -> None:
    """Print how often our model reads each class right with the box given."""
    rows = pl.concat([read_csv(_out(one, root) / f"{OURS}_eval.csv").select(ANSWERS) for one in sets])
    cells = []
    for label in BASIC7.classes:
        own = rows.filter(pl.col("gt_label") == label)
        right = own.filter(pl.col("given_pred_label") == label).height
        cells.append(f"{label} {right} of {own.height}")
    print(f"{' + '.join(one.title for one in sets)}, box given, read right: {', '.join(cells)}")


def print_f1(one: DataSet, root: Path) -> None:
    """Print F1 by class of our model with the box given; a class without pictures has none."""
    given = answers(read_predictions(_out(one, root) / f"{OURS}_eval.csv", BASIC7), BASIC7, "given")
    if given:
        scores = metrics.per_class(given.counts)
        f1 = {label: f"{scores.f1[n]:.3f}" if scores.support[n] else "-" for n, label in enumerate(given.classes)}
        print(f"{one.title}, box given, F1: {', '.join(f'{label} {f1[label]}' for label in BASIC7.classes)}")


def check_picture(picture: Path, there: list[DataSet]) -> None:
    """Raise InputError where the picture cannot be drawn, before the evaluation that it shows."""
    if picture.suffix.lower() != ".png" or picture.is_dir() or not picture.parent.is_dir():
        raise InputError(f"--picture {picture}: must be a PNG file in a folder that exists")
    if all(one.name != "rafdb" for one in there):
        raise InputError(f"--picture {picture}: shows RAF-DB, but rafdb.zip is not there")


def draw(comparison: Comparison, model: ModelContender, picture: Path) -> None:
    """Draw accuracy and macro-F1 of both contenders; the picture's text ``model`` is the model's SHA-256."""
    figure = figures.overview(comparison.scores.with_columns(scheme=pl.lit(BASIC7.name)))
    write_bytes(picture, figures.to_png(figure, {"model": model.sha256}))


def print_risks(there: list[DataSet], root: Path, threshold: float) -> None:
    """Print the error of our surest answers with the box given, and what the threshold leaves; 0 is no threshold."""
    columns = ["faces", "n", *(f"error of the surest {coverage:.0%}" for coverage in COVERAGES)]
    if threshold:
        columns += [f"sure from {threshold:.3f} on", "their error"]
    print(_row([*columns]) + "\n" + "|---" * len(columns) + "|")
    for one in there:
        scores, right = unsure.read_answers(_out(one, root) / f"{OURS}_eval.csv", "BASIC7")
        curve = unsure.risk_coverage(scores, right)
        shares = [unsure.at_coverage(curve, coverage) for coverage in COVERAGES]
        if threshold:
            sure = right.filter(scores >= threshold)
            shares += [len(sure) / len(right), 1 - (sure.mean() or 0)]
        print(_row([one.title, len(right), *(f"{100 * value:.1f} %" for value in shares)]))


def main() -> None:
    """Print the tables, or what is missing for them."""
    parser = argparse.ArgumentParser(description="face-api.js and pyojeong on every data set at hand")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--project-root", type=Path, default=Path())
    parser.add_argument("--workers", type=int, default=1, help="processes that share the work")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the scores on RAF-DB, as in the README")
    arguments = parser.parse_args()
    root = arguments.project_root
    try:
        there = sets_in(arguments.folder)
        if arguments.picture:
            check_picture(arguments.picture, there)
        model = ModelContender.load(arguments.model)
        for one in there:
            write_csv(table(one, arguments.folder, root), _csv(one, root))
        evaluate_all(there, root, model, arguments.workers)
        print(_row([*HEADER]) + "\n" + "|---" * len(HEADER) + "|")
        comparisons = {}
        for one in there:
            comparisons[one] = compared(one, root)
            for row in score_rows(one, comparisons[one]):
                print(row, flush=True)
        for one in there:
            print_recalls([one], root)
            if one.name == "rafdb":
                print_f1(one, root)
        print_risks(there, root, Classifier(arguments.model).unsure_below)
        if len(asian := [one for one in there if one.name in EAST_ASIAN]) > 1:
            print_recalls(asian, root)
        print_groups(comparisons)
        print(
            f"\nModel {model.path}, SHA-256 {model.sha256[:12]}; onnxruntime {onnxruntime.__version__}, "
            f"numpy {np.__version__}"
        )
        for one in there:
            if one.name == "rafdb" and arguments.picture:
                draw(comparisons[one], model, arguments.picture)
    except (InputError, OSError) as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
