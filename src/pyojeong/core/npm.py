"""Finds installed npm packages, whose weights the package's graphs are built from."""

from collections.abc import Iterator
from pathlib import Path

from pyojeong.core.errors import InputError
from pyojeong.core.files import read_json


def find_package(name: str) -> Path:
    """Return the folder of the npm package ``name``.

    As Node would, it looks for ``node_modules`` in every folder from this source file upwards, then from the current
    folder upwards.

    Raises:
        InputError: the package is in none of them.
    """
    for folder in _candidate_folders():
        package = folder / "node_modules" / name
        if (package / "package.json").is_file():
            return package
    raise InputError(
        f"the npm package {name} is not installed: no node_modules/{name} above {Path.cwd()}; "
        "run `npm ci` in the project folder"
    )


def package_version(package: Path) -> str:
    """Return the version in the ``package.json`` of an npm package."""
    return str(read_json(package / "package.json")["version"])


def _candidate_folders() -> Iterator[Path]:
    yield from Path(__file__).resolve().parents
    yield from (Path.cwd(), *Path.cwd().parents)
