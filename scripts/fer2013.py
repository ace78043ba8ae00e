"""Write the table of FER2013's test faces, to compare face-api.js with our model outside RAF-DB.

    python scripts/fer2013.py FER2013.zip [--project-root .]

The archive holds ``fer2013/labels.csv`` (path, label_en, split) and the gray faces of 48x48 pixels; it is linked into
``data_raw`` and read in place. FER2013 is not used for training.
"""

from pathlib import Path

import polars as pl
from archive_tables import read_labels, write_table

LIST = "fer2013/labels.csv"


def table(archive: Path) -> pl.DataFrame:
    """Return path and label_en of each test face."""
    labels: pl.DataFrame = read_labels(archive, LIST, "FER2013's archive")
    return labels.filter(pl.col("split") == "test").select("path", "label_en")


if __name__ == "__main__":
    write_table("Table of FER2013's test faces for pyojeong baseline and evaluate", "fer2013_BASIC7.csv", table)
