"""Choose below which probability a model's answer is called unsure, on a validation table.

    python scripts/unsure.py VAL.csv --scheme BASIC7 --risk 0.2 [--curve CURVE.csv] [--model IN.onnx --out OUT.onnx]

VAL.csv holds predictions with their scores (``path,true,pred,score``, or what ``pyojeong evaluate`` writes; then the
answers for the given box count). Printed are the error on all faces and at 80 % coverage, and the lowest threshold at
which the answers at or above it are wrong no more often than the stated risk. ``--curve`` writes error and threshold at
each coverage (El-Yaniv and Wiener, "On the foundations of noise-free selective classification", 2010). ``--out`` writes
a copy of the model that carries the threshold. Choose on validation faces only: a test set must not decide.
"""

import argparse
from pathlib import Path

import onnx
import polars as pl

from pyojeong.classifier import UNSURE_BELOW, Classifier
from pyojeong.core.errors import InputError
from pyojeong.core.files import require_file, write_bytes
from pyojeong.core.labels import scheme_named
from pyojeong.core.table import write_csv
from pyojeong.evaluation.predictions import read_predictions


def risk_coverage(scores: pl.Series, right: pl.Series) -> pl.DataFrame:
    """Return the curve: ``threshold``, ``coverage`` (0..1) and ``risk`` (0..1, error at or above the threshold).

    Args:
        scores: probability of each answer, 0..1.
        right: whether it is right.
    """
    return (
        pl.DataFrame({"threshold": scores, "right": right})
        .group_by("threshold")
        .agg(n=pl.len(), right=pl.col("right").sum())
        .sort("threshold", descending=True)
        .select(
            "threshold",
            coverage=pl.col("n").cum_sum() / pl.col("n").sum(),
            risk=1 - pl.col("right").cum_sum() / pl.col("n").cum_sum(),
        )
    )


def chosen(curve: pl.DataFrame, risk: float) -> dict[str, float]:
    """Return the row of the curve with the largest coverage whose risk is at most ``risk``.

    Raises InputError where there is none.
    """
    allowed = curve.filter(pl.col("risk") <= risk)
    if allowed.is_empty():
        least = float(curve["risk"].to_numpy().min())
        raise InputError(
            f"no threshold brings the error down to {risk:g}; the least is {least:.3f}, state a larger risk"
        )
    return dict(allowed.row(-1, named=True))


def at_coverage(curve: pl.DataFrame, coverage: float) -> float:
    """Return the risk at the first threshold that covers at least so much."""
    return float(curve.filter(pl.col("coverage") >= coverage)["risk"][0])


def read_answers(path: Path, scheme: str) -> tuple[pl.Series, pl.Series]:
    """Return score and correctness of each answer for a given box; InputError where no row has a score."""
    frame = read_predictions(path, scheme_named(scheme))
    frame = frame.filter(pl.col("error").is_null(), pl.col("given").is_not_null(), pl.col("given_score").is_not_null())
    if frame.is_empty():
        raise InputError(f"{path}: no row has a score; write the probability of each prediction into the column score")
    return frame["given_score"], frame["given"] == frame["true"]


def write_threshold(model: Path, out: Path, threshold: float) -> None:
    """Write a copy of an exported model that calls answers below ``threshold`` unsure."""
    require_file(model)
    Classifier(model, threads=1)  # refuses what is no exported model
    graph = onnx.load(model)
    facts = {entry.key: entry.value for entry in graph.metadata_props}
    onnx.helper.set_model_props(graph, facts | {UNSURE_BELOW: repr(round(threshold, 6))})
    write_bytes(out, graph.SerializeToString())


def main() -> None:
    """Choose the threshold as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--scheme", required=True)
    parser.add_argument("--risk", type=float, required=True, help="largest share of wrong answers among the sure ones")
    parser.add_argument("--curve", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    try:
        if (given.model is None) != (given.out is None):
            raise InputError("give --model and --out together")
        if not 0 < given.risk <= 1:
            raise InputError(
                f"--risk must be above 0 and at most 1, and {given.risk:g} is not; give a share such as 0.2"
            )
        scores, right = read_answers(given.csv, given.scheme)
        curve = risk_coverage(scores, right)
        print(f"n {len(scores)}, error {at_coverage(curve, 1):.4f}, at 80 % coverage {at_coverage(curve, 0.8):.4f}")
        best = chosen(curve, given.risk)
        print(f"{UNSURE_BELOW} {best['threshold']:.6f}: coverage {best['coverage']:.4f}, error {best['risk']:.4f}")
        if given.curve:
            write_csv(curve, given.curve)
        if given.out:
            write_threshold(given.model, given.out, best["threshold"])
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
    except OSError as error:
        # Where a whole file cannot be moved to its place, the second name is that place.
        file = error.filename2 or error.filename
        parser.exit(2, f"error: {file}: {error.strerror or error}; choose another place\n")


if __name__ == "__main__":
    main()
