"""The reference of the npm package is what its comments say."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs/js_reference.md"


@pytest.mark.slow
def test_the_reference_is_current(tmp_path: Path) -> None:
    if not (REPOSITORY / "tests/tools/node_modules/typedoc").is_dir():
        pytest.skip("TypeDoc is not installed; run: python3 scripts/setup.py tools")
    command: list[str | Path] = [sys.executable, REPOSITORY / "scripts/js_reference.py", "--out", tmp_path / "page.md"]
    subprocess.run(command, check=True)
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")


def test_the_reference_names_what_the_package_exports() -> None:
    page = PAGE.read_text(encoding="utf-8")
    exported = (REPOSITORY / "web/index.js").read_text(encoding="utf-8").split("export {")[1:]
    names = [name.strip() for part in exported for name in part.split("}")[0].split(",") if name.strip()]
    assert "EmotionAnalyzer" in names
    assert [name for name in (*names, "install", "uninstall") if f"\n## {name}" not in page] == []
