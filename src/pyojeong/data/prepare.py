"""From AI Hub archives to splits, crops and a summary: the command ``pyojeong prepare``."""

import errno
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from pyojeong import __version__
from pyojeong.core import geometry
from pyojeong.core.errors import InputError
from pyojeong.core.files import alone_in, json_value, read_json, relative_path, write_json, write_text
from pyojeong.core.labels import K7, KOREAN_TO_ENGLISH, Scheme
from pyojeong.core.table import BOX_COLUMNS, VOTES, write_csv
from pyojeong.core.workspace import CROP_JOURNAL, CROPS_CSV, SPLITS_CSV, SUMMARY, SUMMARY_PAGE
from pyojeong.data import aihub, crop_files, splits, summary_page
from pyojeong.data.records import POLICIES
from pyojeong.data.summary import PREPARED, summarize

VANISHED = ("missing_image", "lost_archive")
"""Drops that mean that a disk or a file went away while prepare ran; the next run looks again."""

LOST = ("unreadable_archive", "unreadable_json", "other_archive", "unfinished_download", *VANISHED)
"""Drops that mean that a whole file of SOURCE is missing; the command line then ends with exit code 3."""

_PERSON = ("person", "gender", "age", "profession", "place")
_META = (*_PERSON, "uploader", "agreement", *VOTES, "width", "height", "orientation", "official")


def prepare(
    source: Path,
    root: Path,
    *,
    policy: str = "majority",
    split: str = "person",
    seed: int = splits.SEED,
    workers: int = 1,
    scheduler: str | None = None,
    margin: float = geometry.MARGIN,
    skip_unreadable: bool = False,
) -> dict[str, Any]:
    """Write the split CSVs, one crop per photograph, the crop CSVs and ``data_shared/summary.{json,html}``.

    Does nothing when source, settings and results are those of the last run; goes on where a stopped run ended.

    Args:
        source: folder that holds AI Hub's archives, the unpacked folders, or a mixture; read in place. When it
            lies outside ``root``, a link to it is made in ``data_raw``.
        root: the project root.
        policy: how the label comes from the annotators, a key of ``records.POLICIES``.
        split: ``person`` or ``image``, see ``splits.assign``.
        seed: of the split.
        workers: processes that make crops; the results are the same for any number.
        scheduler: address of a dask.distributed scheduler, such as ``tcp://host:8786``, whose workers make the crops
            instead. They need this package, and ``root`` and what it links to at the same places.
        margin: of the crop around the face box, as a share of its longer side.
        skip_unreadable: count archives and label files that cannot be read and go on; ``unreadable`` in the summary
            lists them.

    Returns:
        The content of the summary, and under ``crops_made`` how many photographs this run has read. ``warnings``
        lists what the user should know, such as a class without photographs; ``link`` names the link to SOURCE
        when it lies outside ``root``.

    Raises:
        InputError: an argument or the source cannot be used, another run is preparing in ``root``, or the disk is
            full; finished crops stay.
    """
    _check(policy, split, seed, margin, workers)
    settings = {
        "policy": policy,
        "split": split,
        "seed": seed,
        "margin": margin,
        "skip_unreadable": skip_unreadable,
    }
    try:
        base = _base(source, root)
        with alone_in(root):
            summary = _prepare(root, base, settings, workers, scheduler)
    except OSError as error:
        remedy = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "make it accessible"
        raise InputError(
            f"{error.filename or root}: {error.strerror or error}; {remedy} and run the same command again, "
            "finished crops are kept"
        ) from error
    return summary | _linked(root, base)


def _prepare(root: Path, base: str, settings: dict[str, Any], workers: int, scheduler: str | None) -> dict[str, Any]:
    found = aihub.survey(root / base)
    mark = _fingerprint(base, settings, found)
    _sweep(root)
    if before := _finished(root, mark):
        return before | {"crops_made": 0}
    index = aihub.index(found, base, policy=settings["policy"], skip_unreadable=settings["skip_unreadable"])
    rows, done, made = _crop(index.rows, root, settings["margin"], workers, scheduler)
    rows = rows.with_columns(splits.assign(rows, by=settings["split"], seed=settings["seed"]))
    summary = summarize(index, rows, done) | {
        "synthetic": json_value(root / base / aihub.SAMPLE_MARKER, "synthetic") is True,
        "source": base,
        "settings": settings,
        "version": __version__,
        "fingerprint": mark,
        "crops": _digest((root / CROP_JOURNAL).read_bytes()),
    }
    # From here until the new summary stands, the tables may be of two kinds.
    (root / SUMMARY).unlink(missing_ok=True)
    for path, frame in _tables(rows):
        write_csv(frame, root / path)
    write_text(root / SUMMARY_PAGE, summary_page.render(summary, summary_page.contact_sheet(root, rows)))
    write_json(root / SUMMARY, summary)
    return summary | {"crops_made": made}


def _sweep(root: Path) -> None:
    """Remove what a killed run has left half-written beside its tables."""
    for folder in (SUMMARY, f"{SPLITS_CSV}/-", f"{CROPS_CSV}/-"):
        for left in (root / folder).parent.glob(".*.part"):
            left.unlink(missing_ok=True)


