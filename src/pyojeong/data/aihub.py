"""Reads AI Hub data set 82 in place, from archives, unpacked folders or both, into one row per photograph.

Nothing is unpacked. Every record and every photograph becomes a row of the table or is counted under a reason in
``DROPS``. File endings decide, not archive names: ``.json`` and ``.jsonl`` files hold records, ``.jpg``, ``.jpeg`` and
``.png`` files are photographs, and the two are matched by file name.
"""

import logging
import os
import re
import shlex
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pyojeong.core.errors import InputError, counted
from pyojeong.core.images import BROKEN_MEMBER, member_name, plain_hangul
from pyojeong.core.labels import KOREAN, UNKNOWN
from pyojeong.core.progress import track
from pyojeong.core.workspace import SAMPLE_MARKER
from pyojeong.data.label_json import described, parse_items
from pyojeong.data.records import SCHEMA, clean_text, read_records
from pyojeong.data.source import check_source, is_text

log = logging.getLogger(__name__)

DROPS = {
    "record_without_image": "a label record whose photograph is not in SOURCE",
    "image_without_record": "a photograph that no label record names",
    "duplicate_record": "a second record with the same file name (the first is used)",
    "duplicate_image": "a second photograph with the same file name (the first is used)",
    "malformed_record": "a record that is not a JSON object or has no file name",
    "no_person": "a file name that does not begin with the 64-digit hash of the person",
    "no_majority": "fewer than two annotators agree",
    "not_unanimous": "policy unanimous: the three annotators do not all agree",
    "unknown_label": "the label is 알수없음 or not one of the seven emotions",
    "no_box": "no annotator gives four numbers as a face box",
    "zero_area_box": "all face boxes have a width or height of zero",
    "unsafe_name": "an archive member whose name is an absolute path or contains ..",
    "undecodable_name": "a file name in an unknown encoding",
    "symbolic_link": "a link inside SOURCE (links directly in SOURCE are followed)",
    "unfinished_download": "an unfinished download, or a part of an archive: finish it, or join the parts",
    "unreadable_archive": "an archive that is truncated or not a zip, or a broken link (only with --skip-unreadable)",
    "other_archive": "an archive that is not a zip, or lies inside another archive: unpack it first",
    "unreadable_json": "a JSON file that cannot be read (only with --skip-unreadable)",
    "other_json": "a JSON file without label records",
}
"""Why something in SOURCE is not in the table: reason -> meaning."""

_IMAGES = (".jpg", ".jpeg", ".png")
_LABELS = (".json", ".jsonl")
_PHOTOGRAPHS = dict.fromkeys(("name", "path", "stamp"), pl.String)
_OTHER_ARCHIVE = re.compile(r"\.(tar|tgz|gz|bz2|xz|7z|rar|alz|egg|z\d\d|zip\.\d+)$", re.IGNORECASE)
_UNFINISHED = re.compile(r"\.(part\d*|partial|crdownload|download|tmp)$", re.IGNORECASE)
_PART = re.compile(r"(.+\.zip)\.part\d+", re.IGNORECASE)
_MAX_JSON_BYTES = 1 << 29
_RECORDS_AT_ONCE = 5000
_UNREADABLE = (*BROKEN_MEMBER, RuntimeError)


class File(NamedTuple):
    """A file below SOURCE: relative path (forward slashes), size in bytes, modification time in nanoseconds."""

    path: str
    size: int
    modified: int


class Survey(NamedTuple):
    """The files below SOURCE, sorted by path, and counts of what was skipped."""

    source: Path
    files: list[File]
    drops: Counter[str]


class Index(NamedTuple):
    """The table of usable photographs, and counts of everything else.

    Attributes:
        rows: one row per photograph, sorted by path: ``path`` (below the root, ``archive.zip!/member``),
            ``stamp`` (changes when the photograph does), ``name`` (the normalized file name), ``label``
            (Korean), ``minX minY maxX maxY`` (pixels of the upright image, not yet checked against its size),
            ``person`` (64 hex digits), ``gender``, ``age``, ``profession``, ``place``, ``uploader`` (the
            uploader's own label), ``agreement`` (annotators who chose ``label``), ``votes_<label>``, ``official``
            (``training`` or ``validation``).
        records: number of label records read.
        images: number of photographs found.
        drops: count per reason of ``DROPS``.
        unreadable: archives and label files that were skipped, as "path below the root (reason)".
    """

    rows: pl.DataFrame
    records: int
    images: int
    drops: Counter[str]
    unreadable: list[str]


class _Contents(NamedTuple):
    """What has been read so far; ``_read`` and its helpers add to it."""

    images: list[pl.DataFrame]
    records: list[pl.DataFrame]
    unreadable: list[str]
    skipped: list[str]
    other_json: list[str]
    drops: Counter[str]


def survey(source: Path) -> Survey:
    """List the files below ``source`` without opening them.

    Raises InputError when ``source`` is not a folder or has a synthetic sample in one of its subfolders.
    """
    check_source(source)
    drops: Counter[str] = Counter()
    files = sorted(_walk(source, drops))
    return Survey(source, files, drops)


