import json
from pathlib import Path

import pytest

from pyojeong.core import npm
from pyojeong.core.errors import InputError
from pyojeong.core.npm import find_package, package_version

NAME = "@vladmandic/face-api"


def write_package(folder: Path, version: str) -> None:
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"version": version}))


def test_the_package_is_found_from_the_source_and_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert package_version(find_package(NAME)) == "1.7.15"

    monkeypatch.setattr(npm, "__file__", str(tmp_path / "site" / "npm.py"))
    write_package(tmp_path / "work" / "node_modules" / NAME, "9.8.7")
    (tmp_path / "work" / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "deep" / "er")
    assert package_version(find_package(NAME)) == "9.8.7"


def test_a_missing_package_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npm, "__file__", str(tmp_path / "site" / "npm.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="npm ci"):
        find_package(NAME)
