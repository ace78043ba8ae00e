"""The folder with the user's photographs: checked, and linked into the workspace where it lies elsewhere."""

import os
from pathlib import Path

from pyojeong.core.errors import InputError
from pyojeong.core.files import link_folder, relative_path


def check_source(source: Path) -> None:
    """Raise InputError unless ``source`` is a folder whose name is valid text."""
    if not source.is_dir():
        problem = "is a file" if source.exists() else "no such folder"
        raise InputError(f"{source}: {problem}; give the folder that holds the photographs")
    if not is_text(str(source.absolute())):
        raise InputError(f"{source}: its name is in an unknown encoding; rename it, or move the data")


def is_text(name: str) -> bool:
    """Whether a file name is valid text, and not bytes in an unknown encoding."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def base_of(source: Path, root: Path) -> str:
    """Return the path of ``source`` below ``root``, as a link in ``data_raw`` when it lies elsewhere."""
    check_source(source)
    real, real_root = source.resolve(), root.resolve()
    if real_root.is_relative_to(real):
        raise InputError(
            f"{source}: is the project root {real_root} or contains it; name the folder that holds the photographs"
        )
    lexical = relative_path(source.absolute().as_posix(), root)
    if lexical is not None and (root / lexical).resolve() == real:  # "link/.." may lead elsewhere
        return lexical
    if real.is_relative_to(real_root):
        return real.relative_to(real_root).as_posix()
    return _link(real, root)


def _link(target: Path, root: Path) -> str:
    folder = root / "data_raw"
    for name in (target.name, *(f"{target.name}_{number}" for number in range(2, 100))):
        link = folder / name
        if link.exists() and link.resolve() == target:
            return f"data_raw/{name}"
        if not os.path.lexists(link):
            break
    try:
        folder.mkdir(parents=True, exist_ok=True)
        link_folder(link, target)
    except (OSError, NotImplementedError) as error:
        raise InputError(
            f"{target}: lies outside the project root {root.absolute()}, and no link to it can be created in {folder} "
            f"({error}); move the data below the project root, or choose another --project-root"
        ) from None
    return f"data_raw/{link.name}"


def link_text(root: Path, base: str) -> str | None:
    """Return ``link -> target`` where ``base`` leads out of ``root``, otherwise None."""
    place = root / base
    # A junction is a link that Path.is_symlink does not know.
    real = place.resolve()
    return None if real.is_relative_to(root.resolve()) else f"{base} -> {real}"
