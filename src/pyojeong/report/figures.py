"""Draw the figures of the report with matplotlib, in English and Korean."""

import io
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from pyojeong.core.fonts import hangul_fonts
from pyojeong.core.labels import KOREAN_TO_ENGLISH, Scheme, scheme_named
from pyojeong.core.workspace import EXPERIMENTS


@dataclass(frozen=True)
class Theme:
    """Colors of a figure: background, text, secondary text and a matrix cell of 100 %."""

    paper: str
    ink: str
    faint: str
    full: str


LIGHT = Theme("#ffffff", "#1d2733", "#8a94a0", "#0b5c66")
DARK = Theme("#171d24", "#e6ebf0", "#7d8894", "#5fd0d6")

PROTOCOL_WORDS = {"matched": "matched only 매칭만", "all": "all, miss = wrong 전체", "given": "box given 박스 제공"}
"""What figures and the page call a protocol."""

# Readable on both backgrounds, and distinct for the common kinds of color blindness.
_MODE_COLORS = {"faceapi": "#e0893b", "probe": "#8fb9c9", "finetune": "#1c8a94"}
_COLORS = {experiment.contender: _MODE_COLORS[experiment.mode] for experiment in EXPERIMENTS.values()}
_FACEAPI = EXPERIMENTS["FaceAPI_M1"].contender

# For other contenders, in order of appearance.
_OTHER_COLORS = ("#8a6fb3", "#b0506b", "#7a8f3a", "#5b7fb5")

_NOTICE_COLOR = "#e0893b"

_SCHEME_ORDER = ("M1", "M2", "K7", "BASIC7")
"""Other schemes, the user's own, come last."""


