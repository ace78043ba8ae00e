"""Known answers, the published figures from their counts, and agreement with scikit-learn."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from pyojeong.core.metrics import (
    MISS,
    accuracies,
    accuracy,
    bootstrap_interval,
    calibration_error,
    confusion_counts,
    encode,
    holm,
    macro_f1,
    macro_f1s,
    mcnemar,
    per_class,
    row_normalized,
    t_quantile,
    t_test,
    wilson_interval,
)
from tests.published import CLASSES, COUNTS, N_RAW

pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)

TOP1 = {
    "FaceAPI_M1": "42.07",
    "FaceAPI_M2": "32.09",
    "Probe_M1_160": "50.34",
    "Finetune_M1_160": "74.94",
    "Probe_M2_160": "49.90",
    "Finetune_M2_160": "74.27",
    "Finetune_K7_160": "68.65",
}
MACRO_F1 = {
    "FaceAPI_M1": ".3934",
    "FaceAPI_M2": ".3214",
    "Probe_M1_160": ".4597",
    "Finetune_M1_160": ".7298",
    "Probe_M2_160": ".4552",
    "Finetune_M2_160": ".7290",
    "Finetune_K7_160": ".6546",
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_headline_figures_come_out(name: str) -> None:
    counts = np.array(COUNTS[name])
    assert f"{100 * accuracy(counts):.2f}" == TOP1[name]
    assert f"{macro_f1(counts):.4f}".lstrip("0") == MACRO_F1[name]


def test_the_published_summary_averaged_the_absent_class_as_zero() -> None:
    printed = {"FaceAPI_M1": 0.3372, "FaceAPI_M2": 0.2755, "Finetune_M1_160": 0.6256, "Finetune_M2_160": 0.6248}
    for name, figure in {**printed, "Probe_M1_160": 0.3941, "Probe_M2_160": 0.3902}.items():
        assert round(macro_f1(COUNTS[name]) * 6 / 7, 4) == figure


def test_published_coverage_and_misses_as_wrong() -> None:
    counts = np.array(COUNTS["FaceAPI_M1"])
    matched = counts.sum()
    assert matched == 19_609
    assert f"{100 * matched / N_RAW:.2f}" == "50.08"
    # Where the misses lie among the classes is not published; accuracy does not depend on it.
    misses = np.array([N_RAW - matched, 0, 0, 0, 0, 0, 0])
    assert f"{100 * accuracy(np.column_stack([counts, misses])):.1f}" == "21.1"


def test_published_support_and_k7_scores_by_class() -> None:
    scores = per_class(COUNTS["Finetune_K7_160"])
    support = dict(zip(CLASSES, scores.support.tolist(), strict=True))
    assert support == {
        "happy": 5830,
        "surprised": 6127,
        "angry": 5498,
        "fearful": 4677,
        "disgusted": 3551,
        "sad": 6513,
        "neutral": 6958,
    }
    f1 = {name: f"{value:.2f}" for name, value in zip(CLASSES, scores.f1, strict=True)}
    assert f1 == {
        "happy": "0.94",
        "neutral": "0.76",
        "surprised": "0.76",
        "angry": "0.70",
        "sad": "0.69",
        "fearful": "0.41",
        "disgusted": "0.32",
    }


def test_published_counts_are_those_of_the_reference_files(shared: Any) -> None:
    folder = shared / "reference" / "published_reports"
    for name, counts in COUNTS.items():
        lines = (folder / f"{name}_cm_counts.csv").read_text().splitlines()
        assert lines[0] == ",".join(("true", *CLASSES))
        assert [tuple(map(int, line.split(",")[1:])) for line in lines[1:]] == list(counts)
        per_class_lines = (folder / f"{name}_per_class_metrics.csv").read_text().splitlines()[1:]
        scores = per_class(counts)
        for position, line in enumerate(per_class_lines):
            word, *numbers = line.split(",")
            assert word == CLASSES[position]
            assert [float(text) for text in numbers] == pytest.approx([values[position] for values in scores], abs=0)


def test_counts_have_the_truth_in_rows() -> None:
    assert confusion_counts([0, 0, 1], [0, 1, 1], 3).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_misses_stand_in_the_last_column_and_count_as_wrong() -> None:
    counts = confusion_counts([0, 0, 1, 1], [0, MISS, 1, MISS], 2, misses=True)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 1]]
    assert accuracy(counts) == 0.5
    scores = per_class(counts)
    assert scores.precision.tolist() == [1, 1]
    assert scores.recall.tolist() == [0.5, 0.5]
    assert scores.fp.tolist() == [0, 0]
    assert macro_f1(counts) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("true", "pred"), [([0, 1], [0]), ([2], [0]), ([0], [2]), ([-1], [0]), ([0], [MISS]), ([[0]], [[0]])]
)
def test_bad_class_numbers_are_refused(true: list[int], pred: list[int]) -> None:
    with pytest.raises(ValueError, match=r"class numbers|one length"):
        confusion_counts(true, pred, 2)


def test_encode_gives_positions_and_names_what_is_unknown() -> None:
    assert encode(["슬픔", None, "기쁨"], ["기쁨", "슬픔"]).tolist() == [1, MISS, 0]
    with pytest.raises(ValueError, match="'sad' is not one of the classes 기쁨"):
        encode(["sad"], ["기쁨"])


def test_rows_are_normalized_and_empty_rows_stay_zero() -> None:
    assert row_normalized([[1, 3], [0, 0]]).tolist() == [[0.25, 0.75], [0, 0]]


def test_no_image_has_no_score() -> None:
    empty = np.zeros((3, 3), int)
    assert np.isnan(accuracy(empty))
    assert np.isnan(macro_f1(empty))
    assert np.isnan(calibration_error([], []))
    assert np.isnan(bootstrap_interval([], (3, 3), macro_f1s)).all()


@given(pairs)
def test_scores_agree_with_scikit_learn(rows: list[tuple[int, int]]) -> None:
    true, pred = zip(*rows, strict=True)
    counts = confusion_counts(true, pred, 7)
    present = sorted(set(true))
    assert (counts == confusion_matrix(true, pred, labels=range(7))).all()
    assert accuracy(counts) == pytest.approx(accuracy_score(true, pred))
    assert macro_f1(counts) == pytest.approx(f1_score(true, pred, labels=present, average="macro", zero_division=0))
    expected = precision_recall_fscore_support(true, pred, labels=range(7), zero_division=0)
    scores = per_class(counts)
    for ours, theirs in zip((scores.precision, scores.recall, scores.f1, scores.support), expected, strict=True):
        assert ours == pytest.approx(theirs)


@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_images_changes_nothing(rows: list[tuple[int, int]], random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    before, after = (
        confusion_counts([row[0] for row in some], [row[1] for row in some], 7) for some in (rows, shuffled)
    )
    assert (before == after).all()


def test_stacked_tables_are_scored_one_by_one() -> None:
    tables = np.stack([np.array(COUNTS[name]) for name in COUNTS])
    assert macro_f1s(tables).tolist() == [macro_f1(table) for table in tables]
    assert accuracies(tables).tolist() == [accuracy(table) for table in tables]


def test_wilson_known_answers() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I: 81/263 and 0/20.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(0, 0) == (0, 1)


@given(st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_the_proportion(trial: tuple[int, int]) -> None:
    successes, n = trial
    low, high = wilson_interval(successes, n)
    assert low - 1e-12 <= (successes / n if n else 0.5) <= high + 1e-12


@given(pairs, st.booleans())
def test_bootstrap_contains_the_score_and_repeats(rows: list[tuple[int, int]], by_person: bool) -> None:
    cells = [true * 7 + pred for true, pred in rows]
    people = [str(index % 5) for index in range(len(cells))] if by_person else None
    for statistic in (macro_f1s, accuracies):
        interval = bootstrap_interval(cells, (7, 7), statistic, people=people, replicates=50, seed=3)
        point = statistic(np.bincount(cells, minlength=49).reshape(1, 7, 7))[0]
        assert interval.low <= point <= interval.high
        assert interval == bootstrap_interval(cells, (7, 7), statistic, people=people, replicates=50, seed=3)


def test_bootstrap_of_accuracy_is_as_wide_as_the_binomial_says() -> None:
    cells = [0] * 600 + [1] * 400
    low, high = bootstrap_interval(cells, (2, 2), accuracies)
    error = (0.6 * 0.4 / 1000) ** 0.5
    assert (low, high) == pytest.approx((0.6 - 1.96 * error, 0.6 + 1.96 * error), abs=0.004)


def test_people_with_all_their_images_alike_widen_the_interval() -> None:
    people = [str(index // 20) for index in range(1000)]
    # Every person is either always right or always wrong, so 50 people carry what 50 images would.
    cells = [0 if int(person) % 2 else 1 for person in people]
    width = np.diff(bootstrap_interval(cells, (2, 2), accuracies))[0]
    by_person = np.diff(bootstrap_interval(cells, (2, 2), accuracies, people=people))[0]
    assert by_person == pytest.approx(width * 20**0.5, rel=0.1)


def test_every_image_needs_its_person() -> None:
    with pytest.raises(ValueError, match="3 images but 1 people"):
        bootstrap_interval([0, 1, 2], (2, 2), accuracies, people=["a"])


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (1, 9, 22 / 1024)],
)
def test_mcnemar_known_answers(only_first: int, only_second: int, p: float) -> None:
    first = [True] * only_first + [False] * only_second + [True] * 7 + [False] * 3
    second = [False] * only_first + [True] * only_second + [True] * 7 + [False] * 3
    assert mcnemar(first, second) == pytest.approx(p)
    assert mcnemar(second, first) == pytest.approx(p)


def test_unpaired_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="not paired"):
        mcnemar([True], [True, False])


def test_calibration_error_known_answers() -> None:
    assert calibration_error([0.9, 0.9], [True, True]) == pytest.approx(0.1)
    assert calibration_error([0.75, 0.75, 0.75, 0.75], [True, True, True, False]) == pytest.approx(0)
    # Two bins of equal weight: gaps .4 and .9.
    assert calibration_error([0.6, 0.1], [True, True]) == pytest.approx((0.4 + 0.9) / 2)
    assert calibration_error([0.0, 1.0], [False, True]) == 0
    # With one bin, over- and underconfidence cancel; with fifteen they do not.
    assert calibration_error([0.6, 0.4], [True, False], bins=1) == pytest.approx(0)
    assert calibration_error([0.6, 0.4], [True, False]) == pytest.approx(0.4)


def test_importing_metrics_loads_no_report_library() -> None:
    heavy: Sequence[str] = ("scipy", "sklearn", "matplotlib", "polars")
    code = f"import sys, pyojeong.core.metrics; print([name for name in {list(heavy)} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_holm_equals_the_worked_example_and_keeps_the_order() -> None:
    # Four tests: .01 * 4, .02 * 3, .03 * 2, .04 * 1, each at least as large as the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.9]).tolist() == [1, 1]
    assert holm([]).size == 0


def test_the_t_test_is_student_s() -> None:
    # Table of Student's t: 2.228 is the two-sided 5 % point with 10 degrees of freedom.
    assert t_test(2.228, 1.0, 10) == pytest.approx(0.05, abs=1e-4)
    assert t_quantile(10) == pytest.approx(2.228, abs=1e-3)
    assert t_test(0.0, 0.0, 10) == 1
    assert t_test(0.1, 0.0, 10) == 0
