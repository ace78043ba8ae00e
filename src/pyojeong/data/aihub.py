"""AI Hub data set 82, read where it lies: archives, unpacked folders or a mixture become one row per photograph.

Nothing is unpacked and nothing disappears: every record and every photograph ends in the table or under one of
``DROPS``. What a file is follows from its content, not from the names of the archives: ``.json`` holds records,
``.jpg``, ``.jpeg`` and ``.png`` are photographs, and the two meet by file name.
"""

import json
import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pyojeong.core.errors import InputError
from pyojeong.core.images import BROKEN_MEMBER, member_name, plain_hangul
from pyojeong.core.progress import track
from pyojeong.data.records import SCHEMA, clean_text, read_records

DROPS = {
    "record_without_image": "a label record whose photograph is not in SOURCE",
    "image_without_record": "a photograph that no label record names",
    "duplicate_record": "a second record of the same file name; the first one counts",
    "duplicate_image": "a second photograph of the same file name; the first one counts",
    "malformed_record": "a record that is no object, or has no file name",
    "no_person": "a file name that does not begin with the 64-digit hash of the person",
    "no_majority": "fewer than two annotators agree",
    "not_unanimous": "policy unanimous: the three annotators do not all agree",
    "unknown_label": "the label in force is 알수없음 or not one of the seven emotions",
    "no_box": "no annotator gives four numbers as a face box",
    "zero_area_box": "all face boxes have a width or height of zero",
    "unsafe_name": "an archive member whose name is absolute or climbs with ..",
    "undecodable_name": "a file name in no known encoding",
    "symbolic_link": "a link inside SOURCE (links directly in SOURCE are followed)",
    "unfinished_download": "a file that a downloader has not finished",
    "unreadable_archive": "an archive that is truncated or no zip, or a link to nowhere (only with --skip-unreadable)",
    "other_archive": "an archive of another kind than zip, or one inside another: unpack it once",
    "unreadable_json": "a JSON file that cannot be read (only with --skip-unreadable)",
    "other_json": "a JSON file that holds no label records",
}
"""Why something in SOURCE is not in the table: reason -> meaning."""

SAMPLE_MARKER = "SAMPLE.json"
"""Lies directly in SOURCE when its faces are drawn."""

_IMAGES = (".jpg", ".jpeg", ".png")
_PHOTOGRAPH = ("name", "path", "stamp")
_OTHER_ARCHIVE = re.compile(r"\.(tar|tgz|gz|bz2|xz|7z|rar|alz|egg|z\d\d|zip\.\d+)$", re.IGNORECASE)
_UNFINISHED = re.compile(r"\.(part\d*|partial|crdownload|download|tmp)$", re.IGNORECASE)
_MAX_JSON = 1 << 29
_BATCH = 5000
_UNREADABLE = (*BROKEN_MEMBER, RuntimeError)
_JSON = json.JSONDecoder()
_JSON_FLOATS = json.JSONDecoder(parse_int=float)
_JSON_SPACE = " \t\n\r"
_SPACE = re.compile(f"[{_JSON_SPACE}]*")


class File(NamedTuple):
    """A file below SOURCE: its path there (forward slashes), size in bytes and time of change in nanoseconds."""

    path: str
    size: int
    changed: int


class Survey(NamedTuple):
    """What lies below SOURCE, in the order of the paths, and what was passed over."""

    source: Path
    files: list[File]
    drops: Counter[str]


class Index(NamedTuple):
    """The table of usable photographs and the account of all others.

    Attributes:
        rows: one row per photograph, sorted by path: ``path`` (below the root, ``archive.zip!/member``),
            ``stamp`` (changes when the photograph does), ``name`` (the file name in one spelling), ``label``
            (Korean), ``minX minY maxX maxY`` (pixels of the upright image, not yet checked against its size),
            ``person`` (64 hex digits), ``gender``, ``age``, ``profession``, ``place``, ``uploader`` (the
            uploader's own label), ``agreement`` (annotators who chose ``label``), ``votes_<label>``, ``official``
            (``training`` or ``validation``).
        records: label records read.
        images: photographs found.
        drops: count per reason of ``DROPS``.
        unreadable: the archives and label files that were passed over: path below the root, and why in brackets.
    """

    rows: pl.DataFrame
    records: int
    images: int
    drops: Counter[str]
    unreadable: list[str]


class _Found(NamedTuple):
    images: list[pl.DataFrame]
    records: list[pl.DataFrame]
    unreadable: list[str]
    others: list[str]


def survey(source: Path) -> Survey:
    """List the files below ``source``, without opening any.

    Raises InputError when it is no folder, or a synthetic sample lies in a folder below.
    """
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; SOURCE is the folder that holds AI Hub's archives")
    drops: Counter[str] = Counter()
    files = sorted(_walk(source, drops))
    return Survey(source, files, drops)


