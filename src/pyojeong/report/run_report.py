"""Write the report of one training run, under any label scheme: scores, classes, confusions and groups on a page."""

from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from pyojeong.core import metrics
from pyojeong.core.errors import InputError
from pyojeong.core.files import read_json, write_text
from pyojeong.core.html import Cell, card, note, notice, number, page, table, text
from pyojeong.core.labels import Scheme, scheme_of
from pyojeong.core.table import read_table, write_csv, write_or_remove
from pyojeong.core.workspace import SYNTHETIC_NOTICE, SYNTHETIC_NOTICE_KOREAN
from pyojeong.evaluation.comparison import HumanCeiling, human_ceiling, score
from pyojeong.evaluation.groups import annotator_groups, contender_groups, group_table
from pyojeong.evaluation.predictions import all_classes, read_predictions
from pyojeong.evaluation.protocols import answers
from pyojeong.report.page import group_card, share_cell
from pyojeong.report.sources import check_images, votes_decide_labels, with_facts

_STYLE = """
.bar { display: inline-block; width: 9rem; height: .62rem; background: var(--line); border-radius: 4px;
  overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--accent); }
"""

_DEPTHS = ("", "*/", "*/*/", "*/*/*/")
"""Where runs are looked for below a folder that is none."""

_NOTES = (
    "The test set chose nothing: neither the epoch nor the temperature. Every face had the labeled box. 95 % intervals "
    "over people where they are known, otherwise over images. 테스트 세트는 학습과 선택에 쓰이지 않음."
)


@dataclass(frozen=True)
class RunReport:
    """The result of ``report_run``.

    Attributes:
        scores: one row, the fields of ``comparison.Score``.
        groups: ``groups.group_table``; empty where the test table has no such columns.
        page: the HTML page.
    """

    scores: pl.DataFrame
    groups: pl.DataFrame
    page: Path


def report_run(run: Path, root: Path) -> RunReport:
    """Write ``RUN/report/``: ``scores.csv``, ``per_class.csv``, ``cm_counts.csv``, ``groups.csv`` and ``index.html``.

    Args:
        run: the folder of a run of ``train``.
        root: the project root; where the run's test table is still there, people, groups and votes are taken from it.

    Raises:
        InputError: the folder holds no finished run, or its predictions are not of its test table.
    """
    _require_run(run)
    config = read_json(run / "config.json")
    try:
        scheme, test_csv = scheme_of(config["scheme"], config["class"]), Path(config["csv"]["test"])
    except (KeyError, TypeError):
        raise InputError(f"{run / 'config.json'}: not that of a run of this version; train it again") from None
    predictions = run / "test_preds.csv"
    frame = read_predictions(predictions, scheme, root)
    if test_csv.is_file():
        test = read_table(test_csv, scheme=scheme, root=root, boxes=None)
        check_images(frame, test, predictions, test_csv, "train again, or put the table of the training back")
        frame = with_facts(frame, test)
    given = answers(frame, scheme, "given")
    if given is None:
        raise InputError(f"{predictions}: no image has an answer; train it again")
    scores = pl.DataFrame([asdict(score(given))])
    classes = pl.DataFrame({"class": given.classes, **metrics.per_class(given.counts)._asdict()})
    # A class may be called true as well.
    head = "true" if "true" not in given.classes else "true class"
    counts = pl.DataFrame({head: given.classes, **dict(zip(given.classes, given.counts.T, strict=False))})
    voted = frame if votes_decide_labels(root) else frame.select("path", "true")
    groups = group_table([contender_groups(frame, run.name), annotator_groups(voted, scheme)])
    out = run / "report"
    write_csv(scores, out / "scores.csv")
    write_csv(classes, out / "per_class.csv")
    write_csv(counts, out / "cm_counts.csv")
    write_or_remove(groups, out / "groups.csv")
    cards = [
        notice(SYNTHETIC_NOTICE, SYNTHETIC_NOTICE_KOREAN) if config.get("synthetic") else "",
        card("Scores", "점수", _scores(scores) + note(_NOTES)),
        card("Classes", "클래스", _classes(classes, scheme)),
        card(
            "Confusions", "혼동 행렬", _confusions(counts) + note("Images by true class (rows) and answer (columns).")
        ),
        card("Human agreement", "사람의 일치도", _people(human_ceiling(voted, scheme))),
        group_card(groups),
    ]
    heading = f"{escape(run.name)} <span>{escape(scheme.name)}, {len(all_classes(scheme))} classes</span>"
    html = page(
        f"pyojeong 표정: {run.name}",
        heading,
        "One network on its test set. 테스트 세트에서의 결과.",
        cards,
        command="pyojeong report --run",
        language="en",
        style=_STYLE,
    )
    write_text(out / "index.html", html)
    return RunReport(scores, groups, out / "index.html")


def _require_run(folder: Path) -> None:
    """Raise InputError where ``folder`` is not that of a finished run; it names one that lies near."""
    if _is_run(folder):
        return
    if (folder / "best.pt").is_file() and not (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: the run was stopped while its files were written; train again with the same command"
        )
    place = folder if folder.is_dir() else folder.parent
    below = (path.parent for depth in _DEPTHS for path in sorted(place.glob(f"{depth}config.json")))
    found = next(filter(_is_run, (*below, place.parent)), None)
    remedy = f"name the folder of a run, such as {found}" if found else "train one with pyojeong train"
    raise InputError(f"{folder}: not the folder of a finished run; {remedy}")


def _is_run(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("config.json", "test_preds.csv"))


def _scores(scores: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "n": number("n"),
        "accuracy %<br>정확도": share_cell("accuracy"),
        "macro-F1 %": share_cell("macro_f1"),
        "ECE": number("ece", ".4f"),
        "interval over<br>구간 단위": text("interval_over"),
    }
    return table(scores, columns, words=0)


def _classes(classes: pl.DataFrame, scheme: Scheme) -> str:
    def bar(row: dict[str, Any]) -> str:
        color = f"; background: {scheme.colors[row['class']]}" if row["class"] in scheme.colors else ""
        return f'<span class="bar"><i style="width: {100 * row["f1"]:.1f}%{color}"></i></span>'

    columns: dict[str, Cell] = {
        "class<br>클래스": text("class"),
        "precision": number("precision", ".4f"),
        "recall": number("recall", ".4f"),
        "F1": number("f1", ".4f"),
        "": bar,
        "support": number("support"),
    }
    return table(classes, columns)


def _confusions(counts: pl.DataFrame) -> str:
    columns = {"": text(counts.columns[0])} | {escape(name): number(name) for name in counts.columns[1:]}
    return table(counts, columns)


def _people(ceiling: HumanCeiling | None) -> str:
    if ceiling is None:
        return ""
    columns: dict[str, Cell] = {
        "answers<br>응답": number("n"),
        "agreement %<br>일치": share_cell("accuracy"),
        "interval over<br>구간 단위": text("interval_over"),
    }
    return table(pl.DataFrame([asdict(ceiling.score)]), columns, words=0)
