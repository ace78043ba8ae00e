"""One HTML page that holds the whole report: tables and figures inline, nothing is fetched."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from pyojeong.core.html import Cell, card, count, note, page, table, text

_STYLE = """
.find { margin: 0; padding-left: 1.1rem; }
.find b { color: var(--accent); }
"""

_HEADING = "face-api.js and MobileNetV3, compared fairly <span>표정 인식 공정 비교</span>"
_LEAD = (
    "The same test photographs for everyone, every protocol with its n, 95 % intervals.\n"
    "같은 테스트 사진, 모든 조건과 표본 수, 95 % 신뢰 구간."
)

_PROTOCOLS = {"matched": "matched only 매칭만", "all": "all, miss = wrong 전체", "given": "box given 박스 제공"}


@dataclass(frozen=True)
class Picture:
    """A PNG for light and one for dark paper."""

    light: bytes
    dark: bytes


def render(
    tables: Mapping[str, pl.DataFrame],
    pictures: Mapping[str, Picture],
    *,
    missing: Mapping[str, str],
    notice: str,
) -> str:
    """Return the page.

    Args:
        tables: the report's tables by file name; ``paired_comparison`` and ``human_ceiling`` may be empty.
        pictures: ``overview``, ``confusions`` and ``class_scores``.
        missing: experiments without predictions and the command that makes each.
        notice: shown on top when not empty.
    """
    paired, classes = tables["paired_comparison"], tables["per_class_all_7exp"]
    parts = [
        _warning(notice),
        card("What the numbers say", "요약", _findings(paired, tables["fair_comparison_7exp"])),
        card("Seven experiments", "일곱 실험", _picture(pictures["overview"], "Scores by protocol", _OVERVIEW)),
        card("Side by side", "공정 비교", _fair(tables["fair_comparison_7exp"]) + note(_FAIR)),
        card("Same photographs, pair by pair", "같은 사진에서의 차이", _paired(paired) + note(_PAIRED)),
        card("How far people agree", "사람의 일치도", _people(tables["human_ceiling"]) + note(_PEOPLE)),
        card("The published summary, completed", "요약표", _summary(tables["summary_overall_7exp"]) + note(_SUMMARY)),
        card("Who is taken for whom", "혼동 행렬", _picture(pictures["confusions"], "Confusion matrices", _MATRICES)),
        card("Class by class", "클래스별 F1", _picture(pictures["class_scores"], "F1 by class") + _classes(classes)),
        card("Not there yet", "빠진 실험", _missing(missing)),
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
    "Hatched: only the photographs on which face-api found the labeled face, so it compares with nothing else. "
    "Lines are 95 % intervals; a dashed line is one human annotator. 빗금은 얼굴이 매칭된 사진만의 결과."
)
_FAIR = (
    "matched only: the detected face overlaps the labeled one (IoU ≥ 0.30), the published headline. "
    "all: every photograph, a miss is wrong. box given: both get the labeled box. "
    "n is the number of photographs scored, of n all. Macro-F1 is the mean over the classes present in the truth. "
    "face-api answers seven classes: its disgusted in M1 and its surprised in M2 are always wrong, as published; "
    "a network trained on the six cannot make that error."
)
_PAIRED = (
    "Difference = second − first, in percentage points, with its 95 % interval. p is McNemar's exact test, which takes "
    "photographs for independent; the intervals resample people where people are known. A network that is always given "
    "the box meets face-api on the photographs that face-api matched, and with the box given to both; not where a miss "
    "counts."
)
_PEOPLE = (
    "One annotator against the other two where these two agree, on the photographs kept by the label policy. "
    "나머지 두 명이 일치할 때 한 명의 일치율."
)
_SUMMARY = (
    "The first columns are those of the published summary, with the same meaning; only macro-F1 no longer counts an "
    "absent class as 0. ECE is the expected calibration error (15 bins) of the headline's answers."
)
_MATRICES = "Percent of each true class; face-api on its matched photographs. 정답 클래스별 비율(%)."


def _warning(notice: str) -> str:
    if not notice:
        return ""
    return f'<p class="notice">{escape(notice)}<br>그린 얼굴: 절차만 검증하며 실제 정확도를 뜻하지 않음</p>'


def _picture(picture: Picture, alt: str, caption: str = "") -> str:
    light, dark = (base64.b64encode(data).decode() for data in (picture.light, picture.dark))
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,{dark}">'
        f'<img alt="{escape(alt)}" src="data:image/png;base64,{light}"></picture>'
        + (f"<figcaption>{escape(caption)}</figcaption>" if caption else "")
        + "</figure>"
    )


def _number(name: str, form: str = ".2f") -> Cell:
    return lambda row: "–" if row[name] is None else format(row[name], form)


def _share(name: str) -> Cell:
    """Percent with its interval."""
    return lambda row: (
        f"{100 * row[name]:.1f} <small>{100 * row[name + '_low']:.1f}–{100 * row[name + '_high']:.1f}</small>"
    )


def _gap(name: str) -> Cell:
    """Difference in percentage points with its interval."""
    return lambda row: (
        f"{100 * row[name]:+.1f} <small>{100 * row[name + '_low']:+.1f} … {100 * row[name + '_high']:+.1f}</small>"
    )


def _p_value(row: dict[str, Any]) -> str:
    return "&lt; 0.001" if row["mcnemar_p"] < 0.001 else f"{row['mcnemar_p']:.3f}"


def _protocol(row: dict[str, Any]) -> str:
    return escape(_PROTOCOLS[row["protocol"]])


def _findings(paired: pl.DataFrame, fair: pl.DataFrame) -> str:
    """One sentence for each scheme in which face-api and the finetuned network answered for the same boxes."""
    if paired.is_empty():  # and without columns
        return ""
    alone = {row["exp"]: row for row in fair.filter(pl.col("protocol") == "all").iter_rows(named=True)}
    mine = paired.filter(
        (pl.col("protocol") == "given")
        & pl.col("first").str.starts_with("FaceAPI")
        & pl.col("second").str.starts_with("Finetune")
    )
    lines = []
    for row in mine.iter_rows(named=True):
        line = (
            f"<b>{row['scheme']}</b>: of the same {row['n']:,} photographs, box given, face-api.js gets "
            f"<b>{100 * row['accuracy_first']:.1f} %</b> right and MobileNetV3-Small finetuned "
            f"<b>{100 * row['accuracy_second']:.1f} %</b>"
        )
        if found := alone.get(row["first"]):
            line += f"; where face-api.js has to find the face, {100 * found['accuracy']:.1f} % (a miss is wrong)"
        lines.append(f"<li>{line}.</li>")
    return f'<ul class="find">{"".join(lines)}</ul>' if lines else ""


def _fair(fair: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "experiment<br>실험": text("exp"),
        "protocol<br>조건": _protocol,
        "n": count("n"),
        "n all<br>전체": count("n_all"),
        "share %<br>비율": lambda row: f"{100 * row['n'] / row['n_all']:.1f}",
        "accuracy %<br>정확도": _share("accuracy"),
        "macro-F1 %": _share("macro_f1"),
        "interval over": text("interval_over"),
    }
    return table(fair, columns, words=2)


def _paired(paired: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "first": text("first"),
        "second": text("second"),
        "protocol<br>조건": _protocol,
        "n": count("n"),
        "accuracy %<br>first → second": lambda row: (
            f"{100 * row['accuracy_first']:.1f} → {100 * row['accuracy_second']:.1f}"
        ),
        "difference<br>차이": _gap("accuracy_difference"),
        "macro-F1<br>difference": _gap("macro_f1_difference"),
        "only one right<br>first / second": lambda row: f"{row['only_first_right']:,} / {row['only_second_right']:,}",
        "p": _p_value,
    }
    if paired.is_empty():
        return "<p>No two experiments of one scheme name the same photographs. 짝지을 실험이 없음.</p>"
    return table(paired, columns, words=3)


def _people(people: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "scheme": text("scheme"),
        "photographs<br>사진": count("images"),
        "answers<br>응답": count("n"),
        "agreement %<br>일치": _share("accuracy"),
        "macro-F1 %": _share("macro_f1"),
        "interval over": text("interval_over"),
    }
    if people.is_empty():
        return "<p>The data have no annotators' votes. 주석자 투표가 없음.</p>"
    return table(people, columns)


def _summary(summary: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "experiment<br>실험": text("exp"),
        "n raw": count("n_raw"),
        "n eval": count("n_eval"),
        "coverage %<br>검출률": _number("coverage(%)"),
        "Top-1 %": _number("Top1_Acc(%)"),
        "macro-F1": _number("Macro-F1", ".4f"),
        "all, miss<br>= wrong %": _number("all_Acc(%)"),
        "box<br>given %": _number("given_Acc(%)"),
        "macro-F1<br>val best": _number("val_best_Macro-F1", ".4f"),
        "ECE": _number("ECE", ".4f"),
        "people<br>사람": count("people"),
        "unreadable": count("unreadable"),
    }
    return table(summary, columns)


def _classes(scores: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "experiment<br>실험": text("exp"),
        "class<br>클래스": text("class"),
        "precision": _number("precision", ".4f"),
        "recall": _number("recall", ".4f"),
        "F1": _number("f1", ".4f"),
        "tp": count("tp"),
        "fp": count("fp"),
        "fn": count("fn"),
        "support": count("support"),
    }
    return f"<details><summary>All numbers 전체 수치</summary>{table(scores, columns, words=2)}</details>"


def _missing(missing: Mapping[str, str]) -> str:
    rows = "".join(f"<li>{escape(name)}: <code>{escape(command)}</code></li>" for name, command in missing.items())
    return f"<ul>{rows}</ul>" if rows else ""
