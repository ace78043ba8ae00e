"""Write the table of East Asian portraits that face-api.js and a model of ours can be compared on.

    python scripts/scut.py SCUT_ASIAN.zip [--project-root .]

The archive holds ``scut_asian/boxes.csv`` (path, minX, minY, maxX, maxY) and portraits of SCUT-FBP5500, which have no
labels of expressions. ``scut_smiles.csv`` beside this script has this project's own two looks at each: ``smile``,
``slight`` (a trace, or doubtful) or ``none``. A portrait is happy or neutral where both say smile or none; the others,
109 of 300, are left out. No people were asked.
"""

from pathlib import Path

import polars as pl
from archive_tables import read_list, write_table

from pyojeong.core.errors import InputError
from pyojeong.core.table import BOX_COLUMNS, read_csv

LIST = "scut_asian/boxes.csv"
LOOKS = Path(__file__).with_name("scut_smiles.csv")
LABELS = {"none": "neutral", "smile": "happy"}


def table(archive: Path) -> pl.DataFrame:
    """Return path, label_en and box of each portrait on which both looks agree."""
    boxes: pl.DataFrame = read_list(archive, LIST, ["path", *BOX_COLUMNS], "the portraits' archive")
    agreed = read_csv(LOOKS).filter(pl.col("first") == pl.col("second"), pl.col("first").is_in([*LABELS]))
    named = agreed.select("path", label_en=pl.col("first").replace_strict(LABELS))
    found = boxes.join(named, on="path", maintain_order="left")
    if found.is_empty():
        raise InputError(f"{archive}: none of the portraits of {LOOKS.name} is in {LIST}; give the portraits' archive")
    within = f"data_raw/{archive.name}!/" + pl.col("path")
    return found.select(within.alias("path"), "label_en", *BOX_COLUMNS)


if __name__ == "__main__":
    write_table("Table of East Asian portraits for pyojeong baseline and evaluate", "scut_BASIC7.csv", table)
