"""Prepares AI Hub's archives for training: splits, crops and a summary (the command ``pyojeong prepare``)."""

import errno
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pyojeong import __version__
from pyojeong.core.boxes import Look, misread
from pyojeong.core.errors import InputError, check_choice
from pyojeong.core.files import alone_in, json_value, read_json, write_json, write_text
from pyojeong.core.geometry import MARGIN
from pyojeong.core.labels import K7, KOREAN_TO_ENGLISH, Scheme
from pyojeong.core.left_out import misread_problem, stray_warning
from pyojeong.core.table import BOX_COLUMNS, GROUP_COLUMNS, VOTES, read_csv, write_csv
from pyojeong.core.workspace import CROP_JOURNAL, CROPS_CSV, SAMPLE_MARKER, SPLITS_CSV, SUMMARY, SUMMARY_PAGE
from pyojeong.data import aihub, crop_files, splits, summary_page
from pyojeong.data.records import POLICIES
from pyojeong.data.source import base_of, link_text
from pyojeong.data.summary import PREPARED, RESIZED, Summary, reach_beyond, summarize

log = logging.getLogger(__name__)

_BOX_REASONS = ("no_box", "zero_area_box", "tiny_box", "box_outside_image")
_WANTED_BOX = f"a face box is {', '.join(BOX_COLUMNS)} in pixels of the upright photograph"

VANISHED = ("missing_image", "lost_archive")
"""Drops of files or disks that disappeared while prepare ran; the next run tries them again."""

LOST = ("unreadable_archive", "unreadable_json", "other_archive", "unfinished_download", *VANISHED)
"""Drops of whole files of SOURCE; the command line then ends with exit code 3."""

LookAt = Callable[[Sequence[str], npt.NDArray[np.float64], Path], Sequence[Look]]
"""Looks for faces in some of the photographs, given their paths, boxes [N, 4] and the project root."""

_PERSON = ("person", *GROUP_COLUMNS)
_META = (*_PERSON, "uploader", "agreement", *VOTES, "width", "height", "orientation", "official")


@dataclass(frozen=True)
class Settings:
    """The settings that the results depend on: arguments of ``prepare``, and the ``margin`` of the crops."""

    policy: str
    split: str
    seed: int
    margin: float
    skip_unreadable: bool


@dataclass(frozen=True)
class Preparation(Summary):
    """The result of ``prepare``: the content of ``data_shared/summary.json``, then two facts about this run.

    Attributes:
        synthetic: whether the faces are synthetic.
        source: path of SOURCE below the project root.
        settings: the settings that the results depend on.
        version: version of this package.
        fingerprint: hash of source and settings.
        crops: hash of the crops' journal.
        crops_made: crops that this run has made; not in the file.
        link: the link to SOURCE when it lies outside the project root, as ``link -> target``; not in the file.
    """

    synthetic: bool
    source: str
    settings: Settings
    version: str
    fingerprint: str
    crops: str
    crops_made: int
    link: str | None


def prepare(  # noqa: PLR0913 - each argument is an option
    source: str | Path,
    root: str | Path = ".",
    *,
    policy: str = "majority",
    split: str = "person",
    seed: int = splits.SEED,
    workers: int = 1,
    scheduler: str | None = None,
    skip_unreadable: bool = False,
    look: LookAt | None = None,
) -> Preparation:
    """Write the split tables, one crop per photograph, the crop tables and ``data_shared/summary.{json,html}``.

    Resumes a stopped run, and does nothing when source, settings and results are those of the last run.

    Args:
        source: folder that holds AI Hub's archives, the unpacked folders, or a mixture; read in place. When it
            lies outside ``root``, a link to it is created in ``data_raw``.
        root: the project root.
        policy: how the label is chosen from the annotators' votes, a key of ``records.POLICIES``.
        split: ``person`` or ``image``, see ``splits.assign``.
        seed: seed of the split.
        workers: processes that make crops; the results are the same for any number.
        scheduler: address of a dask.distributed scheduler, such as ``tcp://host:8786``, whose workers make the crops
            instead. They need this package, and ``root`` and everything it links to at the same paths.
        skip_unreadable: count archives and label files that cannot be read instead of stopping; ``unreadable`` in
            the result lists them.
        look: finds faces in some photographs before the crops are made, see ``training.box_check``; by default the
            boxes are not compared with faces.

    Raises:
        InputError: an argument or the source cannot be used, no photograph is usable, the boxes lie on the faces of
            ``look`` only when they are read in another way, another run is preparing in
            ``root``, or the disk is full; finished crops stay.
    """
    source, root = Path(source), Path(root)
    _check(policy, split, seed, workers)
    settings = Settings(policy, split, seed, MARGIN, skip_unreadable)
    try:
        base = base_of(source, root)
        with alone_in(root):
            return _prepare(root, base, settings, workers, scheduler, look)
    except OSError as error:
        remedy = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "make it accessible"
        raise InputError(
            f"{error.filename or root}: {error.strerror or error}; {remedy} and run the same command again, "
            "finished crops are kept"
        ) from error


