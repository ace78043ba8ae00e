"""Scores by group, on the people, ages and places of the synthetic sample with simulated answers."""

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pyojeong.cli.terminal import print_groups
from pyojeong.core import metrics
from pyojeong.core.labels import K7, KOREAN
from pyojeong.core.table import write_csv
from pyojeong.evaluation.comparison import compare
from pyojeong.evaluation.groups import (
    MAX_GROUPS,
    SIGNIFICANT,
    _groups,
    annotator_groups,
    contender_groups,
    group_table,
    small_groups,
)
from pyojeong.evaluation.predictions import read_predictions
from pyojeong.report.page import group_card
from pyojeong.sample.plan import plan

Rate = Callable[[dict[str, object]], float]


def sample_rows(people: int = 120) -> pl.DataFrame:
    """One row per photograph of the synthetic sample: what a prepared table says of it."""
    return pl.DataFrame(
        [
            {
                "path": photo.name,
                "true": photo.label,
                "person": photo.name.partition("_")[0],
                "gender": photo.person.gender,
                "age": str(photo.person.age),
                "profession": "전문인" if photo.professional else "일반인",
                "place": photo.place,
            }
            for photo in plan(people, seed=1337)
        ]
    )


def answers(rows: pl.DataFrame, rate: Rate, seed: int = 0, spread: float = 0.08) -> pl.DataFrame:
    """Add answers that are right at the row's ``rate``, plus a deviation of about ``spread`` for each person."""
    random = np.random.default_rng(seed)
    own = {person: random.normal(0, spread) for person in rows["person"].unique(maintain_order=True)}
    right = [random.random() < rate(row) + own[str(row["person"])] for row in rows.iter_rows(named=True)]
    pred = [word if hit else KOREAN[KOREAN.index(word) - 1] for word, hit in zip(rows["true"], right, strict=True)]
    return rows.with_columns(pred=pl.Series(pred), score=pl.lit("0.7"))


def scored(frame: pl.DataFrame, folder: Path) -> pl.DataFrame:
    write_csv(frame, folder / "preds.csv")
    return group_table([contender_groups(read_predictions(folder / "preds.csv", K7), "ours")])


def significant(table: pl.DataFrame) -> set[tuple[str, str, str]]:
    return set(table.filter(pl.col("p_holm") <= SIGNIFICANT).select("column", "group", "measure").iter_rows())


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return sample_rows()


def test_a_planted_difference_is_found_and_no_other(rows: pl.DataFrame, tmp_path: Path) -> None:
    table = scored(answers(rows, lambda row: 0.55 if row["gender"] == "여" else 0.75), tmp_path)
    measures = ("accuracy", "calibration")  # always 70 % sure, so what is less accurate is too sure
    assert significant(table) == {("gender", group, measure) for group in ("남", "여") for measure in measures}
    women = table.row(by_predicate=(pl.col("group") == "여") & (pl.col("measure") == "accuracy"), named=True)
    assert women["difference"] == pytest.approx(-0.2, abs=0.07)
    assert women["difference_low"] < -0.2 < women["difference_high"] < 0
    assert women["value_low"] < women["value"] < women["value_high"]
    right = rows.filter(pl.col("gender") == "여")
    assert (women["n"], women["people"]) == (len(right), right["person"].n_unique())


def test_a_difference_between_places_is_found_within_people(rows: pl.DataFrame, tmp_path: Path) -> None:
    table = scored(answers(rows, lambda row: 0.4 if row["place"] == "도심 환경" else 0.75), tmp_path)
    assert {column for column, _, _ in significant(table)} == {"place"}
    # The other places are better than the average of all others, which this one lowers.
    worse = table.filter(pl.col("p_holm") <= SIGNIFICANT, pl.col("measure") == "accuracy", pl.col("difference") < 0)
    assert worse["group"].to_list() == ["도심 환경"]


def test_where_nothing_is_planted_nothing_is_found(rows: pl.DataFrame, tmp_path: Path) -> None:
    table = scored(answers(rows, lambda row: 0.7), tmp_path)
    assert significant(table) == set()
    assert table["p_holm"].null_count() < len(table)