def _check(policy: str, split: str, seed: int, margin: float, workers: int) -> None:
    if policy not in POLICIES:
        raise InputError(f"there is no label policy {policy!r}; choose one of {', '.join(POLICIES)}")
    if split not in splits.BY:
        raise InputError(f"there is no split by {split!r}; choose one of {', '.join(splits.BY)}")
    if not 0 <= margin <= 1:
        raise InputError(f"the margin {margin} is not between 0 and 1")
    if abs(seed) >= 1 << 63:
        raise InputError(f"the seed {seed} has more than 63 bits; choose a smaller one")
    if workers < 1:
        raise InputError(f"{workers} workers cannot work; give at least 1")


def _base(source: Path, root: Path) -> str:
    """Return the path of ``source`` below ``root``; link it into ``data_raw`` when it lies elsewhere."""
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; SOURCE is the folder that holds AI Hub's archives")
    real, real_root = source.resolve(), root.resolve()
    if real_root.is_relative_to(real):
        raise InputError(f"{source}: is the project root or above it; name the folder that holds AI Hub's archives")
    if (lexical := relative_path(source.absolute().as_posix(), root)) is not None:
        return lexical
    if real.is_relative_to(real_root):
        return real.relative_to(real_root).as_posix()
    return _link(real, root)


def _link(target: Path, root: Path) -> str:
    folder = root / "data_raw"
    for name in (target.name, *(f"{target.name}_{number}" for number in range(2, 100))):
        link = folder / name
        if link.is_symlink() and link.resolve() == target:
            return f"data_raw/{name}"
        if not link.exists() and not link.is_symlink():
            break
    try:
        folder.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target, target_is_directory=True)
    except (OSError, NotImplementedError) as error:
        raise InputError(
            f"{target}: lies outside the project root {root}, and no link to it can be made in {folder} ({error}); "
            "move the data below the project root, or choose another --project-root"
        ) from None
    return f"data_raw/{link.name}"


def _linked(root: Path, base: str) -> dict[str, str]:
    place = root / base
    return {"link": f"{base} -> {place.readlink()}"} if place.is_symlink() else {}


def _fingerprint(base: str, settings: dict[str, Any], found: aihub.Survey) -> str:
    facts = json.dumps([__version__, base, settings, found.files, sorted(found.drops.items())])
    return _digest(facts.encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _finished(root: Path, mark: str) -> dict[str, Any] | None:
    """Return the last run's summary when it had the same fingerprint and all its results are there."""
    if not (root / SUMMARY).exists():
        return None
    try:
        summary = read_json(root / SUMMARY)
    except InputError:
        return None
    if not isinstance(summary, dict) or summary.get("fingerprint") != mark:
        return None
    if any(reason in summary.get("drops", {}) for reason in VANISHED):
        return None
    if not all((root / path).exists() for path in (SUMMARY_PAGE, *_table_paths())):
        return None
    # Another run may have begun to make other crops and been stopped.
    journal = root / CROP_JOURNAL
    if not journal.exists() or summary.get("crops") != _digest(journal.read_bytes()):
        return None
    made = {done.crop for done in crop_files.read_journal(journal).values() if not done.reason}
    return summary if made <= crop_files.existing_crops(root) else None


def _crop(
    rows: pl.DataFrame, root: Path, margin: float, workers: int, scheduler: str | None
) -> tuple[pl.DataFrame, list[crop_files.Done], int]:
    """Make the crops; return the rows that have one, with what was measured on the way."""
    tasks = [
        crop_files.task_for(path, stamp, name, person, (left, top, right, bottom), margin)
        for path, stamp, name, person, left, top, right, bottom in rows.select(
            "path", "stamp", "name", "person", *BOX_COLUMNS
        ).iter_rows()
    ]
    done, made = crop_files.make_crops(root, tasks, margin=margin, workers=workers, scheduler=scheduler)
    measured = pl.DataFrame(
        {
            "crop": [one.crop for one in done],
            "drop": [one.reason for one in done],
            "minX": [float(one.min_x) for one in done],
            "minY": [float(one.min_y) for one in done],
            "maxX": [float(one.max_x) for one in done],
            "maxY": [float(one.max_y) for one in done],
            "width": [one.width for one in done],
            "height": [one.height for one in done],
            "orientation": [one.orientation for one in done],
        },
        schema_overrides={"crop": pl.String, "drop": pl.String},
    )
    kept = rows.with_columns(measured.get_columns()).filter(pl.col("drop") == "")
    return kept, done, made


def _table_paths() -> list[str]:
    return [
        f"{folder}/{split}_{scheme.name}.csv"
        for folder in (SPLITS_CSV, CROPS_CSV)
        for split in splits.SPLITS
        for scheme in PREPARED
    ]


def _tables(rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for scheme in PREPARED:
        viewed = _view(rows, scheme)
        for split in splits.SPLITS:
            part = viewed.filter(pl.col("split") == split)
            originals = part.select("path", "label_en", "orig_kor", *BOX_COLUMNS, *_META)
            yield f"{SPLITS_CSV}/{split}_{scheme.name}.csv", originals
            cropped = part.select(pl.col("crop").alias("path"), "label_en", "orig_kor", *_META, source="path")
            yield f"{CROPS_CSV}/{split}_{scheme.name}.csv", cropped


def _view(rows: pl.DataFrame, scheme: Scheme) -> pl.DataFrame:
    words = KOREAN_TO_ENGLISH if scheme is K7 else dict(scheme.from_korean)
    return rows.filter(pl.col("label").is_in(list(words))).with_columns(
        label_en=pl.col("label").replace_strict(words, return_dtype=pl.String), orig_kor="label"
    )
