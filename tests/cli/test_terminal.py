import polars as pl
import pytest

from pyojeong.cli.terminal import print_report, print_scores
from pyojeong.core.workspace import EXPERIMENTS
from pyojeong.report.report import Report

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
    for word in (*EXPERIMENTS, "39154", "42.07", "Note: drawn"):
        assert word in shown
    assert "…" not in shown


def test_scores_fit_80_columns_with_their_intervals(narrow, capsys):
    rows = [{"contender": "MobileNetV3", "protocol": "given", "n": 3068, "n_all": 3068, **SCORE, "macro_f1_high": 0.4}]
    print_scores(pl.DataFrame([row | {"ece": 0.0192} for row in rows]))
    shown = capsys.readouterr().out
    assert ".500 (.400-.600)" in shown
    assert ".300 (.200-.400)" in shown
    assert ".019" in shown
    assert max(map(len, shown.splitlines())) <= 80
