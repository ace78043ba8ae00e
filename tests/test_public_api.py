"""The front door: what ``import pyojeong`` offers."""

import subprocess
import sys
from unittest.mock import Mock

import pytest

import pyojeong


def test_the_public_names_are_these() -> None:
    assert pyojeong.__all__ == [
        "Analyzer",
        "EvaluationTable",
        "Face",
        "FaceApiContender",
        "FaceTable",
        "InputError",
        "ModelContender",
        "Recipe",
        "TrainingTables",
        "__version__",
        "analyze",
        "compare",
        "evaluate",
        "export_onnx",
        "prepare",
        "train",
        "watch",
    ]
    assert dir(pyojeong) == pyojeong.__all__


@pytest.mark.parametrize("name", [name for name in pyojeong.__all__ if name != "__version__"])
def test_each_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(pyojeong, name)

    assert thing.__name__ == name
    assert len(thing.__doc__) > 40


def test_any_other_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'pyojeong' has no attribute 'Analyser'"):
        pyojeong.Analyser  # noqa: B018


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ModuleNotFoundError("No module named 'torch'", name="torch")
    monkeypatch.setattr(pyojeong, "import_module", Mock(side_effect=missing))
    monkeypatch.setattr("pyojeong.core.errors.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pyojeong\.train needs more packages; install pyojeong\[train\]"):
        pyojeong.__getattr__("train")


@pytest.mark.heavy
def test_importing_the_package_loads_nothing_heavy_and_names_never_become_modules() -> None:
    script = (
        "import sys, pyojeong\n"
        "heavy = {'torch', 'polars', 'onnxruntime', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import pyojeong.training.run, pyojeong.export.onnx_file, pyojeong.data.prepare, pyojeong.report.report\n"
        "print(*(callable(getattr(pyojeong, name)) for name in pyojeong.__all__ if name != '__version__'))\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert set(answer.stdout.split()) == {"True"}
