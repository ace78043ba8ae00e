"""Build the report page: one HTML file with tables and figures."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from pyojeong.core.html import Cell, card, note, notice, number, page, table, text
from pyojeong.core.workspace import SYNTHETIC_NOTICE, SYNTHETIC_NOTICE_KOREAN
from pyojeong.evaluation.groups import SIGNIFICANT, small_groups
from pyojeong.report.figures import PROTOCOL_WORDS

_STYLE = """
.results { margin: 0; padding-left: 1.1rem; }
.results b { color: var(--accent); }
"""

_HEADING = "face-api.js and MobileNetV3: a fair comparison <span>표정 인식 공정 비교</span>"
_LEAD = (
    "Every model on the same test photographs, under every protocol, with sample sizes and 95 % intervals.<br>"
    "같은 테스트 사진에서 모든 조건을 비교하고 표본 수와 95 % 신뢰 구간을 함께 표시함."
)


@dataclass(frozen=True)
class Picture:
    """A figure as PNG files for the light and the dark theme."""

    light: bytes
    dark: bytes


def render(
    tables: Mapping[str, pl.DataFrame],
    pictures: Mapping[str, Picture],
    *,
    missing: Mapping[str, str],
    synthetic: bool,
) -> str:
    """Return the page.

    Args:
        tables: the report's tables by file name; ``paired_comparison``, ``human_ceiling`` and ``group_scores`` may be
            empty.
        pictures: ``overview``, ``confusions`` and ``class_scores``.
        missing: experiment without predictions -> the command that makes them.
        synthetic: whether to warn that the faces are synthetic.
    """
    scores, pairs, classes = (
        tables[name] for name in ("fair_comparison_7exp", "paired_comparison", "per_class_all_7exp")
    )
    parts = [
        notice(SYNTHETIC_NOTICE, SYNTHETIC_NOTICE_KOREAN) if synthetic else "",
        card("Key results", "요약", _key_results(pairs, scores)),
        card("Seven experiments", "일곱 가지 실험", _picture(pictures["overview"], "Scores by protocol", _OVERVIEW)),
        card("Scores by protocol", "조건별 공정 비교", _scores(scores) + note(_SCORES)),
        card("Pairs on the same photographs", "같은 사진에서의 차이", _pairs(pairs) + note(_PAIRS)),
        card("Human agreement", "사람의 일치도", _people(tables["human_ceiling"]) + note(_PEOPLE)),
        group_card(tables["group_scores"]),
        card("Published summary, extended", "요약표", _summary(tables["summary_overall_7exp"]) + note(_SUMMARY)),
        card("Confusion matrices", "혼동 행렬", _picture(pictures["confusions"], "Confusion matrices", _MATRICES)),
        card("F1 by class", "클래스별 F1", _picture(pictures["class_scores"], "F1 by class") + _classes(classes)),
        card("Missing experiments", "빠진 실험", _missing(missing)),
    ]
    return page(
        "pyojeong 표정: seven experiments",
        _HEADING,
        _LEAD,
        parts,
        command="pyojeong report",
        language="en",
        style=_STYLE,
    )


_OVERVIEW = (
    "Hatched bars cover only the photographs on which face-api.js found the labeled face, so they cannot be compared "
    "with the other bars. Lines are 95 % intervals; a dashed line is one human annotator. 빗금 막대는 face-api.js가 "
    "라벨의 얼굴을 찾은 사진만의 결과이므로 다른 막대와 비교할 수 없음."
)
_SCORES = (
    "matched only: photographs on which the detected face overlaps the labeled one (IoU ≥ 0.30), as in the published "
    "headline. all: every photograph; a missed face counts as wrong. box given: every model receives the labeled box. "
    "n of n all photographs are scored. Macro-F1 is the mean over the classes that occur in the labels. face-api.js "
    "answers with seven classes, so its disgusted in M1 and its surprised in M2 are always wrong, as in the published "
    "evaluation; a network trained on six classes cannot make that error."
)
_PAIRS = (
    "Differences are second − first in percentage points, with 95 % intervals. p is from McNemar's exact test, which "
    "assumes independent photographs; the intervals resample people where people are known. A network that is always "
    "given the box is compared with face-api.js on the photographs that face-api.js matched, and with the box given "
    "to both, but not under “all”, where only face-api.js can miss a face."
)
_PEOPLE = (
    "One annotator scored against the other two where those two agree, on the photographs that the label policy kept. "
    "나머지 두 명이 일치할 때 한 명의 일치율."
)
_GROUPS = (
    "Each group against all others of its column: accuracy, coverage (the labeled face was found) and calibration "
    "(mean probability minus accuracy; above 0 the model is too sure of itself), with the annotators' agreement beside "
    "them. 95 % intervals and tests over people where they are known, corrected by Holm for all tests of the table. "
    "A difference that is not significant is no proof of equality. 표는 Holm 보정 후 유의한 차이를 먼저 보여 줌."
)
_SUMMARY = (
    "The first columns have the meaning they have in the published summary, except that macro-F1 no longer counts an "
    "absent class as 0. ECE is the expected calibration error (15 bins) of the answers that Top-1 counts. Started "
    "from: the initial weights; shipped is the package's own model, which has learned faces, imagenet has not."
)
_MATRICES = (
    "Percent of each true class; face-api.js on its matched photographs only. "
    "정답 클래스별 비율(%), face-api.js는 매칭된 사진만 포함."
)


def _picture(picture: Picture, alt: str, caption: str = "") -> str:
    light, dark = (base64.b64encode(data).decode() for data in (picture.light, picture.dark))
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,{dark}">'
        f'<img alt="{escape(alt)}" src="data:image/png;base64,{light}"></picture>'
        + (f"<figcaption>{escape(caption)}</figcaption>" if caption else "")
        + "</figure>"
    )


def share_cell(name: str) -> Cell:
    """Return a cell that shows a percentage with its interval."""
    return lambda row: (
        f"{100 * row[name]:.1f} <small>{100 * row[name + '_low']:.1f}–{100 * row[name + '_high']:.1f}</small>"
    )


def _difference(name: str) -> Cell:
    """Return a cell that shows a difference in percentage points with its interval."""
    return lambda row: (
        f"{100 * row[name]:+.1f} <small>{100 * row[name + '_low']:+.1f} … {100 * row[name + '_high']:+.1f}</small>"
    )


def _p_value(row: dict[str, Any]) -> str:
    return _p(row["mcnemar_p"])


def _p(value: float) -> str:
    return "&lt; 0.001" if value < 0.001 else f"{value:.3f}"


def _protocol(row: dict[str, Any]) -> str:
    return escape(PROTOCOL_WORDS[row["protocol"]])


def _key_results(pairs: pl.DataFrame, scores: pl.DataFrame) -> str:
    """Return a sentence per scheme in which face-api.js and the finetuned network are paired with the box given."""
    if pairs.is_empty():  # without columns to filter by
        return ""
    end_to_end = dict(scores.filter(pl.col("protocol") == "all").select("exp", "accuracy").iter_rows())
    rows = pairs.filter(
        (pl.col("protocol") == "given")
        & pl.col("first").str.starts_with("FaceAPI")
        & pl.col("second").str.starts_with("Finetune")
    )
    items = ""
    for row in rows.iter_rows(named=True):
        items += (
            f"<li><b>{row['scheme']}</b>: on the same {row['n']:,} photographs with the box given, face-api.js is "
            f"right on <b>{100 * row['accuracy_first']:.1f} %</b> and the finetuned MobileNetV3-Small on "
            f"<b>{100 * row['accuracy_second']:.1f} %</b>."
        )
        if row["first"] in end_to_end:
            items += (
                f" When face-api.js has to find the face itself, it is right on {100 * end_to_end[row['first']]:.1f} % "
                "(a missed face counts as wrong)."
            )
        items += "</li>"
    return f'<ul class="results">{items}</ul>' if items else ""


def _scores(scores: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "experiment<br>실험": text("exp"),
        "protocol<br>조건": _protocol,
        "n": number("n"),
        "n all<br>전체": number("n_all"),
        "share %<br>비율": lambda row: f"{100 * row['n'] / row['n_all']:.1f}",
        "accuracy %<br>정확도": share_cell("accuracy"),
        "macro-F1 %": share_cell("macro_f1"),
        "interval over<br>구간 단위": text("interval_over"),
    }
    return table(scores, columns, words=2)


def _pairs(pairs: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "first": text("first"),
        "second": text("second"),
        "protocol<br>조건": _protocol,
        "n": number("n"),
        "accuracy %<br>first → second": lambda row: (
            f"{100 * row['accuracy_first']:.1f} → {100 * row['accuracy_second']:.1f}"
        ),
        "difference<br>차이": _difference("accuracy_difference"),
        "macro-F1<br>difference": _difference("macro_f1_difference"),
        "only one right<br>first / second": lambda row: f"{row['only_first_right']:,} / {row['only_second_right']:,}",
        "p": _p_value,
    }
    if pairs.is_empty():
        return "<p>No two experiments with the same labels share photographs. 같은 사진을 평가한 실험 쌍이 없음.</p>"
    return table(pairs, columns, words=3)


def _people(people: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "scheme<br>라벨 체계": text("scheme"),
        "photographs<br>사진": number("images"),
        "answers<br>응답": number("n"),
        "agreement %<br>일치": share_cell("accuracy"),
        "macro-F1 %": share_cell("macro_f1"),
        "interval over<br>구간 단위": text("interval_over"),
    }
    if people.is_empty():
        return "<p>The data have no annotator votes to compare. 비교할 주석자 투표가 없음.</p>"
    return table(people, columns)


def group_card(groups: pl.DataFrame) -> str:
    """Return the section about groups; "" where the table (of ``evaluation.groups``) is empty."""
    if groups.is_empty():
        return ""
    columns: dict[str, Cell] = {
        "contender<br>실험": text("contender"),
        "protocol<br>조건": _protocol,
        "column<br>항목": text("column"),
        "group<br>집단": text("group"),
        "measure<br>지표": text("measure"),
        "n": number("n"),
        "people<br>사람": number("people"),
        "value %<br>값": _maybe("value", ""),
        "group − others<br>차이": _maybe("difference", "+"),
        "p (Holm)": lambda row: "–" if row["p_holm"] is None else _p(row["p_holm"]),
        "remark<br>비고": text("remark"),
    }
    significant = groups.filter(pl.col("p_holm") <= SIGNIFICANT).sort("p_holm")
    found = "<p>No significant difference. 유의한 차이 없음.</p>"
    if len(significant):
        found = table(significant, columns, words=5)
    names = ", ".join(small_groups(groups))
    parts = [
        found,
        note(f"Too small to be scored 표본 부족: {names}") if names else "",
        f"<details><summary>All groups 전체 집단</summary>{table(groups, columns, words=5)}</details>",
        note(_GROUPS),
    ]
    return card("By group", "집단별 결과", "".join(parts))


def _maybe(name: str, sign: str) -> Cell:
    """Return a cell that shows a share in percent, with its interval where there is one."""

    def cell(row: dict[str, Any]) -> str:
        if row[name] is None:
            return "–"
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        interval = "" if low is None else f" <small>{100 * low:{sign}.1f} … {100 * high:{sign}.1f}</small>"
        return f"{100 * row[name]:{sign}.1f}{interval}"

    return cell


def _summary(summary: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "experiment<br>실험": text("exp"),
        "n raw": number("n_raw"),
        "n eval": number("n_eval"),
        "coverage %<br>검출률": number("coverage(%)", ".2f"),
        "Top-1 %": number("Top1_Acc(%)", ".2f"),
        "macro-F1": number("Macro-F1", ".4f"),
        "all, miss<br>= wrong %": number("all_Acc(%)", ".2f"),
        "box<br>given %": number("given_Acc(%)", ".2f"),
        "macro-F1<br>val best": number("val_best_Macro-F1", ".4f"),
        "started from<br>초기 가중치": text("started_from"),
        "ECE": number("ECE", ".4f"),
        "people<br>사람": number("people"),
        "unreadable<br>읽지 못함": number("unreadable"),
    }
    return table(summary, columns)


def _classes(scores: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "experiment<br>실험": text("exp"),
        "class<br>클래스": text("class"),
        "precision": number("precision", ".4f"),
        "recall": number("recall", ".4f"),
        "F1": number("f1", ".4f"),
        "tp": number("tp"),
        "fp": number("fp"),
        "fn": number("fn"),
        "support": number("support"),
    }
    return f"<details><summary>All numbers 전체 수치</summary>{table(scores, columns, words=2)}</details>"


def _missing(missing: Mapping[str, str]) -> str:
    items = "".join(f"<li>{escape(name)}: <code>{escape(command)}</code></li>" for name, command in missing.items())
    return f"<ul>{items}</ul>" if items else ""