def _prepare(
    root: Path, base: str, settings: Settings, workers: int, scheduler: str | None, look: LookAt | None
) -> Preparation:
    listing = aihub.survey(root / base)
    fingerprint = _fingerprint(base, settings, listing)
    _remove_partial_files(root)
    if last := _finished(root, base, fingerprint):
        return last
    index = aihub.index(listing, base, policy=settings.policy, skip_unreadable=settings.skip_unreadable)
    _require_rows(index.rows, root / base, index)
    _require_pixels(index.rows, root / base)
    strays = _stray_boxes(index.rows, root / base, root, look) if look else []
    rows, results, crops_made = _crop(index.rows, root, settings.margin, workers, scheduler)
    _require_rows(rows, root / base, index, results)
    rows = rows.with_columns(splits.assign(rows, by=settings.split, seed=settings.seed))
    summary = summarize(index, rows, results)
    summary.warnings.extend(f"face boxes: {problem}" for problem in strays)
    preparation = Preparation(
        **vars(summary),
        synthetic=json_value(root / base / SAMPLE_MARKER, "synthetic") is True,
        source=base,
        settings=settings,
        version=__version__,
        fingerprint=fingerprint,
        crops=_digest((root / CROP_JOURNAL).read_bytes()),
        crops_made=crops_made,
        link=link_text(root, base),
    )
    # Without a summary no run takes a mixture of old and new tables for finished.
    (root / SUMMARY).unlink(missing_ok=True)
    for path, frame in _tables(rows):
        write_csv(frame, root / path)
    _warn_of_old_views(root)
    content = asdict(preparation)
    del content["crops_made"], content["link"]
    write_text(root / SUMMARY_PAGE, summary_page.render(content, summary_page.contact_sheet(root, rows)))
    write_json(root / SUMMARY, content)
    for problem in strays:
        log.warning(problem)
    return preparation


def _require_pixels(rows: pl.DataFrame, source: Path) -> None:
    """Raise InputError where the boxes are shares of the photograph: no side of any is above 1."""
    if rows.select(pl.max_horizontal(pl.col(BOX_COLUMNS).abs()).max() <= 1).item():
        box = ", ".join(f"{name} {side:.3g}" for name, side in rows.select(BOX_COLUMNS).row(0, named=True).items())
        raise InputError(
            f"{source}: no side of a face box is above 1 (first {rows['path'][0]}, {box}); boxes are in pixels, not in "
            "shares of the photograph: multiply x by its width and y by its height"
        )


def _stray_boxes(rows: pl.DataFrame, source: Path, root: Path, look: LookAt) -> list[str]:
    """Return the warning that boxes lie beside the faces, if they do.

    Raises InputError where at least half of the boxes lie on faces when they are read in another way.
    """
    paths = rows["path"].to_list()
    looks = look(paths, rows.select(BOX_COLUMNS).to_numpy(), root)
    remedy = "correct the boxes in the label files, or use the original photographs, and prepare again"
    if other := misread(looks):
        problem = misread_problem(source, other, remedy)
        if 2 * other.hits >= len(looks):
            raise InputError(problem)
        return [problem]
    stray = stray_warning(source, paths, looks, remedy)
    return [stray] if stray else []


def _require_rows(
    rows: pl.DataFrame, source: Path, index: aihub.Index, results: Sequence[crop_files.CropResult] = ()
) -> None:
    """Raise InputError, with the counts and the likely reason, where no photograph is left."""
    if not rows.is_empty():
        return
    drops = index.drops + Counter(result.reason for result in results if result.reason)
    counts = ", ".join(f"{count:,} {reason}" for reason, count in drops.most_common(5))
    if drops["image_without_record"] + drops["duplicate_image"] == index.images:
        remedy = "no photograph has the name that a label record gives it: were they renamed? Use the original names"
    elif reach_beyond(results):
        remedy = f"of the face boxes {RESIZED}"
    elif drops["no_majority"] + drops["not_unanimous"] == drops.total():
        remedy = "choose another --policy, such as uploader"
    else:
        reason = drops.most_common(1)[0][0]
        meaning = (aihub.DROPS | crop_files.DROPS)[reason]
        remedy = f"{reason} means: {meaning}{f'; {_WANTED_BOX}' if reason in _BOX_REASONS else ''}"
    raise InputError(f"{source}: 0 of {index.images:,} photographs can be used ({counts}); {remedy}")