def index(listing: Survey, base: str, *, policy: str = "majority", skip_unreadable: bool = False) -> Index:
    """Match records with photographs and choose the label and box of each photograph.

    Args:
        listing: the files of SOURCE.
        base: path of SOURCE below the project root, with forward slashes.
        policy: a key of ``records.POLICIES``.
        skip_unreadable: count archives and label files that cannot be read instead of raising.

    Raises:
        InputError: an archive or label file is unreadable, or there are no records or no photographs at all.
    """
    source = listing.source
    contents = _Contents([], [], [], [], [], Counter(listing.drops))
    for file in track(listing.files, "reading archive indexes and labels"):
        _read(source, file.path, base, policy, contents)
    if contents.unreadable and not skip_unreadable:
        problems = _first_few([f"{source}/{problem}" for problem in contents.unreadable])
        raise InputError(
            f"{problems}: cannot be read, probably because the download is incomplete. Download it again, or continue "
            "without it with --skip-unreadable"
        )
    if not contents.records:
        seen = f"; {contents.other_json[0]}" if contents.other_json else ""
        hint = f"{seen}{_parts_remedy(source, listing.files)}"
        raise InputError(f"{source}: no label records (a .json inside the [라벨] archives) are there{hint}")
    if not any(frame.height for frame in contents.images):
        hint = _parts_remedy(source, listing.files)
        raise InputError(f"{source}: no photographs (.jpg inside the [원천] archives) are there{hint}")
    skipped = contents.unreadable + contents.skipped
    matched = _match(pl.concat(contents.records), pl.concat(contents.images), contents.drops)
    return matched._replace(unreadable=[f"{base}/{problem}" if base else problem for problem in skipped])


def _parts_remedy(source: Path, files: Sequence[File]) -> str:
    """Say how to join the parts of archives that AI Hub's downloader left; empty where there are none."""
    parts = [found for file in files if (found := _PART.fullmatch(file.path))]
    if not parts:
        return ""
    first, name = source / parts[0][0], shlex.quote(str(source / parts[0][1]))
    return (
        f"; found {counted(len(parts), 'part')} of archives (first {first}). Finish the download, join the parts "
        f"of each in the order of their numbers (ls -v {name}.part* | xargs -d '\\n' cat > {name}) and delete them"
    )


def _first_few(problems: Sequence[str], limit: int = 5) -> str:
    rest = f" and {len(problems) - limit} more" if len(problems) > limit else ""
    return "; ".join(problems[:limit]) + rest


