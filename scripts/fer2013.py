"""Write the table of FER2013's test faces, on which face-api.js and a model of ours meet outside RAF-DB.

    python scripts/fer2013.py FER2013.zip [--project-root .]

The archive holds ``fer2013/labels.csv`` (path, label_en, split) and the grey faces of 48x48 pixels; it is linked into
``data_raw`` and read in place. Nothing learns from FER2013 here.
"""

import argparse
from pathlib import Path

import polars as pl
from rafdb import link_into, read_labels

from pyojeong.errors import InputError
from pyojeong.table import write_csv

LIST = "fer2013/labels.csv"


def table(archive: Path) -> pl.DataFrame:
    """Return path and label_en of each test face."""
    labels: pl.DataFrame = read_labels(archive, LIST, "FER2013's archive")
    return labels.filter(pl.col("split") == "test").select("path", "label_en")


def main() -> None:
    """Write the table and say how long it is."""
    parser = argparse.ArgumentParser(description="Table of FER2013's test faces for pyojeong baseline and evaluate")
    parser.add_argument("archive", type=Path)
    parser.add_argument("--project-root", type=Path, default=Path())
    arguments = parser.parse_args()
    path = arguments.project_root / "data_raw" / "fer2013_BASIC7.csv"
    try:
        faces = table(arguments.archive)
        link_into(path.parent, arguments.archive)
        write_csv(faces, path)
    except (InputError, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    print(f"{path}: {faces.height} faces")


if __name__ == "__main__":
    main()