def _remove_partial_files(root: Path) -> None:
    """Remove the files that a killed run has left half-written next to its tables."""
    for folder in (Path(SUMMARY).parent, SPLITS_CSV, CROPS_CSV):
        for file in (root / folder).glob(".*.part"):
            file.unlink(missing_ok=True)


def _check(policy: str, split: str, seed: int, workers: int) -> None:
    check_choice("label policy", policy, POLICIES)
    splits.check_by(split)
    if abs(seed) >= 1 << 63:
        raise InputError(f"the seed {seed} has more than 63 bits; choose a smaller one")
    if workers < 1:
        raise InputError(f"the number of workers is {workers}; it must be at least 1")


def _fingerprint(base: str, settings: Settings, listing: aihub.Survey) -> str:
    facts = json.dumps([__version__, base, asdict(settings), listing.files, sorted(listing.drops.items())])
    return _digest(facts.encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _finished(root: Path, base: str, fingerprint: str) -> Preparation | None:
    """Return the last preparation when it has the same fingerprint and all its results are still there."""
    last = _read_preparation(root, base)
    if last is None or last.fingerprint != fingerprint:
        return None
    if any(reason in last.drops for reason in VANISHED):
        return None
    if not all((root / path).exists() for path in (SUMMARY_PAGE, *_table_paths())):
        return None
    # Another run may have begun to make other crops before it was stopped.
    journal = root / CROP_JOURNAL
    if not journal.exists() or last.crops != _digest(journal.read_bytes()):
        return None
    expected = {result.crop for result in crop_files.read_journal(journal).values() if not result.reason}
    return last if expected <= crop_files.existing_crops(root) else None


def _read_preparation(root: Path, base: str) -> Preparation | None:
    try:
        content: dict[str, Any] = read_json(root / SUMMARY)
        content["settings"] = Settings(**content["settings"])
        return Preparation(**content, crops_made=0, link=link_text(root, base))
    except (InputError, KeyError, TypeError):
        # Missing, damaged, or written by another version.
        return None


def _crop(
    rows: pl.DataFrame, root: Path, margin: float, workers: int, scheduler: str | None
) -> tuple[pl.DataFrame, list[crop_files.CropResult], int]:
    """Return the rows that have a crop, with their measured columns, all results, and how many crops were made."""
    tasks = [
        crop_files.task_for(path, stamp, name, person, (left, top, right, bottom), margin)
        for path, stamp, name, person, left, top, right, bottom in rows.select(
            "path", "stamp", "name", "person", *BOX_COLUMNS
        ).iter_rows()
    ]
    results, made = crop_files.make_crops(root, tasks, margin=margin, workers=workers, scheduler=scheduler)
    measured = pl.DataFrame(
        {
            "crop": [result.crop for result in results],
            "drop": [result.reason for result in results],
            "minX": [float(result.min_x) for result in results],
            "minY": [float(result.min_y) for result in results],
            "maxX": [float(result.max_x) for result in results],
            "maxY": [float(result.max_y) for result in results],
            "width": [result.width for result in results],
            "height": [result.height for result in results],
            "orientation": [result.orientation for result in results],
        },
        schema_overrides={"crop": pl.String, "drop": pl.String},
    )
    kept = rows.with_columns(measured.get_columns()).filter(pl.col("drop") == "")
    return kept, results, made


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


def write_view(root: Path, scheme: Scheme) -> dict[str, int]:
    """Write the tables of one of the user's own schemes, a view of the split that ``prepare`` made.

    Return the photographs in each split. Raises InputError when there is no such split or no class has AI Hub's labels.
    """
    if not scheme.from_korean:
        raise InputError(f"scheme {scheme.name}: no class has AI Hub's labels; add aihub = [...] to the classes")
    counts = {}
    for folder in (SPLITS_CSV, CROPS_CSV):
        for split in splits.SPLITS:
            rows = read_csv(root / folder / f"{split}_{K7.name}.csv").with_columns(label="orig_kor")
            table = _view(rows, scheme).drop("label")
            write_csv(table, root / folder / f"{split}_{scheme.name}.csv")
            counts[split] = table.height
            present = {scheme.from_korean[word] for word in table["orig_kor"].unique()}
            absent = [label for label in scheme.classes if label not in present]
            if absent and folder == SPLITS_CSV:
                log.warning("%s/%s_%s.csv: has no photograph of %s", folder, split, scheme.name, ", ".join(absent))
    return counts


def _warn_of_old_views(root: Path) -> None:
    """Warn of tables of the user's own schemes, which show an earlier split."""
    folder = root / SPLITS_CSV
    own = {path.name for path in folder.glob("*_*.csv")} - {Path(path).name for path in _table_paths()}
    if own:
        log.warning("%s: %s show an earlier split; prepare them again too (--scheme)", folder, ", ".join(sorted(own)))