def _walk(source: Path, drops: Counter[str]) -> Iterator[File]:
    folders = [""]
    while folders:
        folder = folders.pop()
        for entry in os.scandir(source / folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if folder and entry.is_symlink():
                drops["symbolic_link"] += 1
            elif entry.is_dir():
                folders.append(path)
            elif not is_text(path):
                drops["undecodable_name"] += 1
            elif folder and entry.name == SAMPLE_MARKER:
                raise InputError(
                    f"{source / path}: {source} holds a synthetic sample next to other data; name the folder "
                    "of the real photographs, or the folder of the sample"
                )
            elif entry.name.startswith(".") or path == SAMPLE_MARKER:
                continue
            elif _UNFINISHED.search(entry.name):
                # Size 0: otherwise SOURCE would seem changed on every run while the download continues.
                yield File(path, 0, 0)
            elif entry.is_file():
                status = entry.stat()
                yield File(path, status.st_size, status.st_mtime_ns)
            elif entry.is_symlink():
                # A broken link; ``index`` reports it.
                yield File(path, 0, 0)


def _read(source: Path, path: str, base: str, policy: str, contents: _Contents) -> None:
    kind = _kind(path)
    file = source / path
    if file.is_symlink() and not file.exists():
        contents.unreadable.append(f"{path} (links to {file.readlink()}, which does not exist)")
        contents.drops["unreadable_archive"] += 1
        return
    path_from_root = f"{base}/{path}" if base else path
    try:
        if kind == ".zip":
            _read_archive(file, path, path_from_root, policy, contents)
        elif kind in _LABELS:
            _add_records(file.read_bytes, file.stat().st_size, path, policy, contents)
        elif kind in _IMAGES:
            status = file.stat()
            stamp = f"{status.st_size}-{status.st_mtime_ns}"
            key = _key(plain_hangul(_last_part(path)))
            contents.images.append(_photographs([key], [path_from_root], [stamp]))
        elif _OTHER_ARCHIVE.search(path):
            _skip(path, "other_archive", contents)
        elif _UNFINISHED.search(path):
            _skip(path, "unfinished_download", contents)
    except _UNREADABLE as error:
        contents.unreadable.append(f"{path} ({error})")
        contents.drops["unreadable_archive"] += 1


def _read_archive(file: Path, path: str, path_from_root: str, policy: str, contents: _Contents) -> None:
    names, paths, stamps = [], [], []
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = member_name(info)
            file_name = _last_part(name)
            kind = _kind(file_name)
            if info.is_dir() or file_name.startswith("."):
                continue
            if kind == ".zip" or _OTHER_ARCHIVE.search(file_name):
                _skip(f"{path}!/{name}", "other_archive", contents)
            elif kind not in (*_IMAGES, *_LABELS):
                continue
            elif not _is_safe(name):
                contents.drops["unsafe_name"] += 1
            elif stat.S_ISLNK(info.external_attr >> 16):
                contents.drops["symbolic_link"] += 1
            elif kind in _LABELS:
                read = partial(archive.read, info)
                _add_records(read, info.file_size, f"{path}!/{name}", policy, contents)
            else:
                names.append(_key(file_name))
                paths.append(f"{path_from_root}!/{name}")
                stamps.append(f"{info.file_size}-{info.CRC:08x}")
    contents.images.append(_photographs(names, paths, stamps))


def _skip(path: str, reason: str, contents: _Contents) -> None:
    contents.skipped.append(f"{path} ({DROPS[reason]})")
    contents.drops[reason] += 1


def _photographs(names: list[str], paths: list[str], stamps: list[str]) -> pl.DataFrame:
    # Half a million Python strings take three times the memory of a column.
    return pl.DataFrame({"name": names, "path": paths, "stamp": stamps}, schema=_PHOTOGRAPHS)


def _is_safe(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return parts[0] != "" and ".." not in parts and parts[0][1:2] != ":"


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _kind(name: str) -> str:
    _, dot, ending = name.rpartition(".")
    return f"{dot}{ending}".lower()


def _add_records(read: Callable[[], bytes], size: int, path: str, policy: str, contents: _Contents) -> None:
    lower_path = path.lower()
    # The last occurrence decides: a parent folder of the user's own may be called "validated".
    official = "validation" if lower_path.rfind("valid") > lower_path.rfind("train") else "training"
    try:
        if size > _MAX_JSON_BYTES:
            raise ValueError("larger than half a GiB")
        frames, malformed = _named_records(parse_items(read()), policy, official)
    except (*_UNREADABLE, RecursionError) as error:
        contents.unreadable.append(f"{path} ({error})")
        contents.drops["unreadable_json"] += 1
        return
    if not frames:
        contents.drops["other_json"] += 1
        if not contents.other_json:
            contents.other_json.append(f"{path} holds {described(read())}")
        return
    contents.records.extend(frames)
    _count(contents.drops, malformed_record=malformed)


def _named_records(items: Iterator[Any], policy: str, official: str) -> tuple[list[pl.DataFrame], int]:
    """Return the records that have a file name, and the number of items without one.

    Works in batches, because a file of nothing but zeros would take 300 times its size as rows.
    """
    frames, malformed = [], 0
    while batch := [*islice(items, _RECORDS_AT_ONCE)]:
        rows = read_records(batch, _key, policy, official)
        named = rows.filter(pl.col("name").is_not_null())
        malformed += rows.height - named.height
        if named.height:
            frames.append(named)
    return frames, malformed


def _key(name: str) -> str:
    # One unpacking tool wrote _ for &, some systems decompose Hangul, and some write endings in capitals.
    stem, dot, ending = clean_text(_last_part(name)).replace("&", "_").rpartition(".")
    return f"{stem}{dot}{ending.lower()}"


def _match(records: pl.DataFrame, images: pl.DataFrame, drops: Counter[str]) -> Index:
    unique_images = images.unique("name", keep="first", maintain_order=True)
    unique_records = records.unique("name", keep="first", maintain_order=True)
    joined = unique_records.join(unique_images, on="name", how="inner")
    _count(
        drops,
        duplicate_image=images.height - unique_images.height,
        duplicate_record=records.height - unique_records.height,
        record_without_image=unique_records.height - joined.height,
        image_without_record=unique_images.height - joined.height,
    )
    _count(drops, **dict(joined["reason"].drop_nulls().value_counts().iter_rows()))
    _tell_unknown_labels(joined.filter(pl.col("reason") == "unknown_label")["label"])
    rows = joined.filter(pl.col("reason").is_null()).drop("reason").sort("path")
    columns = ["path", "stamp", *(name for name in SCHEMA if name != "reason")]
    return Index(rows.select(columns), records.height + drops["malformed_record"], images.height, drops, [])


def _tell_unknown_labels(labels: pl.Series) -> None:
    """Log the words that are none of the labels; to say that one cannot tell is ordinary."""
    words = labels.filter(labels.is_in(["", UNKNOWN]).not_()).value_counts(sort=True)
    if not words.is_empty():
        first = ", ".join(f"{word!r} ({count:,})" for word, count in words.head(5).iter_rows())
        log.warning(
            "%s left out: the label is none of %s: %s",
            counted(int(words["count"].sum()), "photograph"),
            ", ".join(KOREAN),
            first,
        )


def _count(drops: Counter[str], **counts: int) -> None:
    for reason, count in counts.items():
        if count:
            drops[reason] += count
