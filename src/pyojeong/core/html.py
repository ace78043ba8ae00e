"""Build HTML pages from cards and tables; a page is one file and loads nothing."""

from collections.abc import Callable, Mapping
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

Cell = Callable[[dict[str, Any]], str]
"""Returns the HTML of one table cell for a row."""


def page(title: str, heading: str, lead: str, cards: list[str], *, command: str, language: str, style: str = "") -> str:
    """Return a whole page.

    Args:
        title: plain text for the browser tab.
        heading: HTML of the heading.
        lead: HTML of the paragraph below the heading.
        cards: HTML of the sections in order; empty ones are left out.
        command: the command that wrote the page, for the footer.
        language: main language of the page, ``en`` or ``ko``.
        style: CSS in addition to the common style.
    """
    return f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{_STYLE}{style}</style>
</head>
<body>
<main>
<h1>{heading}</h1>
<p class="lead">{lead}</p>
{chr(10).join(card for card in cards if card)}
<footer>pyojeong {escape(__version__)} · <code>{escape(command)}</code></footer>
</main>
</body>
</html>
"""


def card(heading: str, translation: str, body: str) -> str:
    """Return a section with a heading in two languages, or "" if ``body`` is empty."""
    return f'<section class="card">\n<h2>{heading} <span>{translation}</span></h2>\n{body}\n</section>' if body else ""


def notice(*lines: str) -> str:
    """Return a highlighted paragraph with these lines of plain text."""
    return f'<p class="notice">{"<br>".join(map(escape, lines))}</p>'


def note(text: str) -> str:
    """Return a paragraph of plain text in small print."""
    return f'<p class="note">{escape(text)}</p>'


def table(rows: pl.DataFrame, columns: Mapping[str, Cell], words: int = 1) -> str:
    """Return an HTML table.

    Args:
        rows: one table row each.
        columns: HTML of the column head -> cell.
        words: how many columns at the left hold text; the others are aligned as numbers.
    """
    alignment = [' class="word"' if index < words else "" for index in range(len(columns))]
    head = "".join(f"<th{align}>{name}</th>" for align, name in zip(alignment, columns, strict=True))
    body = ""
    for row in rows.iter_rows(named=True):
        cells = (f"<td{align}>{cell(row)}</td>" for align, cell in zip(alignment, columns.values(), strict=True))
        body += f"<tr>{''.join(cells)}</tr>\n"
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>'


def text(name: str) -> Cell:
    """Return a cell that shows the column ``name`` as text."""
    return lambda row: escape("–" if row[name] is None else str(row[name]))


def number(name: str, form: str = ",") -> Cell:
    """Return a cell that shows the column ``name`` as a number in the format ``form``."""
    return lambda row: "–" if row[name] is None else format(row[name], form)
