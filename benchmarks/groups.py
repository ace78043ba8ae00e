"""How often ``evaluation.groups`` finds a difference that is not there, and one that is: simulated answers.

    python benchmarks/groups.py [--tables 400] [--people 120]

The people, ages, professions and places are those of the synthetic sample. Every person is right on their own share of
the photographs, about 70 %, with a standard deviation of ``spread``. In the planted tables women are right on 10 points
less.
"""

import argparse

import numpy as np
import polars as pl
from machine import machine

from pyojeong.core.metrics import wilson_interval
from pyojeong.evaluation.groups import SIGNIFICANT, contender_groups, group_table
from pyojeong.sample.plan import plan

SPREADS = (0.0, 0.08, 0.25)
PLANTED = 0.1


def photographs(people: int) -> pl.DataFrame:
    """Return one row per photograph of the sample: person, gender, age, profession and place."""
    return pl.DataFrame(
        [
            {
                "path": photo.name,
                "person": photo.name.partition("_")[0],
                "gender": photo.person.gender,
                "age": str(photo.person.age),
                "profession": str(photo.professional),
                "place": photo.place,
            }
            for photo in plan(people, seed=1337)
        ]
    )


def answered(rows: pl.DataFrame, spread: float, planted: float, seed: int) -> pl.DataFrame:
    """Add simulated answers, as ``read_predictions`` returns them."""
    random = np.random.default_rng(seed)
    people = rows["person"].rank("dense").cast(pl.Int64).to_numpy() - 1
    rate = 0.7 + random.normal(0, spread, people.max() + 1)[people]
    rate -= planted * (rows["gender"] == "여").to_numpy()
    pred = np.where(random.random(len(rows)) < rate, "기쁨", "슬픔")
    return rows.with_columns(
        true=pl.lit("기쁨"),
        pred=pl.Series(pred),
        given=pl.Series(pred),
        given_score=pl.lit(0.7),
        detected=pl.lit(value=True),
        iou=pl.lit(None, pl.Float64),
        error=pl.lit(None, pl.String),
    )


def main() -> None:
    """Print a table of how often something was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=int, default=400)
    parser.add_argument("--people", type=int, default=120)
    arguments = parser.parse_args()
    rows = photographs(arguments.people)
    print(machine("numpy", "polars", "scipy"))
    print(f"{arguments.tables} tables each, {arguments.people} people, {len(rows)} photographs")
    print("| spread | planted | tables with a difference | 95 % interval |\n|---|---|---|---|")
    for spread in SPREADS:
        for planted in (0.0, PLANTED):
            found = 0
            for seed in range(arguments.tables):
                table = group_table([contender_groups(answered(rows, spread, planted, seed), "simulated")])
                significant = table.filter(pl.col("p_holm") <= SIGNIFICANT)
                found += bool((significant["column"] == "gender").any() if planted else len(significant))
            low, high = wilson_interval(found, arguments.tables)
            print(
                f"| {spread} | {planted} | {found / arguments.tables:.1%} | {low:.1%} to {high:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
