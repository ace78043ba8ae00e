from pathlib import Path

import polars as pl
import pytest

from pyojeong.cli.terminal import (
    FEW_PHOTOGRAPHS,
    pair_lines,
    print_collection,
    print_report,
    print_run_report,
    print_scores,
)
from pyojeong.core.errors import counted
from pyojeong.core.workspace import EXPERIMENTS
from pyojeong.data.folders import Collection
from pyojeong.report.report import Report
from pyojeong.report.run_report import RunReport

SCORE = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6, "macro_f1": 0.3, "macro_f1_low": 0.2}


@pytest.fixture
def narrow(monkeypatch):
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)


def test_the_summary_fits_80_columns(narrow, capsys, tmp_path):
    figures = ("coverage(%)", "Top1_Acc(%)", "all_Acc(%)", "given_Acc(%)", "Macro-F1")
    summary = pl.DataFrame([{"exp": name, "n_raw": 39154, **dict.fromkeys(figures, 42.07)} for name in EXPERIMENTS])
    print_report(Report(summary, pl.DataFrame(), {}, tmp_path / "index.html", "drawn"), tmp_path)
    shown = capsys.readouterr().out
    for word in (*EXPERIMENTS, "39,154", "42.07", "Note: drawn"):
        assert word in shown
    assert "…" not in shown


def test_scores_fit_80_columns_with_their_intervals(narrow, capsys):
    rows = [{"contender": "MobileNetV3", "protocol": "given", "n": 3068, "n_all": 3068, **SCORE, "macro_f1_high": 0.4}]
    print_scores(pl.DataFrame([row | {"ece": 0.0192} for row in rows]))
    shown = capsys.readouterr().out
    assert ".500 (.400-.600)" in shown
    assert ".300 (.200-.400)" in shown
    assert " 3,068 " in shown
    assert ".019" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_counts_in_texts_have_separators_as_on_the_pages(capsys):
    numbers = {"n": 1595, "only_first_right": 1000, "only_second_right": 7, "mcnemar_p": 0.5}
    parts = ("first", "second", "difference", "difference_low", "difference_high")
    shares = {f"{name}_{part}": 0.5 for name in ("accuracy", "macro_f1") for part in parts}
    pair = {"first": "a", "second": "b", "protocol": "given", "interval_over": "images"}
    shown = pair_lines({**pair, **numbers, **shares})
    assert "n=1,595, " in shown
    assert "only a right 1,000, only b 7;" in shown
    report = RunReport(
        pl.DataFrame([{**SCORE, "n": 1595, "macro_f1_high": 1, "interval_over": "images"}]), pl.DataFrame(), Path("p")
    )
    print_run_report(report)
    assert "n 1,595, accuracy" in capsys.readouterr().out
    assert (counted(1, "box"), counted(1595, "person")) == ("1 box", "1,595 people")


@pytest.mark.parametrize(("photographs", "people"), [(FEW_PHOTOGRAPHS - 1, 6), (FEW_PHOTOGRAPHS, None)])
def test_the_next_command_has_the_recipe_for_few_photographs_and_people_are_told(photographs, people, capsys):
    made = Collection(Path("x/mine.toml"), {"train": Path("t.csv")}, {"train": {"a": photographs}}, people, 0, {})
    print_collection(made, None)
    shown = capsys.readouterr().out
    assert "--scheme x/mine.toml --box-kind blazeface --out models/mine" in shown
    assert ("--profile small" in shown) == (photographs < FEW_PHOTOGRAPHS)
    assert ("People: the sub-folders of the classes (6), each in one set only" in shown) == (people is not None)