def index(found: Survey, base: str, *, policy: str = "majority", skip_unreadable: bool = False) -> Index:
    """Match records with photographs and choose label and box of each.

    Args:
        found: the files of SOURCE.
        base: path of SOURCE below the project root, with forward slashes.
        policy: a key of ``records.POLICIES``.
        skip_unreadable: count archives and label files that cannot be read instead of raising.

    Raises:
        InputError: an archive or label file is unreadable, or there is no record or no photograph at all.
    """
    drops = Counter(found.drops)
    parts = _Found([], [], [], [])
    for file in track(found.files, "reading the archives' tables"):
        _read(found.source, file.path, base, policy, parts, drops)
    if parts.unreadable and not skip_unreadable:
        problems = _some([f"{found.source}/{problem}" for problem in parts.unreadable])
        raise InputError(
            f"{problems}: not readable, probably a download that stopped. Download it again, or go on without it with "
            "--skip-unreadable"
        )
    if not parts.records:
        raise InputError(f"{found.source}: no label records (a .json inside the [라벨] archives) were found")
    if not any(part.height for part in parts.images):
        raise InputError(f"{found.source}: no photographs (.jpg inside the [원천] archives) were found")
    unreadable = [f"{base}/{problem}" if base else problem for problem in parts.unreadable + parts.others]
    return _match(pl.concat(parts.records), pl.concat(parts.images), drops)._replace(unreadable=unreadable)


def _some(problems: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(problems) - most} more" if len(problems) > most else ""
    return "; ".join(problems[:most]) + rest


def _walk(source: Path, drops: Counter[str]) -> Iterator[File]:
    folders = [""]
    while folders:
        below = folders.pop()
        for entry in os.scandir(source / below):
            path = f"{below}/{entry.name}" if below else entry.name
            if below and entry.is_symlink():
                drops["symbolic_link"] += 1
            elif entry.is_dir():
                folders.append(path)
            elif not _is_text(path):
                drops["undecodable_name"] += 1
            elif below and entry.name == SAMPLE_MARKER:
                raise InputError(
                    f"{source / path}: {source} holds a synthetic sample beside other data; name the folder "
                    "of the real photographs, or the sample's"
                )
            elif entry.name.startswith(".") or path == SAMPLE_MARKER:
                continue
            elif _UNFINISHED.search(entry.name):
                # Its size would make every look at a download that goes on a change of SOURCE.
                yield File(path, 0, 0)
            elif entry.is_file():
                status = entry.stat()
                yield File(path, status.st_size, status.st_mtime_ns)
            elif entry.is_symlink():
                # To a disk that is not there; index names it.
                yield File(path, 0, 0)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(source: Path, path: str, base: str, policy: str, parts: _Found, drops: Counter[str]) -> None:
    kind = _kind(path)
    file = source / path
    if file.is_symlink() and not file.exists():
        parts.unreadable.append(f"{path} (links to {file.readlink()}, which is not there)")
        drops["unreadable_archive"] += 1
        return
    where = f"{base}/{path}" if base else path
    try:
        if kind == ".zip":
            _read_archive(file, path, where, policy, parts, drops)
        elif kind == ".json":
            _take_records(file.read_bytes, file.stat().st_size, path, policy, parts, drops)
        elif kind in _IMAGES:
            status = file.stat()
            stamp = f"{status.st_size}-{status.st_mtime_ns}"
            parts.images.append(_photographs([_key(plain_hangul(_last(path)))], [where], [stamp]))
        elif _OTHER_ARCHIVE.search(path):
            _pass_over(path, "other_archive", parts, drops)
        elif _UNFINISHED.search(path):
            _pass_over(path, "unfinished_download", parts, drops)
    except _UNREADABLE as error:
        parts.unreadable.append(f"{path} ({error})")
        drops["unreadable_archive"] += 1


def _read_archive(file: Path, path: str, where: str, policy: str, parts: _Found, drops: Counter[str]) -> None:
    names, paths, stamps = [], [], []
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = member_name(info)
            last = _last(name)
            kind = _kind(last)
            if info.is_dir() or last.startswith("."):
                continue
            if kind == ".zip" or _OTHER_ARCHIVE.search(last):
                _pass_over(f"{path}!/{name}", "other_archive", parts, drops)
            elif kind not in (*_IMAGES, ".json"):
                continue
            elif not _is_safe(name):
                drops["unsafe_name"] += 1
            elif stat.S_ISLNK(info.external_attr >> 16):
                drops["symbolic_link"] += 1
            elif kind == ".json":
                read = partial(archive.read, info)
                _take_records(read, info.file_size, f"{path}!/{name}", policy, parts, drops)
            else:
                names.append(_key(last))
                paths.append(f"{where}!/{name}")
                stamps.append(f"{info.file_size}-{info.CRC:08x}")
    parts.images.append(_photographs(names, paths, stamps))


