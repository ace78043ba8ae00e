"""Write the table of FER2013's test faces, to compare face-api.js with our model.

    python scripts/fer2013.py FER2013.zip [--project-root .]

The archive holds ``fer2013/labels.csv`` (path, label_en, split, for ``majority`` also FER+'s votes_*) and the gray
faces of 48x48 pixels; it is linked into ``data_raw`` and read in place. ``mixture.py`` makes the training tables.
"""

from pathlib import Path

import polars as pl
from archive_tables import read_labels, read_list, write_table

from pyojeong.core.labels import FACEAPI
from pyojeong.core.table import VOTES_PREFIX

LIST = "fer2013/labels.csv"

SIDE = 48
"""Of a picture, in pixels."""

OTHER_VOTES = ("contempt", "unknown", "no_face")
"""FER+'s words that are none of the seven classes."""


def table(archive: Path) -> pl.DataFrame:
    """Return path and label_en of each test face."""
    labels: pl.DataFrame = read_labels(archive, LIST, "FER2013's archive")
    return labels.filter(pl.col("split") == "test").select("path", "label_en")


def majority(archive: Path) -> pl.DataFrame:
    """Return path and label_en of each test face to which more of FER+'s annotators gave that label than any other.

    Faces for which another word, such as contempt, has as many votes or more are left out.
    """
    words = [f"{VOTES_PREFIX}{word}" for word in (*FACEAPI, *OTHER_VOTES)]
    expected = "FER2013's archive with FER+'s votes"
    faces: pl.DataFrame = read_list(archive, LIST, ["path", "split", *words], expected)
    faces = faces.filter(pl.col("split") == "test")
    votes = faces.select(words).to_numpy()
    most = votes.argmax(1)
    clear = ((votes == votes.max(1, keepdims=True)).sum(1) == 1) & (most < len(FACEAPI))
    named = faces.with_columns(
        path=f"data_raw/{archive.name}!/" + pl.col("path"), label_en=pl.Series([words[number] for number in most])
    )
    return named.filter(clear).select("path", pl.col("label_en").str.strip_prefix(VOTES_PREFIX))


if __name__ == "__main__":
    write_table("Table of FER2013's test faces for pyojeong baseline and evaluate", "fer2013_BASIC7.csv", table)
