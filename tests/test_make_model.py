"""The script that makes the package's model in stages."""

import hashlib
import importlib
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from pyojeong.core.errors import InputError
from tests.conftest import REPOSITORY
from tests.sets import run, write_sets


@pytest.fixture
def make_model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    return importlib.import_module("make_model")


def test_stages_are_taken_up_or_repeated(tmp_path: Path, make_model: ModuleType) -> None:
    sets = tmp_path / "sets of mine"
    sets.mkdir()
    write_sets(sets)
    stages = [
        make_model.Stage("first", "data_raw/val_BASIC7.csv", (), ["rafdb.py {folder}/rafdb.zip"]),
        make_model.Stage("second", "data_raw/mixed_val_BASIC7.csv", ["mixture.py {folder} --hold-out {nobody}"], ()),
    ]
    places, root = {"folder": str(sets), "nobody": ""}, tmp_path / "made"

    def made() -> list[str]:
        return [line.split(",")[0] for line in make_model.make(stages, root, places)]

    first, second = (f"{stage.name}: made {stage.file}" for stage in stages)
    there = [f"{stage.name}: {stage.file} is there" for stage in stages]
    assert made() == [first, second]
    assert made() == there
    (root / stages[1].file).unlink()
    assert made() == [there[0], second]
    (root / stages[0].file).unlink()
    assert made() == [first, second]
    (root / stages[1].file).write_text("changed")
    with pytest.raises(InputError, match="not the file that stage second left"):
        made()
    (sets / "rafdb.zip").unlink()
    (root / stages[0].file).unlink()
    with pytest.raises(InputError, match=r"stage first: rafdb\.py ended with exit code 2"):
        made()


def test_tables_are_made_again_for_each_call_and_once_for_stages_that_share_them(
    tmp_path: Path, make_model: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [make_model.Stage(name, name, ["tables.py"], [f"{name}.py"]) for name in ("first", "second")]
    called: list[str] = []

    def imitate(words: list[str], cwd: Path, check: bool) -> subprocess.CompletedProcess[str]:
        called.append(Path(words[1]).stem)
        (cwd / called[-1]).write_text("made")
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(make_model.subprocess, "run", imitate)
    assert len([*make_model.make(stages, tmp_path, {})]) == 2
    assert called == ["tables", "first", "second"]
    (tmp_path / "second").unlink()
    called.clear()
    assert len([*make_model.make(stages, tmp_path, {})]) == 2
    assert called == ["tables", "second"]


def test_the_chain_consists_of_known_commands(make_model: ModuleType) -> None:
    places = dict.fromkeys(("folder", "teachers", "imagenet", "nobody", "last_sets", *make_model.SEEDS), "7")
    for stage in make_model.STAGES:
        for line in (*stage.tables, *stage.commands):
            words = make_model.command(line, places)
            program = words[:4] if words[1] == "-m" else words[:2]
            done = subprocess.run([*program, "--help"], check=True, capture_output=True, text=True)
            options = [word for word in line.split() if word.startswith("--")]
            assert [option for option in options if option not in done.stdout] == []


def test_the_first_network_is_taken_where_it_is_the_right_one(
    tmp_path: Path, make_model: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, first = tmp_path / "made", tmp_path / "first.onnx"
    first.write_bytes(b"a network")
    with pytest.raises(InputError, match="is not this project's first network"):
        make_model.with_first(make_model.STAGES, root, first)
    assert not root.exists()
    monkeypatch.setattr(make_model, "FIRST_SHA256", hashlib.sha256(b"a network").hexdigest())
    stages = make_model.with_first(make_model.STAGES, root, first)
    assert (root / stages[0].file).read_bytes() == b"a network"
    assert stages[0].commands == ()
    assert stages[1:] == list(make_model.STAGES[1:])
    (root / "rafdb.onnx").write_text("trained in three hours")
    with pytest.raises(InputError, match=r"rafdb\.onnx: is another network than --first"):
        make_model.with_first(make_model.STAGES, root, first)
    assert (root / "rafdb.onnx").read_text() == "trained in three hours"


def test_stages_of_another_seed_are_not_taken_up(tmp_path: Path, make_model: ModuleType) -> None:
    make_model.check_seeds(tmp_path / "made", dict.fromkeys(make_model.SEEDS, "1"))
    make_model.check_seeds(tmp_path / "made", make_model.SEEDS)
    (tmp_path / "made" / make_model.DONE).write_text("{}")
    make_model.check_seeds(tmp_path / "made", make_model.SEEDS)
    seeds = tmp_path / "made" / "seeds.json"
    seeds.rename(tmp_path / "kept.json")
    with pytest.raises(InputError, match="these stages have other seeds, unknown ones"):
        make_model.check_seeds(tmp_path / "made", make_model.SEEDS)
    (tmp_path / "kept.json").rename(seeds)
    with pytest.raises(InputError, match=r"these stages have other seeds, .*1337.*; give another --root"):
        make_model.check_seeds(tmp_path / "made", dict.fromkeys(make_model.SEEDS, "1338"))


def test_the_chain_asks_for_its_archives_first(tmp_path: Path) -> None:
    write_sets(tmp_path)
    (tmp_path / "utk_asian.zip").unlink()
    done = run("make_model.py", tmp_path, "--teachers", "none.tgz", "--root", tmp_path / "made")
    assert (done.returncode, done.stderr.count("\n"), "has no utk_asian.zip" in done.stderr) == (2, 1, True)
    assert not (tmp_path / "made").exists()