def _pass_over(path: str, reason: str, parts: _Found, drops: Counter[str]) -> None:
    parts.others.append(f"{path} ({DROPS[reason]})")
    drops[reason] += 1


def _photographs(names: list[str], paths: list[str], stamps: list[str]) -> pl.DataFrame:
    # Half a million strings of Python take three times the memory of a column.
    return pl.DataFrame({"name": names, "path": paths, "stamp": stamps}, schema=dict.fromkeys(_PHOTOGRAPH, pl.String))


def _is_safe(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return parts[0] != "" and ".." not in parts and parts[0][1:2] != ":"


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _kind(name: str) -> str:
    _, dot, ending = name.rpartition(".")
    return f"{dot}{ending}".lower()


def _take_records(
    read: Callable[[], bytes], size: int, path: str, policy: str, parts: _Found, drops: Counter[str]
) -> None:
    words = path.lower()
    # The last word counts: above AI Hub's folders there may be one of the owner's, such as "validated".
    official = "validation" if words.rfind("valid") > words.rfind("train") else "training"
    try:
        if size > _MAX_JSON:
            raise ValueError("larger than half a GiB")
        found, malformed = _named_records(parse_items(read()), policy, official)
    except (*_UNREADABLE, RecursionError) as error:
        parts.unreadable.append(f"{path} ({error})")
        drops["unreadable_json"] += 1
        return
    if not found:
        drops["other_json"] += 1
        return
    parts.records.extend(found)
    _count(drops, malformed_record=malformed)


def _named_records(items: Iterator[Any], policy: str, official: str) -> tuple[list[pl.DataFrame], int]:
    """Return the records that have a file name, and the number of items that have none.

    Batch by batch, because a file of nothing but zeros would take 300 times its size as rows.
    """
    found, malformed = [], 0
    while batch := [*islice(items, _BATCH)]:
        rows = read_records(batch, _key, policy, official)
        named = rows.filter(pl.col("name").is_not_null())
        malformed += rows.height - named.height
        if named.height:
            found.append(named)
    return found, malformed


def parse_items(data: bytes) -> Iterator[Any]:
    """Yield the items of a JSON list in UTF-8 (with or without BOM), CP949 or EUC-KR; of anything else, nothing.

    One by one, because a label file of 60 MB makes objects of half a GB.

    Raises ValueError for other encodings and for broken JSON, RecursionError for absurd nesting.
    """
    text = _decoded(data).strip(_JSON_SPACE)
    if not text.startswith("["):
        json.loads(text)
        return
    at, sign = _past_space(text, 1), ","
    if text[at : at + 1] == "]":
        at, sign = at + 1, "]"
    while sign == ",":
        item, at = _item(text, at)
        yield item
        at = _past_space(text, at)
        sign = text[at : at + 1]
        at = _past_space(text, at + 1)
    if sign != "]" or at < len(text):
        raise ValueError(f"no comma or bracket at character {at}")


def _decoded(data: bytes) -> str:
    for encoding in ("utf-8-sig", "cp949"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ValueError("neither UTF-8 nor CP949")


def _item(text: str, at: int) -> tuple[Any, int]:
    try:
        return _JSON.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # Python refuses integers of more than 4,300 digits; as a float such a number is infinite, and its
        # record alone is lost.
        return _JSON_FLOATS.raw_decode(text, at)


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _key(name: str) -> str:
    # One unpacking tool wrote _ for &; some systems decompose Hangul.
    return clean_text(_last(name)).replace("&", "_")


def _match(records: pl.DataFrame, images: pl.DataFrame, drops: Counter[str]) -> Index:
    unique = images.unique("name", keep="first", maintain_order=True)
    first = records.unique("name", keep="first", maintain_order=True)
    joined = first.join(unique, on="name", how="inner")
    _count(
        drops,
        duplicate_image=images.height - unique.height,
        duplicate_record=records.height - first.height,
        record_without_image=first.height - joined.height,
        image_without_record=unique.height - joined.height,
    )
    _count(drops, **_reasons(joined))
    rows = joined.filter(pl.col("reason").is_null()).drop("reason").sort("path")
    columns = ["path", "stamp", *(name for name in SCHEMA if name != "reason")]
    return Index(rows.select(columns), records.height + drops["malformed_record"], images.height, drops, [])


def _reasons(joined: pl.DataFrame) -> dict[str, int]:
    counted = joined["reason"].drop_nulls().value_counts()
    return dict(counted.iter_rows())


def _count(drops: Counter[str], **counts: int) -> None:
    for reason, count in counts.items():
        if count:
            drops[reason] += count
