"""One HTML page that holds the whole report: tables and figures inline, nothing is fetched."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from pyojeong import __version__

_STYLE = """
:root { color-scheme: light dark; --paper: #f6f7f9; --card: #ffffff; --ink: #1d2733; --soft: #5c6773; --line: #dfe4ea;
  --accent: #0b6c76; --warn: #fff3d6; --warn-ink: #6b4700; }
@media (prefers-color-scheme: dark) { :root { --paper: #0f141a; --card: #171d24; --ink: #e6ebf0; --soft: #9aa5b1;
  --line: #2a333d; --accent: #5fd0d6; --warn: #3a2d10; --warn-ink: #ffd98a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.6;
  font-family: system-ui, "Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans KR", "NanumGothic", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.25; letter-spacing: -.01em; }
h2 { margin: 0 0 .75rem; font-size: 1.2rem; }
h2 span, h1 span { color: var(--soft); font-weight: 400; }
.lead { color: var(--soft); margin: .4rem 0 1.5rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem 1.4rem;
  margin-top: 1.1rem; }
.notice { background: var(--warn); color: var(--warn-ink); border-radius: 12px; padding: .8rem 1.2rem;
  font-weight: 600; }
.find { margin: 0; padding-left: 1.1rem; }
.find b { color: var(--accent); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .38rem .5rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; line-height: 1.25; }
tr:last-child td { border-bottom: 0; }
td.word, th.word { text-align: left; }
td small { color: var(--soft); }
.note, figcaption { color: var(--soft); font-size: .88rem; margin: .8rem 0 0; }
figure { margin: 0; } img { max-width: 100%; height: auto; display: block; border-radius: 6px; }
code { font-size: .85rem; overflow-wrap: anywhere; } summary { cursor: pointer; color: var(--accent); }
details { margin-top: .6rem; } footer { color: var(--soft); font-size: .85rem; margin-top: 2rem; }
"""

_HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>pyojeong 표정: seven experiments</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>face-api.js and MobileNetV3, compared fairly <span>표정 인식 공정 비교</span></h1>
<p class="lead">The same test photographs for everyone, every protocol with its n, 95 % intervals.
같은 시험 사진, 모든 조건과 표본 수, 95 % 신뢰 구간.</p>
"""

_FOOT = f"""
<footer>pyojeong {escape(__version__)} · <code>pyojeong report</code></footer>
</main>
</body>
</html>
"""

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
        _card("What the numbers say", "요약", _findings(paired)),
        _card("Seven experiments", "일곱 실험", _picture(pictures["overview"], "Scores by protocol", _OVERVIEW)),
        _card("Side by side", "공정 비교", _fair(tables["fair_comparison_7exp"]) + _note(_FAIR)),
        _card("Same photographs, pair by pair", "같은 사진에서의 차이", _paired(paired) + _note(_PAIRED)),
        _card("How far people agree", "사람의 일치도", _people(tables["human_ceiling"]) + _note(_PEOPLE)),
        _card("The published summary, completed", "요약표", _summary(tables["summary_overall_7exp"]) + _note(_SUMMARY)),
        _card("Who is taken for whom", "혼동 행렬", _picture(pictures["confusions"], "Confusion matrices", _MATRICES)),
        _card("Class by class", "클래스별 F1", _picture(pictures["class_scores"], "F1 by class") + _classes(classes)),
        _card("Not there yet", "빠진 실험", _missing(missing)),
    ]
    return _HEAD + "\n".join(part for part in parts if part) + _FOOT


_OVERVIEW = (
    "Hatched: only the photographs on which face-api found the labelled face, so it compares with nothing else. "
    "Lines are 95 % intervals; a dashed line is one human annotator. 빗금은 얼굴이 매칭된 사진만의 결과."
)
_FAIR = (
    "matched only: the detected face overlaps the labelled one (IoU ≥ 0.30), the published headline. "
    "all: every photograph, a miss is wrong. box given: both get the labelled box. "
    "n is the number of photographs scored, of n all. Macro-F1 is the mean over the classes present in the truth."
)
_PAIRED = (
    "Difference = second − first, in percentage points, with its 95 % interval. p is McNemar's exact test, which takes "
    "photographs for independent; the intervals resample people where people are known."
)
_PEOPLE = "One annotator against the other two where these two agree. 나머지 두 명이 일치할 때 한 명의 일치율."
_SUMMARY = (
    "The first columns are those of the published summary, with the same meaning; only macro-F1 no longer counts an "
    "absent class as 0. ECE is the expected calibration error (15 bins) of the headline's answers."
)
_MATRICES = "Percent of each true class; face-api on its matched photographs. 정답 클래스별 비율(%)."

Cell = Callable[[dict[str, Any]], str]


def _card(english: str, korean: str, body: str) -> str:
    return f'<section class="card">\n<h2>{english} <span>{korean}</span></h2>\n{body}\n</section>' if body else ""


def _warning(notice: str) -> str:
    if not notice:
        return ""
    return f'<p class="notice">{escape(notice)}<br>그린 얼굴: 절차만 검증하며 실제 정확도를 뜻하지 않음</p>'


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _picture(picture: Picture, alt: str, caption: str = "") -> str:
    light, dark = (base64.b64encode(data).decode() for data in (picture.light, picture.dark))
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,{dark}">'
        f'<img alt="{escape(alt)}" src="data:image/png;base64,{light}"></picture>'
        + (f"<figcaption>{escape(caption)}</figcaption>" if caption else "")
        + "</figure>"
    )


