"""Which photographs lie in folders named after their classes, of which class and person, and what else is there."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pyojeong.core.errors import InputError, counted
from pyojeong.core.files import is_reserved
from pyojeong.core.images import PROBLEMS, plain_hangul
from pyojeong.core.labels import Scheme
from pyojeong.data.source import is_text

DROPS = {
    "no_face": "the detector finds no face",
    "two_classes": "the same file is in several classes",
    "repeated": "the same file is in its class under another name, which is used",
    "no_class": "not in the folder of a class",
    "other_file": "not an image by the ending of its name",
    "reserved_name": "a name that Windows reserves for a device, such as NUL.jpg",
    "undecodable_name": "a file name in an unknown encoding",
    "empty_folder": "a folder of a class without photographs",
    "system_folder": "in a folder of the system, such as .thumbnails or @eaDir",
    "archive": "an archive; unpack it into the folder of its class",
    "unfinished_download": "an unfinished download; download it again",
    "linked_folder": "a link to a folder, which is not followed; copy the folder",
    **PROBLEMS,
}
"""Why a file is in no table: reason -> meaning."""

PASSED_OVER = (
    "reserved_name",
    "undecodable_name",
    "empty_folder",
    "linked_folder",
    "archive",
    "unfinished_download",
    *PROBLEMS,
)
"""Reasons of ``DROPS`` for what might have been a photograph of its class."""

_IMAGES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif"),
    *(".heic", ".heif", ".avif", ".tif", ".tiff", ".jp2"),
)
# Endings that tell why a file is passed over.
_OTHERS = {
    **dict.fromkeys((".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".egg", ".alz"), "archive"),
    **dict.fromkeys((".part", ".crdownload", ".download"), "unfinished_download"),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"), "camera_raw"),
}
_SYSTEM = ("@eaDir", "__MACOSX")
_SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")

log = logging.getLogger(__name__)


class Photograph(NamedTuple):
    """A file: path below the root, class, person ("" if unknown), and a stamp that changes when its content does."""

    path: str
    label: str
    person: str
    stamp: str


def photographs_in(root: Path, base: str, scheme: Scheme | None, drops: Counter[str]) -> list[Photograph]:
    """Return the photographs in the folders of classes below ``root / base``, and count what is left out in ``drops``.

    Raises InputError where the folders cannot be classes, or one is none of ``scheme``.
    """
    place = root / base
    folders = _class_folders(place)
    loose = [path for path in place.iterdir() if path.is_file() and path.suffix.lower() in _IMAGES]
    if count := sum(not path.name.startswith(".") for path in loose):
        drops["no_class"] = count
    labels = {folder: _label(folder, scheme) for folder in folders}
    inside = {folder: [*_in_class(folder, drops)] for folder in folders}
    for folder in folders:
        if not inside[folder]:
            log.warning("%s: has no photograph, so it is no class; links to folders are not followed", folder)
            drops["empty_folder"] += 1
    around = _around_people({folder: files for folder, files in inside.items() if files})
    return [
        _photograph(file, f"{base}/{file.relative_to(place).as_posix()}", labels[folder], around[folder])
        for folder, files in inside.items()
        for file in files
    ]


def _class_folders(place: Path) -> list[Path]:
    folders = sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(folders) < 2:
        raise InputError(
            f"{place}: has {counted(len(folders), 'folder')}; it must hold a folder of photographs for each class, "
            "named after it"
        )
    if all(folder.name.casefold() in _SPLITS for folder in folders):
        raise InputError(
            f"{place}: its folders {', '.join(folder.name for folder in folders)} are sets, not classes; put all "
            "photographs of a class into one folder (the sets are made here), or make a table of each set with the "
            "columns path and label"
        )
    return folders


def _label(folder: Path, scheme: Scheme | None) -> str:
    if not is_text(folder.name):
        raise InputError(f"{folder}: its name is in an unknown encoding; rename the folder")
    if is_reserved(folder.name):
        raise InputError(f"{folder}: Windows reserves this name for a device; rename the folder and thus the class")
    label = plain_hangul(folder.name)
    if not scheme:
        return label
    known = scheme.class_of(label)
    if known is None:
        raise InputError(f"{folder}: no class of {scheme.name} ({', '.join(scheme.classes)}); rename it")
    return known


def _around_people(inside: Mapping[Path, Sequence[Path]]) -> dict[Path, Path]:
    """Return the folder that holds the photographs, or the folders of people, of each class: mostly its own.

    Where each class has all its photographs in a single sub-folder, such as ``images``, it cannot be a person: then
    all of a class would be in one set.
    """
    around = {folder: folder for folder in inside}
    while True:
        below = {
            folder: {file.relative_to(around[folder]).parts[:-1][:1] for file in files}
            for folder, files in inside.items()
        }
        if not below or any(len(names) > 1 or () in names for names in below.values()):
            return around
        around = {folder: around[folder] / min(names)[0] for folder, names in below.items()}
        log.warning(
            "%s: is the only folder inside that of its class, as in the other classes, so it is not taken for a person",
            next(iter(around.values())),
        )


def _photograph(file: Path, path: str, label: str, around: Path) -> Photograph:
    status = file.stat()
    parts = file.relative_to(around).parts
    person = unicodedata.normalize("NFC", parts[0]) if len(parts) > 1 else ""
    return Photograph(path, label, person, f"{status.st_size}-{status.st_mtime_ns}")


def _in_class(folder: Path, drops: Counter[str]) -> Iterator[Path]:
    """Yield the photographs in the folder of a class, and count what else is there."""
    for file in sorted(folder.rglob("*")):
        if file.name.startswith(".") or (file.is_dir() and not file.is_symlink()):
            continue
        if any(part.startswith(".") or part in _SYSTEM for part in file.relative_to(folder).parts):
            drops["system_folder"] += 1
        elif file.is_dir():
            drops["linked_folder"] += 1
        elif (reason := _OTHERS.get(file.suffix.lower())) is not None:
            if not drops[reason]:
                log.warning("%s: %s", file, DROPS[reason])
            drops[reason] += 1
        elif file.suffix.lower() not in _IMAGES:
            drops["other_file"] += 1
        elif not is_text(str(file)):
            drops["undecodable_name"] += 1
        elif any(map(is_reserved, file.relative_to(folder).parts)):
            if not drops["reserved_name"]:
                log.warning("%s: Windows reserves this name for a device, so it is left out; rename it", file)
            drops["reserved_name"] += 1
        elif not file.exists():  # a link that leads nowhere
            drops["missing"] += 1
        else:
            yield file
