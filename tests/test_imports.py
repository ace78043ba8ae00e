"""The floor plan of docs/architecture.md: which package may import which."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyojeong

SOURCES = Path(pyojeong.__file__).parent

ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "data": {"core"},
    "sample": {"core"},
    "evaluation": {"core"},
    "faceapi": {"core", "evaluation"},
    "model": {"core", "faceapi"},
    "export": {"core", "model"},
    "detection": {"core"},
    "training": {"core", "detection", "model", "export"},
    "classifier": {"core"},
    "analyzer": {"core", "classifier", "detection", "evaluation"},
    "analysis": {"core", "analyzer", "detection"},
    "report": {"core", "evaluation"},
    "demo": {"core", "analyzer", "detection"},
    "experiments": {"core", "data", "sample", "evaluation", "faceapi", "export", "training", "report"},
    "cli": {"core", "data", "sample", "evaluation", "faceapi", "export", "training", "report", "analyzer", "demo"}
    | {"analysis", "experiments"},
    "__main__": {"cli"},
}
"""Package or module directly under ``pyojeong`` -> what it may import, besides itself and ``pyojeong.__version__``."""


def imported(file: Path) -> Iterator[str]:
    """The packages and modules directly under ``pyojeong`` that a file imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            # The front door would hide which package is meant.
            assert "pyojeong" not in [alias.name for alias in node.names], f"{file}: import from a package of ours"
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("pyojeong."))


@pytest.mark.parametrize("room", sorted(path.stem for path in SOURCES.iterdir() if path.stem in ALLOWED))
def test_each_package_imports_only_what_the_plan_allows(room: str) -> None:
    files = [SOURCES / f"{room}.py"] if (SOURCES / f"{room}.py").is_file() else [*(SOURCES / room).rglob("*.py")]
    found = {name for file in files for name in imported(file)} - {room, "__version__"}

    assert files
    assert found <= ALLOWED[room], f"{room} imports {sorted(found - ALLOWED[room])}"


def test_the_plan_names_everything_under_the_package() -> None:
    rooms = {path.stem for path in SOURCES.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}

    assert rooms - {"__init__"} == set(ALLOWED)
    assert len([path for path in SOURCES.iterdir() if not path.name.startswith("_")]) <= 19


@pytest.mark.parametrize("package", sorted(path.parent.name for path in SOURCES.glob("*/__init__.py")))
def test_each_package_says_what_it_is_for(package: str) -> None:
    docstring = ast.get_docstring(ast.parse((SOURCES / package / "__init__.py").read_text(encoding="utf-8")))

    assert docstring is not None
    assert len(docstring) > 100