def overview(
    scores: pl.DataFrame,
    ceiling: pl.DataFrame | None = None,
    *,
    own: Scheme | None = None,
    theme: Theme = LIGHT,
    notice: str = "",
) -> Figure:
    """Draw accuracy and macro-F1 of every contender under every protocol, with 95 % intervals.

    Args:
        scores: rows of ``fair_comparison_7exp.csv``, or of ``compare_scores.csv`` with a column ``scheme``.
        ceiling: rows of ``human_ceiling.csv``; each becomes a dashed line at the score of one annotator.
        own: the scheme of the scores where it is not one of the package's.
        theme: colors.
        notice: text below the figure.
    """
    rows = sorted(scores.rows(named=True), key=lambda row: _rank(row["scheme"]))
    schemes = _ordered({row["scheme"] for row in rows})
    # Bars are 1 apart, with room for a heading above each scheme.
    heights = [index + 1.3 * schemes.index(row["scheme"]) for index, row in enumerate(rows)]
    with _style(theme):
        figure = Figure(figsize=(11, 1.3 + 0.36 * (max(heights) + 2)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, column, title in zip(
            panels, ("accuracy", "macro_f1"), ("Accuracy 정확도 (%)", "Macro-F1 (%)"), strict=True
        ):
            _bars(axes, rows, heights, column, theme)
            _ceiling_lines(axes, rows, heights, ceiling, column, theme)
            axes.set_title(title, loc="left", fontweight="bold")
        panels[0].set_yticks(heights, [_row_label(row) for row in rows])
        panels[0].set_ylim(max(heights) + 0.7, -1.4)
        for scheme in schemes:
            top = min(height for height, row in zip(heights, rows, strict=True) if row["scheme"] == scheme)
            classes = len((own or scheme_named(scheme)).classes)
            panels[0].text(
                0, top - 0.85, f"{scheme} · {classes} classes", fontweight="bold", va="center", color=theme.ink
            )
        _footer(figure, notice, theme)
    return figure


def confusions(matrices: Mapping[str, pl.DataFrame], *, theme: Theme = LIGHT, notice: str = "") -> Figure:
    """Draw the row-normalized confusion matrix of each experiment (name -> ``{exp}_cm_row_normalized.csv``)."""
    schemes = _ordered({EXPERIMENTS[name].scheme for name in matrices})
    grid = [[name for name in matrices if EXPERIMENTS[name].scheme == scheme] for scheme in schemes]
    columns = max(map(len, grid))
    with _style(theme):
        figure = Figure(figsize=(4.6 * columns, 4.6 * len(grid)), layout="constrained")
        panels = figure.subplots(len(grid), columns, squeeze=False)
        for axes in panels.ravel():
            axes.axis("off")
        for row, names in zip(panels, grid, strict=True):
            for axes, name in zip(row, names, strict=False):
                axes.axis("on")
                _matrix(axes, name, matrices[name], theme)
        _footer(figure, notice, theme)
    return figure


def class_scores(scores: pl.DataFrame, *, theme: Theme = LIGHT, notice: str = "") -> Figure:
    """Draw F1 by class of every experiment, one panel per scheme (``scores``: rows of ``per_class_all_7exp.csv``)."""
    scores = scores.with_columns(
        scheme=pl.col("exp").map_elements(lambda name: EXPERIMENTS[name].scheme, return_dtype=pl.String),
        contender=pl.col("exp").map_elements(lambda name: EXPERIMENTS[name].contender, return_dtype=pl.String),
    )
    schemes = _ordered(set(scores["scheme"]))
    with _style(theme):
        figure = Figure(figsize=(4.4 * len(schemes), 5), layout="constrained")
        for axes, scheme in zip(figure.subplots(1, len(schemes), squeeze=False)[0], schemes, strict=True):
            rows = scores.filter(pl.col("scheme") == scheme, pl.col("support") > 0)
            if rows.is_empty():
                axes.axis("off")
            else:
                _class_panel(axes, rows, scheme, theme)
        legend = {
            text: handle for axes in figure.axes for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        if legend:
            figure.legend(legend.values(), legend.keys(), loc="outside upper left", ncols=3, frameon=False)
        _footer(figure, notice, theme)
    return figure


def class_label(name: str, scheme: str) -> str:
    """Return a class name in both languages: ``기쁨 joy`` in K7, ``상처·슬픔 sad`` in M1 and M2."""
    if name in KOREAN_TO_ENGLISH:
        return f"{name} {KOREAN_TO_ENGLISH[name]}"
    korean = sorted(label for label, target in scheme_named(scheme).from_korean.items() if target == name)
    return " ".join(part for part in ("·".join(korean), name) if part)


def to_png(figure: Figure, facts: Mapping[str, str] | None = None) -> bytes:
    """Return ``figure`` as PNG with ``facts`` as its text chunks; equal figures give equal bytes."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=130, metadata={"Software": None, **(facts or {})})
    return png.getvalue()


@cache
def _add_hangul() -> None:
    for file in hangul_fonts():
        font_manager.fontManager.addfont(file)
    # The bold font states weight 600; matplotlib prints a warning whenever "bold" (700) resolves to it.
    known = font_manager.fontManager.ttflist
    known[-1] = replace(known[-1], weight=700)


def _style(theme: Theme) -> AbstractContextManager[None]:
    _add_hangul()
    return mpl.rc_context(
        {
            # NanumGothic lacks some signs, such as the true minus; DejaVu Sans, which matplotlib ships, has them.
            "font.family": ["NanumGothic", "DejaVu Sans"],
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.unicode_minus": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": theme.faint,
            "axes.facecolor": theme.paper,
            "figure.facecolor": theme.paper,
            "savefig.facecolor": theme.paper,
            "text.color": theme.ink,
            "text.parse_math": False,  # names of contenders may contain $
            "axes.labelcolor": theme.ink,
            "axes.titlecolor": theme.ink,
            "xtick.color": theme.ink,
            "ytick.color": theme.ink,
            "hatch.color": theme.paper,
            "hatch.linewidth": 1.4,
        }
    )


def _ordered(schemes: Iterable[str]) -> list[str]:
    return sorted(schemes, key=_rank)


def _rank(scheme: str) -> int:
    return _SCHEME_ORDER.index(scheme) if scheme in _SCHEME_ORDER else len(_SCHEME_ORDER)


def _colors(rows: list[dict[str, Any]]) -> dict[str, str]:
    others = dict.fromkeys(row["contender"] for row in rows if row["contender"] not in _COLORS)
    return _COLORS | dict(zip(others, cycle(_OTHER_COLORS), strict=False))


def _row_label(row: dict[str, Any]) -> str:
    return f"{row['contender']} · {PROTOCOL_WORDS[row['protocol']]}  n={row['n']:,}"


def _bars(axes: Axes, rows: list[dict[str, Any]], heights: list[float], column: str, theme: Theme) -> None:
    colors = _colors(rows)
    for row, height in zip(rows, heights, strict=True):
        value, low, high = (100 * row[name] for name in (column, f"{column}_low", f"{column}_high"))
        # Hatched because this protocol leaves out hard images: its bars cannot be compared with the others.
        hatch = "///" if row["protocol"] == "matched" else None
        axes.barh(height, value, height=0.72, color=colors[row["contender"]], hatch=hatch, linewidth=0)
        axes.plot([low, high], [height, height], color=theme.ink, linewidth=1.2, solid_capstyle="butt")
        background = {"facecolor": theme.paper, "edgecolor": "none", "pad": 1.2}
        axes.text(high + 1.5, height, f"{value:.1f}", va="center", fontweight="bold", color=theme.ink, bbox=background)
    axes.set_xlim(0, 108)
    axes.set_xticks(range(0, 101, 20))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=theme.faint, alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)


def _ceiling_lines(
    axes: Axes,
    rows: list[dict[str, Any]],
    heights: list[float],
    ceiling: pl.DataFrame | None,
    column: str,
    theme: Theme,
) -> None:
    if ceiling is None or ceiling.is_empty():
        return
    for row in ceiling.rows(named=True):
        bars = [height for height, bar in zip(heights, rows, strict=True) if bar["scheme"] == row["scheme"]]
        if bars:
            value, top, bottom = 100 * row[column], min(bars) - 0.5, max(bars) + 0.5
            axes.plot([value, value], [top, bottom], color=theme.faint, linestyle=(0, (4, 3)), zorder=0.5)
            label = f"one annotator 주석자 1명 {value:.0f}"
            axes.text(value, top - 0.08, label, ha="center", va="bottom", fontsize=8, color=theme.ink)


def _matrix(axes: Axes, name: str, matrix: pl.DataFrame, theme: Theme) -> None:
    scheme, classes = EXPERIMENTS[name].scheme, matrix["true"].to_list()
    shares = matrix.drop("true").to_numpy().astype(float)
    colors = LinearSegmentedColormap.from_list("share", [theme.paper, theme.full])
    axes.imshow(shares, cmap=colors, vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        if shares[row].sum() == 0:
            axes.text(column, row, "–", ha="center", va="center", color=theme.faint)
        else:
            on_dark = share > 0.5
            axes.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=9,
                fontweight="bold" if row == column else "normal",
                color=theme.paper if on_dark else theme.ink,
            )
    axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), [class_label(word, scheme) for word in classes])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{scheme} · {EXPERIMENTS[name].contender}", loc="left", fontweight="bold")
    axes.set_xlabel("predicted 예측 (% of each true class)", color=theme.faint)
    axes.set_ylabel("true 정답", color=theme.faint)


def _class_panel(axes: Axes, scores: pl.DataFrame, scheme: str, theme: Theme) -> None:
    classes = scores["class"].unique(maintain_order=True).to_list()
    contenders = scores["contender"].unique(maintain_order=True).to_list()
    height = 0.8 / len(contenders)
    for index, contender in enumerate(contenders):
        f1 = dict(scores.filter(pl.col("contender") == contender).select("class", "f1").iter_rows())
        for row, name in enumerate(classes):
            value, middle = 100 * f1.get(name, 0.0), row + (index - (len(contenders) - 1) / 2) * height
            label = f"{contender} ({PROTOCOL_WORDS['matched']})" if contender == _FACEAPI else contender
            axes.barh(middle, value, height=0.92 * height, color=_COLORS[contender], label=label if row == 0 else None)
            axes.text(value + 1, middle, f"{value:.0f}", va="center", fontsize=8, color=theme.ink)
    axes.set_yticks(range(len(classes)), [class_label(name, scheme) for name in classes])
    axes.invert_yaxis()
    axes.set_xlim(0, 105)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_title(f"{scheme}: F1 by class 클래스별 (%)", loc="left", fontweight="bold")


def _footer(figure: Figure, notice: str, theme: Theme) -> None:
    if notice:
        figure.supxlabel(notice, fontsize=10, fontweight="bold", color=_NOTICE_COLOR)
