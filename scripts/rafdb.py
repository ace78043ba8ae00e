"""Write the training, validation and test tables of the packaged model from RAF-DB's archive.

    python scripts/rafdb.py RAFDB.zip [--project-root .]

The archive holds ``rafdb/labels.csv`` (path, label_en, split) and the aligned faces; it is linked into ``data_raw``
and read in place. A tenth of the official training part, sampled with a fixed seed, becomes the validation set.
"""

import argparse
from pathlib import Path

import polars as pl
from archive_tables import link_into, read_labels

from pyojeong.core.errors import InputError
from pyojeong.core.table import write_csv

SEED = 1337
LIST = "rafdb/labels.csv"


def tables(archive: Path) -> dict[str, pl.DataFrame]:
    """Return train, val and test as tables of path, label_en and aligned_by: RAF-DB's crops lie by eyes and mouth."""
    labels = read_labels(archive, LIST, "RAF-DB's archive")
    official = labels.filter(pl.col("split") == "train").sample(fraction=1, shuffle=True, seed=SEED)
    held_out = official.height // 10
    if not held_out:
        raise InputError(f"{archive}: {LIST} has {official.height} training faces; at least ten are needed")
    parts = {
        "train": official.tail(-held_out),
        "val": official.head(held_out),
        "test": labels.filter(pl.col("split") == "test"),
    }
    return {name: part.select("path", "label_en", aligned_by=pl.lit("landmarks")) for name, part in parts.items()}


def main() -> None:
    """Write the tables and print their sizes."""
    parser = argparse.ArgumentParser(description="Tables of RAF-DB for pyojeong train")
    parser.add_argument("archive", type=Path)
    parser.add_argument("--project-root", type=Path, default=Path())
    arguments = parser.parse_args()
    folder = arguments.project_root / "data_raw"
    try:
        parts = tables(arguments.archive)
        link_into(folder, arguments.archive)
        for name, part in parts.items():
            write_csv(part, folder / f"{name}_BASIC7.csv")
            print(f"{folder / f'{name}_BASIC7.csv'}: {part.height} faces")
    except (InputError, OSError) as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
