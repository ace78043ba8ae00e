"""Functions shared by the scripts that write tables of the faces in an archive."""

import argparse
import filecmp
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

from pyojeong.core.errors import InputError
from pyojeong.core.images import BROKEN_MEMBER
from pyojeong.core.labels import FACEAPI
from pyojeong.core.table import write_csv


def write_table(description: str, name: str, make: Callable[[Path], pl.DataFrame]) -> None:
    """Run a command that writes the table ``data_raw/NAME``, which ``make`` returns for an archive."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--project-root", type=Path, default=Path())
    arguments = parser.parse_args()
    path = arguments.project_root / "data_raw" / name
    try:
        table = make(arguments.archive)
        link_into(path.parent, arguments.archive)
        write_csv(table, path)
    except (InputError, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    counts = table["label_en"].value_counts(sort=True).iter_rows()
    print(f"{path}: " + ", ".join(f"{count} {label}" for label, count in counts))


def read_labels(archive: Path, name: str, expected: str) -> pl.DataFrame:
    """Return path (from the project root), label_en and split of each face in the list ``name`` of ``archive``.

    Raises InputError, which asks for ``expected``, when the list is missing, has a label other than face-api.js's, or
    has no test face.
    """
    labels = read_list(archive, name, ["path", "label_en", "split"], expected).cast(pl.String)
    if unknown := sorted(set(labels["label_en"].fill_null("")) - set(FACEAPI)):
        raise InputError(f"{archive}: {name} has the label {unknown[0]!r}; it must be one of {', '.join(FACEAPI)}")
    if "test" not in set(labels["split"]):
        raise InputError(f"{archive}: {name} has no face whose split is test; give {expected}")
    return labels.with_columns(path=f"data_raw/{archive.name}!/" + pl.col("path"))


def read_list(archive: Path, name: str, columns: list[str], expected: str) -> pl.DataFrame:
    """Return ``columns`` of the CSV ``name`` in ``archive``; InputError asks for ``expected`` when it is unreadable."""
    try:
        with zipfile.ZipFile(archive) as file:
            return pl.read_csv(io.BytesIO(file.read(name)), columns=columns)
    except (*BROKEN_MEMBER, KeyError, RuntimeError, pl.exceptions.PolarsError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{archive}: {name} is not readable in it ({reason}); give {expected}") from None


def link_into(folder: Path, archive: Path) -> None:
    """Link ``archive`` into ``folder``, replacing a link to another archive.

    Raises InputError when another file has its name, or when it is not named ``.zip``, as paths into archives require.
    """
    if archive.suffix.lower() != ".zip":
        raise InputError(f"{archive}: its name does not end in .zip, and no path leads into it; rename it")
    folder.mkdir(parents=True, exist_ok=True)
    link, target = folder / archive.name, archive.resolve()
    if link.is_symlink() and link.resolve() != target:
        link.unlink()
    if not link.exists():
        try:
            link.symlink_to(target)
        except OSError:
            link.hardlink_to(target)  # Windows lets few users make symbolic links
    elif not (link.samefile(target) or filecmp.cmp(link, target, shallow=False)):
        raise InputError(f"{link}: is another file of this name; move it away")
