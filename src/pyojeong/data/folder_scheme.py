"""The label scheme of photographs that lie in folders named after their classes, and its name."""

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pyojeong.core.errors import InputError
from pyojeong.core.files import is_reserved, write_text
from pyojeong.core.labels import BASIC7, Scheme, package_scheme_in, read_scheme, scheme_of

_COLORS = ("#d99a1c", "#3f6fb0", "#c2473d", "#5f7f3f", "#8a6fb3", "#b0506b", "#1c8a94", "#6b7785")


def default_name(base: str) -> str:
    """Return the name of a folder's scheme: its last part, with ``_`` for what no file name should have."""
    name = unicodedata.normalize("NFC", PurePosixPath(base).name)
    return re.sub(r"[^\w-]+", "_", name).strip("_") or "photographs"


def checked_name(name: str) -> str:
    """Return a name for a scheme's file; InputError where it is none or has a scheme's of the package in it."""
    if not re.fullmatch(r"[\w-]+", name):
        raise InputError(f"--name {name!r} names files; write it in letters, digits, _ and -")
    if theirs := package_scheme_in(name):
        # Tables are told apart by the scheme in their names.
        raise InputError(f"the name {name} has {theirs} in it, a label scheme of the package; choose another --name")
    if is_reserved(name):
        raise InputError(f"{name} is a name that Windows reserves for a device; choose another --name")
    return name


def own_scheme(path: Path, place: Path, classes: Sequence[str]) -> Scheme:
    """Return the scheme in ``path`` where it has these classes; otherwise write it.

    Raises InputError where it has others, or the folders of ``place`` cannot be classes.
    """
    if path.is_file():
        scheme = read_scheme(path)
        if sorted(scheme.classes) == sorted(classes):
            return scheme
        raise InputError(
            f"{path}: has the classes {', '.join(scheme.classes)} and the folders are {', '.join(classes)}; delete it, "
            "or choose another --name"
        )
    tables = [
        {"name": name}
        | ({"faceapi": nearest} if (nearest := BASIC7.class_of(name)) else {})
        | {"color": _COLORS[number % len(_COLORS)]}
        for number, name in enumerate(classes)
    ]
    try:
        scheme_of(path.stem, tables)
    except InputError as error:
        raise InputError(f"{place}: its folders cannot be classes ({error}); rename the folder") from None
    text = "# The classes in output order. docs/own_classes.md explains every key.\n"
    for table in tables:
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in table.items()]
        text += f"[[class]]\n{''.join(lines)}\n"
    write_text(path, text.rstrip() + "\n")
    return read_scheme(path)
