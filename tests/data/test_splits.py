import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyojeong.core.errors import InputError
from pyojeong.core.labels import KOREAN
from pyojeong.data.aihub import index, survey
from pyojeong.data.splits import SHARES, SPLITS, assign
from tests.archives import file_name, image_zip, label_zip, person, record


def crowd(people: int, seed: int = 0, mean: float = 6.0) -> pl.DataFrame:
    """People with few or very many photographs, each with favorite emotions."""
    random = np.random.default_rng(seed)
    rows = []
    for who in range(people):
        taste = random.dirichlet(np.ones(len(KOREAN)))
        for shot in range(1 + int(random.geometric(1 / mean))):
            label = KOREAN[int(random.choice(len(KOREAN), p=taste))]
            rows.append((f"{who}-{shot}.jpg", label, person(who)))
    return pl.DataFrame(rows, schema=["name", "label", "person"], orient="row")


def shares_of(rows: pl.DataFrame, split: pl.Series) -> dict[tuple[str, str], float]:
    totals = Counter(rows["label"])
    counts = Counter(zip(rows["label"], split, strict=True))
    return {(label, name): counts[label, name] / totals[label] for label in totals for name in SPLITS}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 120), st.integers(0, 2**32), st.integers(-5, 2**40))
def test_no_person_is_in_two_splits(people: int, population: int, seed: int) -> None:
    rows = crowd(people, population)
    split = assign(rows, seed=seed)
    assert len(split) == rows.height
    assert set(split) <= set(SPLITS)
    assert rows.with_columns(split).group_by("person").agg(pl.col("split").n_unique())["split"].max() == 1


@pytest.mark.parametrize("seed", [1337, 0, 99])
def test_class_shares_are_within_two_points_on_a_thousand_people(seed: int) -> None:
    rows = crowd(1000, seed)
    for (label, name), share in shares_of(rows, assign(rows, seed=seed)).items():
        assert abs(share - SHARES[SPLITS.index(name)]) <= 0.02, (label, name)


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 12), st.integers(0, 2**32), st.integers(0, 2**40))
def test_three_people_fill_every_split(people: int, population: int, seed: int) -> None:
    assert set(assign(crowd(people, population), seed=seed)) == set(SPLITS)


@pytest.mark.parametrize("seed", range(8))
def test_every_split_has_each_label_where_the_people_allow_it(seed: int) -> None:
    # As many people as photograph themselves: few have all labels, and most have a few photographs of one.
    all_labels = {f"p{who}": (7 - who, 5 + who, 3) for who in range(4)}
    counts = all_labels | {"p4": (6, 0, 3)} | {f"p{who}": (0, 0, 3) for who in range(5, 10)}
    rows = pl.DataFrame(
        [
            (f"{who}-{label}-{shot}", label, who)
            for who, numbers in counts.items()
            for label, number in zip(("놀람", "웃음", "무표정"), numbers, strict=True)
            for shot in range(number)
        ],
        schema=["name", "label", "person"],
        orient="row",
    )
    split = assign(rows, seed=seed)
    assert min(shares_of(rows, split).values()) > 0
    assert Counter(split)["train"] > rows.height / 3


@pytest.mark.parametrize("people", [3, 4, 5, 6])
def test_people_with_alike_photographs_fill_every_split(people: int) -> None:
    rows = pl.DataFrame(
        [(f"{shot}", f"label {shot % 3}", f"day {shot // 3 % people}") for shot in range(90)],
        schema=["name", "label", "person"],
        orient="row",
    )
    days = rows.with_columns(assign(rows)).group_by("split").agg(pl.col("person").n_unique())
    assert dict(days.iter_rows()) == {"train": people - 2, "val": 1, "test": 1}


def test_forty_people_fill_every_split() -> None:
    rows = crowd(40, mean=30)
    counts = Counter(assign(rows))
    for name, share in zip(SPLITS, SHARES, strict=True):
        assert counts[name] / rows.height == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("by", ["person", "image"])
def test_the_order_of_the_rows_does_not_matter_and_the_seed_does(by: str) -> None:
    rows = crowd(60)
    split = assign(rows, by=by)
    mixed = rows.with_columns(split).sample(fraction=1, shuffle=True, seed=4)
    assert assign(mixed.drop("split"), by=by).to_list() == mixed["split"].to_list()
    assert assign(rows, by=by, seed=2).to_list() != split.to_list()


@pytest.mark.parametrize("by", ["person", "image"])
def test_every_process_finds_the_same_split(by: str) -> None:
    program = (
        "import polars as pl; from pyojeong.data.splits import assign;"
        "rows = pl.DataFrame([(f'{n}.jpg', '기쁨슬픔'[n % 2 * 2:][:2], str(n % 31)) for n in range(200)],"
        " schema=['name', 'label', 'person'], orient='row');"
        f"print(''.join(name[1] for name in assign(rows, by={by!r})))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert set(found.pop().strip()) == set("rae")


@pytest.mark.parametrize("by", ["person", "image"])
def test_the_split_does_not_depend_on_where_the_photographs_are(tmp_path: Path, by: str) -> None:
    found = []
    for folder in ("here", "there"):
        names = [file_name(who) for who in range(40)]
        label_zip(tmp_path / folder, "기쁨", [record(name) for name in names])
        image_zip(tmp_path / folder, "기쁨", dict.fromkeys(names, b"never read"))
        rows = index(survey(tmp_path / folder), folder).rows
        found.append(dict(zip(rows["name"], assign(rows, by=by), strict=True)))
    assert found[0] == found[1]
    assert len(found[0]) == 40


def test_by_image_cuts_every_label_at_the_published_shares() -> None:
    rows = crowd(200, mean=20)
    split = assign(rows, by="image")
    counts = Counter(zip(rows["label"], split, strict=True))
    for label, total in Counter(rows["label"]).items():
        tests = int(0.2 * total + 0.5)
        assert counts[label, "test"] == tests
        assert counts[label, "val"] == int(0.1 * (total - tests) + 0.5)
    shared = rows.with_columns(split).group_by("person").agg(pl.col("split").n_unique())
    assert shared["split"].max() == 3, "it is blind to people"


def test_an_unknown_way_to_split_is_named() -> None:
    with pytest.raises(InputError, match="person, image"):
        assign(crowd(3), by="date")


def test_no_rows_give_no_split() -> None:
    for by in ("person", "image"):
        assert assign(crowd(2).clear(), by=by).len() == 0


@pytest.mark.parametrize("by", ["person", "image"])
def test_people_of_both_official_parts_stay_together(tmp_path: Path, by: str) -> None:
    names: dict[str, list[str]] = {"TRAIN": [], "VALID": []}
    for who in range(40):
        for shot in range(6):
            names["VALID" if shot < 2 else "TRAIN"].append(file_name(who, shot=shot))
    for part, own in names.items():
        folder = tmp_path / ("Validation" if part == "VALID" else "Training")
        label_zip(folder, "기쁨", [record(name) for name in own], part=part)
        image_zip(folder, "기쁨", dict.fromkeys(own, b"never read"), part=part)
    rows = index(survey(tmp_path), "set").rows
    assert dict(rows["official"].value_counts().iter_rows()) == {"training": 160, "validation": 80}
    people = rows.with_columns(assign(rows, by=by)).group_by("person").agg(pl.col("split", "official").n_unique())
    assert people["official"].to_list() == [2] * 40, "everybody is in both official parts"
    assert (people["split"].max() == 1) == (by == "person")
