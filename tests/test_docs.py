"""The documents: every link leads somewhere, the site builds, and the architecture names what is there."""

import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.conftest import REPOSITORY

DOCUMENTS = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for pattern in ("*.md", "docs/*.md", "web/README.md")
    for path in REPOSITORY.glob(pattern)
)


def prose(path: Path) -> str:
    """Return the document without its code blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub and the site name them."""
    names: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        kept = "".join(c for c in text if c in " -_" or unicodedata.category(c)[0] in "LNM")
        name = kept.replace(" ", "-")
        number = 0
        while (numbered := f"{name}-{number}" if number else name) in names:
            number += 1
        names.add(numbered)
    return names


def test_the_documents_are_found() -> None:
    assert {"README.md", "README.ko.md", "CONTRIBUTING.md", "docs/model_card.md", "web/README.md"} <= set(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_lead_to_a_file_and_an_anchor(document: str) -> None:
    source = REPOSITORY / document
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(source))
    relative = [target for target in targets if not re.match(r"[a-z]+:", target)]
    broken = []
    for target in relative:
        name, _, anchor = unquote(target).partition("#")
        path = (source.parent / name).resolve() if name else source
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert not broken


def test_paths_in_the_documents_exist() -> None:
    """Code spans such as ``src/pyojeong/experiments.toml`` and ``core/labels.py``."""
    package = REPOSITORY / "src/pyojeong"
    folders = {path.name for path in package.iterdir() if path.is_dir()}
    missing = []
    for document in DOCUMENTS:
        for path in re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|toml|js|csv|html|ipynb))`", prose(REPOSITORY / document)):
            first = path.split("/")[0]
            inside = package / path if first in folders else REPOSITORY / path
            if first in {"src", "tests", "scripts", "benchmarks", "docs", "web", *folders} and not inside.exists():
                missing.append(f"{document}: {path}")
    assert not missing


def test_the_architecture_lists_what_the_package_holds() -> None:
    text = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    section = text.split("## Packages")[1].split("\n## ")[0]
    listed = {name.rstrip("/") for name in re.findall(r"^\| `([\w./]+)` \|", section, re.MULTILINE)}
    package = REPOSITORY / "src/pyojeong"
    present = {
        path.name
        for path in package.iterdir()
        if (path.is_dir() or path.suffix == ".py") and not path.name.startswith("__")
    }
    assert listed == present


@pytest.mark.slow
def test_the_site_builds_and_fetches_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*.html")}
    assert {"index.html", "ko.html", "reference.html", "contributing.html", "changelog.html", "npm.html"} <= set(pages)
    for name, path in pages.items():
        html = path.read_text(encoding="utf-8")
        assert not re.search(r'(?:src="|<link rel="(?:stylesheet|preconnect)" href=")(?:https?:)?//', html), name
    assert '<html lang="ko"' in pages["ko.html"].read_text(encoding="utf-8")
