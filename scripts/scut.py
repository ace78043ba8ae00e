"""Write the table of East Asian portraits, to compare face-api.js with our model.

    python scripts/scut.py SCUT_ASIAN.zip [--project-root .]

The archive holds ``scut_asian/boxes.csv`` (path, minX, minY, maxX, maxY) and portraits of SCUT-FBP5500, which have no
expression labels. ``scut_smiles.csv`` next to this script has two annotations of each by this project: ``smile``,
``slight`` (a trace, or doubtful) or ``none``. A portrait counts as happy or neutral when both say smile or none; the
others, 109 of 300, are left out. No human annotators were asked.
"""

from pathlib import Path

import polars as pl
from archive_tables import read_list, write_table

from pyojeong.core.errors import InputError
from pyojeong.core.table import BOX_COLUMNS, read_csv

LIST = "scut_asian/boxes.csv"
SMILES = Path(__file__).with_name("scut_smiles.csv")
LABELS = {"none": "neutral", "smile": "happy"}


def table(archive: Path) -> pl.DataFrame:
    """Return path, label_en, box and gender (F or M) of each portrait on which both annotations agree."""
    boxes: pl.DataFrame = read_list(archive, LIST, ["path", *BOX_COLUMNS], "the portraits' archive")
    agreed = read_csv(SMILES).filter(pl.col("first") == pl.col("second"), pl.col("first").is_in([*LABELS]))
    named = agreed.select("path", label_en=pl.col("first").replace_strict(LABELS))
    labeled = boxes.join(named, on="path", maintain_order="left")
    if labeled.is_empty():
        raise InputError(f"{archive}: none of the portraits of {SMILES.name} is in {LIST}; give the portraits' archive")
    within = f"data_raw/{archive.name}!/" + pl.col("path")
    gender = pl.col("path").str.extract(r"/A([FM])\d+\.jpg$")  # AF1.jpg: Asian, female
    return labeled.select(within.alias("path"), "label_en", *BOX_COLUMNS, gender.alias("gender"))


if __name__ == "__main__":
    write_table("Table of East Asian portraits for pyojeong baseline and evaluate", "scut_BASIC7.csv", table)