def test_false_findings_are_as_rare_as_promised(rows: pl.DataFrame, tmp_path: Path) -> None:
    found = sum(bool(significant(scored(answers(rows, lambda row: 0.7, seed), tmp_path))) for seed in range(30))
    # Of 30 tables 1.5 are expected at 5 %; more than 5 would happen in 0.3 % of the cases.
    assert found <= 5


def test_intervals_over_people_are_those_of_the_bootstrap(rows: pl.DataFrame, tmp_path: Path) -> None:
    frame = answers(rows, lambda row: 0.7, spread=0.3)
    table = scored(frame, tmp_path)
    men = frame.filter(pl.col("gender") == "남")
    right = (men["true"] == men["pred"]).cast(pl.Int64).to_numpy()
    counted = metrics.bootstrap_interval(
        right, (2,), lambda counts: counts[:, 1] / counts.sum(1), people=men["person"].to_list()
    )
    own = table.row(by_predicate=(pl.col("group") == "남") & (pl.col("measure") == "accuracy"), named=True)
    assert own["value"] == pytest.approx(right.mean())
    assert own["value_high"] - own["value_low"] == pytest.approx(counted.high - counted.low, rel=0.15)
    unknown_people = scored(frame.drop("person"), tmp_path).filter(pl.col("measure") == "accuracy")
    assert set(unknown_people["interval_over"]) == {"images"}
    assert unknown_people["people"].null_count() == len(unknown_people)
    narrow = unknown_people.row(by_predicate=pl.col("group") == "남", named=True)
    assert narrow["value_high"] - narrow["value_low"] < 0.7 * (own["value_high"] - own["value_low"])


def test_small_groups_are_named_and_not_tested(rows: pl.DataFrame, tmp_path: Path) -> None:
    few = rows["person"].unique(maintain_order=True)[:4].to_list()
    actor = pl.when(pl.col("person").is_in(few)).then(pl.lit("배우")).otherwise("profession")
    marked = rows.with_columns(profession=actor)
    table = scored(answers(marked, lambda row: 0.2 if row["profession"] == "배우" else 0.75), tmp_path)
    small = table.filter(pl.col("group") == "배우")
    assert set(small["remark"]) == {"too small: 4 of at least 10 people"}
    assert small.select("value_low", "difference", "p", "p_holm").null_count().row(0) == (len(small),) * 4
    assert small["value"].null_count() == 0
    number = marked.filter(pl.col("profession") == "배우").height
    assert f"profession 배우 (n {number}, 4 people)" in small_groups(table)


def test_every_age_band_and_group_is_shown_with_its_size(rows: pl.DataFrame, tmp_path: Path, capsys: Any) -> None:
    few = rows["person"].unique(maintain_order=True)[:3].to_list()
    old = rows.with_columns(age=pl.when(pl.col("person").is_in(few)).then(pl.lit("105")).otherwise("age"))
    frame = answers(old, lambda row: 0.3 if str(row["age"]) < "30" else 0.8)
    table = scored(frame, tmp_path)
    print_groups(table)
    shown, page = capsys.readouterr().out, group_card(table)
    bands = table.filter(pl.col("column") == "age", pl.col("measure") == "accuracy")
    assert set(bands["remark"]) > {""}
    assert (bands["p_holm"] <= SIGNIFICANT).any()
    for group, n, people, remark, p in bands.select("group", "n", "people", "remark", "p_holm").iter_rows():
        size = f"age {group} (n {n:,}, {people} people)"
        assert (size in shown) == (remark.startswith("too small") or (p is not None and p <= SIGNIFICANT))
        assert (size in page) == remark.startswith("too small")
        assert f">{n:,}</td><td>{people}</td>" in page
    without = scored(frame.drop("person").head(200), tmp_path)
    assert all("people" not in words for words in small_groups(without))


