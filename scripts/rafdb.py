"""Write the three tables that the packaged model was trained, chosen and judged on, from RAF-DB's archive.

    python scripts/rafdb.py RAFDB.zip [--project-root .]

The archive holds ``rafdb/labels.csv`` (path, label_en, split) and the aligned faces; it is linked into ``data_raw``
and read in place. A tenth of the official training part, drawn with a fixed seed, becomes the validation set.
"""

import argparse
import io
import zipfile
from pathlib import Path

import polars as pl

from pyojeong.errors import InputError
from pyojeong.labels import FACEAPI
from pyojeong.table import write_csv

SEED = 1337
LIST = "rafdb/labels.csv"


def tables(archive: Path) -> dict[str, pl.DataFrame]:
    """Return train, val and test as tables of path and label_en."""
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
    return {name: part.select("path", "label_en") for name, part in parts.items()}


def main() -> None:
    """Write the tables and say how long they are."""
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


def read_labels(archive: Path, name: str, wanted: str) -> pl.DataFrame:
    """Return path (from the project root), label_en and split of each face in the list ``name`` of ``archive``.

    InputError, asking for ``wanted``, where there is no such list, a label that is none of face-api.js's, or no test
    face.
    """
    labels = read_list(archive, name, ["path", "label_en", "split"], wanted).cast(pl.String)
    if unknown := sorted(set(labels["label_en"].fill_null("")) - set(FACEAPI)):
        raise InputError(f"{archive}: {name} has the label {unknown[0]!r}; it must be one of {', '.join(FACEAPI)}")
    if "test" not in set(labels["split"]):
        raise InputError(f"{archive}: {name} has no face whose split is test; give {wanted}")
    return labels.with_columns(path=f"data_raw/{archive.name}!/" + pl.col("path"))


def read_list(archive: Path, name: str, columns: list[str], wanted: str) -> pl.DataFrame:
    """Return ``columns`` of the CSV ``name`` in ``archive``; InputError, asking for ``wanted``, where it has none."""
    try:
        with zipfile.ZipFile(archive) as file:
            return pl.read_csv(io.BytesIO(file.read(name)), columns=columns)
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{archive}: {name} is not readable in it ({reason}); give {wanted}") from None


def link_into(folder: Path, archive: Path) -> None:
    """Link ``archive`` into ``folder``, in place of a link to another.

    InputError where a file has its name, or where its name is none that paths into archives can have.
    """
    if archive.suffix.lower() != ".zip":
        raise InputError(f"{archive}: its name does not end in .zip, and no path leads into it; rename it")
    folder.mkdir(parents=True, exist_ok=True)
    link, target = folder / archive.name, archive.resolve()
    if link.is_symlink() and link.resolve() != target:
        link.unlink()
    if not link.exists():
        link.symlink_to(target)
    elif link.resolve() != target:
        raise InputError(f"{link}: is another file of this name; move it away")


if __name__ == "__main__":
    main()
