"""The share of time of each emotion, for each face, and a plot of emotions over time."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pyojeong.analysis.colors import class_colors
from pyojeong.analysis.table import P_PREFIX, classes_in
from pyojeong.core.errors import InputError
from pyojeong.core.files import write_bytes
from pyojeong.core.labels import english_word, korean_word

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

SHARE_PREFIX = "share_"

PHOTOGRAPHS = "photographs"
"""Source of the row that sums up all photographs."""

_PANELS = 8
"""Faces that a plot shows: those that are seen longest."""

_POINTS = 600
"""Moments of a panel; a longer film is averaged over equal spans."""


@dataclass(frozen=True)
class Summary:
    """How long each emotion was seen.

    Attributes:
        table: a row for each face of each film (``source``, ``id``), the longest first, and one with the source
            ``photographs`` for all photographs; ``pictures`` (frames or photographs in which a face was seen),
            ``first_s``, ``last_s``, ``seconds``, ``share_<class>`` (0..1, of the face's time, or of the photographs'
            faces) and ``share_unsure``.
        rows: the faces, as in the table of faces.
    """

    table: pl.DataFrame
    rows: pl.DataFrame

    def plot(self, path: str | Path) -> None:
        """Write a PNG with the probabilities of each face over time; see ``draw``."""
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise InputError(f"{path}: the plot is a PNG; give it a name that ends in .png")
        buffer = io.BytesIO()
        draw(self).savefig(buffer, format="png", dpi=130, metadata={"Software": None})
        write_bytes(path, buffer.getvalue())


def summarize(rows: pl.DataFrame) -> Summary:
    """Return how long each emotion was seen.

    A frame counts for the time until the next frame that was analyzed, the last one for as long as the median frame.

    Args:
        rows: as in ``table.FaceTable``.
    """
    faces = _with_seconds(rows).filter(pl.col("label").is_not_null())
    in_film = pl.col("time_s").is_not_null()
    table = (
        faces.with_columns(
            source=pl.when(in_film).then("source").otherwise(pl.lit(PHOTOGRAPHS)),
            id=pl.when(in_film).then("id"),
            # The faces of photographs count alike, and so does a film's only frame.
            weight=pl.when(pl.col("seconds") > 0).then("seconds").otherwise(1.0),
        )
        .group_by("source", "id")
        .agg(
            pictures=pl.len(),
            first_s=pl.col("time_s").min(),
            last_s=pl.col("time_s").max(),
            seconds=pl.when(pl.col("seconds").count() > 0).then(pl.col("seconds").sum()),
            **{f"{SHARE_PREFIX}{name}": _share(pl.col("label") == name) for name in classes_in(rows.columns)},
            share_unsure=_share(pl.col("unsure")),
        )
        .sort("source", "seconds", "id", descending=[False, True, False], nulls_last=True)
    )
    return Summary(table, faces)


def _with_seconds(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with ``seconds``, how long each frame was shown; null for photographs."""
    frames = rows.filter(pl.col("time_s").is_not_null()).select("source", "time_s").unique().sort("source", "time_s")
    gap = (pl.col("time_s").shift(-1) - pl.col("time_s")).over("source")
    frames = frames.with_columns(seconds=gap).with_columns(
        pl.col("seconds").fill_null(pl.col("seconds").median().over("source")).fill_null(0.0)
    )
    return rows.join(frames, on=["source", "time_s"], how="left", maintain_order="left")


def _share(condition: pl.Expr) -> pl.Expr:
    return (condition * pl.col("weight")).sum() / pl.col("weight").sum()


def draw(summary: Summary) -> "Figure":
    """Draw the probabilities of each face over time, stacked: a panel for each of the faces that are seen longest.

    Where a face was not seen, the panel is empty.

    Raises:
        InputError: the table has no face of a film.
        ModuleNotFoundError: matplotlib or the font with Hangul is not installed.
    """
    import matplotlib as mpl
    from matplotlib import font_manager
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from pyojeong.core.fonts import hangul_fonts

    films = summary.table.filter(pl.col("id").is_not_null()).sort("seconds", descending=True).head(_PANELS)
    if films.is_empty():
        raise InputError("there is no face of a film in the table; a plot over time needs one")
    regular, _ = hangul_fonts()
    font_manager.fontManager.addfont(regular)
    classes = classes_in(summary.rows.columns)
    with mpl.rc_context({"font.family": ["NanumGothic", "DejaVu Sans"], "font.size": 9}):
        figure = Figure(figsize=(10, 0.9 + 1.5 * len(films)), layout="constrained")
        panels = figure.subplots(len(films), 1, squeeze=False)[:, 0]
        for axes, (source, number, *_) in zip(panels, films.iter_rows(), strict=True):
            own = summary.rows.filter((pl.col("source") == source) & (pl.col("id") == number))
            _panel(axes, own, classes)
            axes.set_title(f"{Path(source).name}, face {number} 얼굴", loc="left")
        panels[-1].set_xlabel("time (s) 시간")
        patches = [Patch(color=color, label=_both(name)) for name, color in class_colors(classes).items()]
        figure.legend(handles=patches, loc="outside upper center", ncols=len(classes))
    return figure


def _panel(axes: "Axes", rows: pl.DataFrame, classes: Sequence[str]) -> None:
    times, values = _averaged(rows.sort("time_s"), classes)
    steps = np.diff(times)
    step = float(np.median(steps)) if len(steps) else 1.0
    # Where the face was out of sight, the panel stays empty.
    breaks = [0, *(np.flatnonzero(steps > 3 * step) + 1), len(times)]
    for first, last in pairwise(breaks):
        # A moment is shown as long as a step, so that a single one can be seen.
        edges = np.append(times[first:last], times[last - 1] + step)
        heights = np.append(values[:, first:last], values[:, last - 1 : last], axis=1)
        axes.stackplot(edges, heights, colors=[*class_colors(classes).values()], linewidth=0)
    axes.set(xlim=(times[0], times[-1] + step), ylim=(0, 1), ylabel="probability 확률")


def _averaged(rows: pl.DataFrame, classes: Sequence[str]) -> tuple[Floats, Floats]:
    """Return times [T] and probabilities [K, T] of a face, averaged over equal spans where a film is long."""
    columns = [f"{P_PREFIX}{name}" for name in classes]
    times = rows["time_s"].to_numpy()
    span = max((times[-1] - times[0]) / _POINTS, 1e-9)
    means = (
        rows.with_columns(span=pl.Series(np.floor((times - times[0]) / span)))
        .group_by("span")
        .agg(pl.col("time_s").mean(), *(pl.col(name).mean() for name in columns))
        .sort("time_s")
    )
    return means["time_s"].to_numpy(), means.select(columns).to_numpy().T


def _both(name: str) -> str:
    korean, english = korean_word(name), english_word(name)
    return name if korean == english else f"{korean} {english}"