def _table(rows: pl.DataFrame, columns: Mapping[str, Cell], words: int = 1) -> str:
    """Return an HTML table; the first ``words`` columns hold words, the others numbers."""
    kind = [' class="word"' if index < words else "" for index in range(len(columns))]
    head = "".join(f"<th{kind[index]}>{name}</th>" for index, name in enumerate(columns))
    body = ""
    for row in rows.iter_rows(named=True):
        cells = "".join(f"<td{kind[index]}>{cell(row)}</td>" for index, cell in enumerate(columns.values()))
        body += f"<tr>{cells}</tr>\n"
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>'


def _text(name: str) -> Cell:
    return lambda row: escape("–" if row[name] is None else str(row[name]))


def _count(name: str) -> Cell:
    return lambda row: "–" if row[name] is None else f"{row[name]:,}"


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


def _findings(paired: pl.DataFrame) -> str:
    """One sentence for each scheme in which face-api and the finetuned network answered for the same photographs."""
    lines = []
    for scheme in [] if paired.is_empty() else paired["scheme"].unique(maintain_order=True):
        mine = paired.filter(
            (pl.col("scheme") == scheme)
            & pl.col("first").str.starts_with("FaceAPI")
            & pl.col("second").str.starts_with("Finetune")
        )
        by = {row["protocol"]: row for row in mine.iter_rows(named=True)}
        if "all" in by:
            row = by["all"]
            line = (
                f"<b>{scheme}</b>: of the same {row['n']:,} photographs face-api.js gets "
                f"<b>{100 * row['accuracy_first']:.1f} %</b> right when a miss is wrong"
            )
            if "given" in by:
                line += f", {100 * by['given']['accuracy_first']:.1f} % with the box given"
            ours = f"<b>{100 * row['accuracy_second']:.1f} %</b>"
            lines.append(f"<li>{line}; MobileNetV3-Small finetuned, box given, {ours}.</li>")
    return f'<ul class="find">{"".join(lines)}</ul>' if lines else ""


def _fair(fair: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "experiment<br>실험": _text("exp"),
        "protocol<br>조건": _protocol,
        "n": _count("n"),
        "n all<br>전체": _count("n_all"),
        "share %<br>비율": lambda row: f"{100 * row['n'] / row['n_all']:.1f}",
        "accuracy %<br>정확도": _share("accuracy"),
        "macro-F1 %": _share("macro_f1"),
        "interval over": _text("interval_over"),
    }
    return _table(fair, columns, words=2)


def _paired(paired: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "first": _text("first"),
        "second": _text("second"),
        "protocol<br>조건": _protocol,
        "n": _count("n"),
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
    return _table(paired, columns, words=3)


def _people(people: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "scheme": _text("scheme"),
        "photographs<br>사진": _count("images"),
        "answers<br>응답": _count("n"),
        "agreement %<br>일치": _share("accuracy"),
        "macro-F1 %": _share("macro_f1"),
        "interval over": _text("interval_over"),
    }
    if people.is_empty():
        return "<p>The data have no annotators' votes. 주석자 투표가 없음.</p>"
    return _table(people, columns)


def _summary(summary: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "experiment<br>실험": _text("exp"),
        "n raw": _count("n_raw"),
        "n eval": _count("n_eval"),
        "coverage %<br>커버리지": _number("coverage(%)"),
        "Top-1 %": _number("Top1_Acc(%)"),
        "macro-F1": _number("Macro-F1", ".4f"),
        "all, miss<br>= wrong %": _number("all_Acc(%)"),
        "box<br>given %": _number("given_Acc(%)"),
        "macro-F1<br>val best": _number("val_best_Macro-F1", ".4f"),
        "ECE": _number("ECE", ".4f"),
        "people<br>사람": _count("people"),
        "unreadable": _count("unreadable"),
    }
    return _table(summary, columns)


def _classes(scores: pl.DataFrame) -> str:
    columns: dict[str, Cell] = {
        "experiment<br>실험": _text("exp"),
        "class<br>클래스": _text("class"),
        "precision": _number("precision", ".4f"),
        "recall": _number("recall", ".4f"),
        "F1": _number("f1", ".4f"),
        "tp": _count("tp"),
        "fp": _count("fp"),
        "fn": _count("fn"),
        "support": _count("support"),
    }
    table = _table(scores, columns, words=2)
    return f"<details><summary>All numbers 전체 수치</summary>{table}</details>"


def _missing(missing: Mapping[str, str]) -> str:
    rows = "".join(f"<li>{escape(name)}: <code>{escape(command)}</code></li>" for name, command in missing.items())
    return f"<ul>{rows}</ul>" if rows else ""
