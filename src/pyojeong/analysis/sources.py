"""Find the pictures and films that a user means: files, folders, patterns, archives and cameras."""

import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import Literal

from pyojeong.core.images import member_name, split_path

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
PICTURES = {*JPEG, ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".j2k", ".jpx"}
"""Endings that are looked for in folders and archives; a file that is named may have any ending."""

_MPEG = (".mp4", ".m4v", ".mov", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".vob", ".3gp", ".3g2", ".h264", ".h265")
FILMS = {*_MPEG, ".mkv", ".webm", ".avi", ".wmv", ".flv", ".ogv", ".mxf"}

CAMERA = re.compile(r"camera:(\d+)")

Kind = Literal["photograph", "film", "camera", "unusable"]


@dataclass(frozen=True)
class Source:
    """One picture, film or camera.

    Attributes:
        path: a file, ``archive.zip!/member`` or ``camera:N``.
        kind: what it is, judged by its name; unusable where ``reason`` is set.
        place: path below the folder of annotated copies, with forward slashes and the source's own ending.
        reason: why it cannot be used, a key of ``problems.PROBLEMS``; empty otherwise.
    """

    path: str
    kind: Kind
    place: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """The path as text that every file can hold; bytes that are no valid text become escapes."""
        return self.path.encode(errors="backslashreplace").decode()


def find_sources(words: Iterable[str | os.PathLike[str]], leave_out: Path | None = None) -> list[Source]:
    """Return what the words of a user name, each once, in the order of the words.

    Args:
        words: each a picture or film, a folder (searched with all folders in it, also through symbolic links), a
            pattern such as ``"2024/**/*.jpg"``, a ZIP archive, ``archive.zip!/member`` or ``camera:N``. The contents
            of folders, archives and patterns come in natural order (2.jpg before 10.jpg). Hidden files are left out.
        leave_out: a folder that is not searched.

    Returns:
        The sources. What a word names in vain becomes a source with a reason.
    """
    found: dict[str, Source] = {}
    places: set[str] = set()
    beyond = leave_out.resolve() if leave_out else None
    for word in words:
        for source in _named(os.fspath(word), beyond):
            if source.path not in found:
                found[source.path] = replace(source, place=_free(source.place, places))
    return [*found.values()]


def _free(place: str, places: set[str]) -> str:
    """Return the place, or one with a number where another source has it, and take it."""
    path, number = PurePosixPath(place), 2
    while place and place.casefold() in places:
        place = str(path.with_name(f"{path.stem}_{number}{path.suffix}"))
        number += 1
    places.add(place.casefold())
    return place


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key by which numbers in names count as numbers; decomposed Hangul sorts as composed."""
    parts = re.findall(r"\d+|\D+", unicodedata.normalize("NFC", name).casefold())
    # isdecimal, because int() refuses digits such as a superscript two, which \d does not match either.
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def _named(word: str, beyond: Path | None) -> Iterator[Source]:
    path = Path(word)
    if CAMERA.fullmatch(word):
        yield Source(word, "camera", word.replace(":", "_"))
    elif split_path(word)[1] is not None:
        archive, member = split_path(word)
        yield Source(word, _kind_of(word), f"{Path(archive).stem}/{_inside(str(member))}")
    elif os.path.lexists(word):
        yield from _existing(path, beyond)
    elif has_magic(word):
        matches = sorted(glob(word, recursive=True), key=natural_key)  # noqa: PTH207 - patterns may be absolute
        files = [match for match in matches if _is_wanted(match)]
        if not files:
            yield Source(word, "unusable", reason="no_match")
        for match in files:
            yield from _existing(Path(match), beyond)
    else:
        yield Source(word, "unusable", reason="missing")


def _is_wanted(match: str) -> bool:
    # "**" also matches the folders on the way, whose files match by themselves.
    return not Path(match).is_dir()


def _existing(path: Path, beyond: Path | None) -> Iterator[Source]:
    if path.is_dir():
        yield from _or_reason(path, _in_folder(path, beyond), "no_pictures")
    elif path.suffix.lower() == ".zip":
        yield from _or_reason(path, _in_archive(path), "no_pictures")
    elif not path.exists():
        yield Source(str(path), "unusable", reason="missing")
    else:
        yield Source(str(path), _kind_of(path.name), path.name)


def _or_reason(path: Path, sources: Iterator[Source], reason: str) -> Iterator[Source]:
    first = next(sources, None)
    yield first or Source(str(path), "unusable", reason=reason)
    yield from sources


def _in_folder(root: Path, beyond: Path | None) -> Iterator[Source]:
    """Walk through a folder depth first, without recursion; no folder is entered twice."""
    seen: set[tuple[int, int]] = set()
    top = root.resolve().name or "root"
    waiting = [root]
    while waiting:
        here = waiting.pop()
        try:
            if _is_seen(here, seen) or (beyond and here.resolve() == beyond):
                continue
            with os.scandir(here) as listing:
                entries = sorted((entry for entry in listing if not _is_hidden(entry.name)), key=_entry_key)
        except OSError:
            yield Source(str(here), "unusable", reason="unreadable_folder")
            continue
        folders = []
        for entry in entries:
            path = Path(entry.path)
            if _is_folder(entry):
                folders.append(path)
            elif (suffix := path.suffix.lower()) in PICTURES or suffix in FILMS:
                place = PurePosixPath(top, *path.relative_to(root).parts)
                yield Source(str(path), _kind_of(entry.name), str(place))
        waiting.extend(reversed(folders))


def _entry_key(entry: os.DirEntry[str]) -> tuple[tuple[int, int, str], ...]:
    return natural_key(entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A symbolic link that leads to itself.
        return False


def _is_seen(folder: Path, seen: set[tuple[int, int]]) -> bool:
    status = folder.stat()
    key = status.st_dev, status.st_ino
    # Some network file systems number nothing.
    known = key in seen and status.st_ino != 0
    seen.add(key)
    return known or not stat.S_ISDIR(status.st_mode)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _in_archive(path: Path) -> Iterator[Source]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [member_name(info) for info in archive.infolist() if not info.is_dir()]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        yield Source(str(path), "unusable", reason="unreadable_archive")
        return
    for name in sorted(names, key=natural_key):
        inside = PurePosixPath(name)
        wanted = inside.suffix.lower() in PICTURES or inside.suffix.lower() in FILMS
        if wanted and not any(map(_is_hidden, inside.parts)):
            yield Source(f"{path}!/{name}", _kind_of(name), f"{path.stem}/{_inside(name)}")


def _inside(member: str) -> str:
    """Return an archive member's name as a path that stays below its folder."""
    parts = re.split(r"[/\\]", member)
    return "/".join(part.replace(":", "_") for part in parts if part not in ("", ".", ".."))


def _kind_of(name: str) -> Kind:
    return "film" if PurePosixPath(name).suffix.lower() in FILMS else "photograph"