def test_ages_are_decades_and_unknown_groups_are_left_out(rows: pl.DataFrame, tmp_path: Path) -> None:
    blank = rows.with_columns(gender=pl.lit(""), age=pl.when(pl.col("age") < "30").then(pl.lit("")).otherwise("age"))
    table = scored(answers(blank, lambda row: 0.7), tmp_path)
    assert "gender" not in table["column"].to_list()
    ages = table.filter(pl.col("column") == "age")["group"].unique()
    assert "30-39" in ages
    assert all(first.partition("-")[0] in ("30", "40", "50", "60", "70") for first in ages)


def test_only_the_largest_of_very_many_groups_are_scored(
    rows: pl.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = scored(answers(rows.with_columns(place="path"), lambda row: 0.7), tmp_path)
    assert table.filter(pl.col("column") == "place")["group"].n_unique() == MAX_GROUPS
    assert "only the 40 largest are scored" in caplog.text


def test_a_group_that_is_always_right_has_an_interval(rows: pl.DataFrame, tmp_path: Path) -> None:
    table = scored(answers(rows, lambda row: 2.0 if row["gender"] == "남" else 0.5, spread=0), tmp_path)
    men = table.row(by_predicate=(pl.col("group") == "남") & (pl.col("measure") == "accuracy"), named=True)
    assert (men["value"], men["value_high"]) == (1, 1)
    assert 0.8 < men["value_low"] < 1


@pytest.mark.parametrize(
    ("text", "decade"),
    [
        *(
            ("40s", "40-49"),
            ("50-59", "50-59"),
            ("60 ~ 69", "60-69"),
            ("35살", "30-39"),
            ("7", "0-9"),
            ("23.0", "20-29"),
        ),
        *(("20-59", ""), ("39-30", ""), ("999", ""), ("-5", ""), ("1e2", ""), ("nan", ""), ("twenty", ""), ("", "")),
    ],
)
def test_an_age_in_many_ways(text: str, decade: str) -> None:
    assert _groups(pl.Series("age", [text])).tolist() == [decade]


def test_groups_are_one_whatever_their_case() -> None:
    texts = ["Home", "home ", "home", "HOME", unicodedata.normalize("NFD", "집"), "집", "집", ""]
    assert _groups(pl.Series("place", texts)).tolist() == ["home"] * 4 + ["집"] * 3 + [""]


def test_the_usual_words_for_a_gender_are_one_group() -> None:
    texts = ["M", "남자", "Male ", "male", "male", "FEMALE", "여자", "여자", "", "기타"]
    assert _groups(pl.Series("gender", texts)).tolist() == ["male"] * 5 + ["여자"] * 3 + ["", "기타"]


def test_a_few_unknown_people_are_left_out_and_told(
    rows: pl.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = answers(rows, lambda row: 0.7)
    whole = scored(frame, tmp_path)
    assert "unknown" not in caplog.text
    first = frame.with_row_index().with_columns(
        person=pl.when(pl.col("index") == 0).then(pl.lit("")).otherwise("person")
    )
    part = scored(first.drop("index"), tmp_path)
    assert set(part["interval_over"]) == {"people"}
    assert part["n"].sum() < whole["n"].sum()
    assert f"the person of 1 of {len(frame):,} images is unknown; left out of the scores by group" in caplog.text


def test_what_stands_for_nothing_is_no_group(rows: pl.DataFrame, tmp_path: Path) -> None:
    women = pl.col("gender") == "여"
    written = rows.with_columns(gender=pl.when(women).then(pl.lit("N/A")).otherwise("gender"))
    table = scored(answers(written, lambda row: 0.7), tmp_path)
    assert set(table.filter(pl.col("column") == "gender")["group"]) == {"남"}


def test_korean_ages_are_read_and_impossible_ones_count_as_unknown(
    rows: pl.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, *others = rows["age"].unique(maintain_order=True).to_list()
    odd = {first: "20대", second: f"{second}세", **dict(zip(others, ("-5", "999", "abc"), strict=False))}
    written = rows.with_columns(age=pl.col("age").replace(odd))
    ages = set(scored(answers(written, lambda row: 0.7), tmp_path).filter(pl.col("column") == "age")["group"])
    assert all(0 <= int(age.partition("-")[0]) <= 120 for age in ages)
    assert " with no age in years: " in caplog.text
    counts = written["age"].value_counts()
    assert all(f"{age} ({n})" in caplog.text for age, n in counts.iter_rows() if age in ("-5", "999", "abc"))


def test_coverage_is_scored_where_the_face_is_searched(rows: pl.DataFrame, tmp_path: Path) -> None:
    frame = answers(rows, lambda row: 0.7).rename({"path": "image", "true": "gt_label", "pred": "pred_label"})
    lost = (pl.col("gender") == "남") & (pl.int_range(pl.len()) % 3 == 0)
    frame = frame.with_columns(
        face_detected=pl.when(lost).then(0).otherwise(1),
        iou=pl.when(lost).then(0.0).otherwise(0.8),
        pred_label=pl.when(lost).then(None).otherwise("pred_label"),
    )
    table = scored(frame, tmp_path)
    assert ("gender", "남", "coverage") in significant(table)
    men = table.row(by_predicate=(pl.col("group") == "남") & (pl.col("measure") == "coverage"), named=True)
    assert men["value"] == pytest.approx(2 / 3, abs=0.03)
    assert set(table["protocol"]) == {"all"}


def test_annotators_are_scored_by_group(rows: pl.DataFrame) -> None:
    # Among men, annotators always agree; among women one of the three differs on every second photograph.
    splits = (pl.col("gender") == "여") & (pl.int_range(pl.len()) % 2 == 0)
    for number, word in enumerate(KOREAN):
        own, other = pl.col("true") == word, pl.col("true") == KOREAN[number - 1]
        votes = pl.when(own & splits).then(2).when(own).then(3).when(other & splits).then(1).otherwise(0)
        rows = rows.with_columns(votes.alias(f"votes_{word}"))
    table = group_table([annotator_groups(rows, K7)])
    women = {row["measure"]: row for row in table.filter(pl.col("group") == "여").iter_rows(named=True)}
    assert women["unanimous"]["value"] == pytest.approx(0.5, abs=0.05)
    assert women["annotators"]["value"] == pytest.approx(3 / 4, abs=0.03)  # of two images: 3 right answers, 1 wrong
    assert women["annotators"]["p_holm"] < 0.001
    assert annotator_groups(rows.select("path", "person", "gender"), K7).is_empty()
    few = rows.filter(pl.col("person").is_in(rows["person"].unique(maintain_order=True)[:3].to_list()))
    sizes = few.group_by("gender").agg(pl.len(), pl.col("person").n_unique()).rows()
    named = small_groups(group_table([annotator_groups(few, K7)]))
    assert all(
        any(name.startswith(f"gender {gender} (n {n}, {people} p") for name in named) for gender, n, people in sizes
    )


def test_compare_writes_the_groups_of_all_contenders(rows: pl.DataFrame, tmp_path: Path) -> None:
    write_csv(answers(rows, lambda row: 0.55 if row["gender"] == "여" else 0.75), tmp_path / "a.csv")
    write_csv(answers(rows, lambda row: 0.7, seed=5).drop("gender", "age", "profession", "place"), tmp_path / "b.csv")
    made = compare([("a", tmp_path / "a.csv"), ("b", tmp_path / "b.csv")], K7, tmp_path)
    assert pl.read_csv(tmp_path / "compare_groups.csv").height == made.groups.height
    assert set(made.groups.filter(pl.col("p_holm") <= SIGNIFICANT)["contender"]) == {"a"}
    assert set(made.groups["contender"]) == {"a", "b"}, "what one file says of an image holds for all"
    plain = rows.select("path", "true", "person", pred="true")
    write_csv(plain, tmp_path / "a.csv")
    write_csv(plain, tmp_path / "b.csv")
    compare([("a", tmp_path / "a.csv"), ("b", tmp_path / "b.csv")], K7, tmp_path)
    assert not (tmp_path / "compare_groups.csv").exists()
