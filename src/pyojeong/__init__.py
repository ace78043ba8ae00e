"""pyojeong (표정): read facial expressions, and compare face-api.js and MobileNetV3-Small fairly on Korean faces.

Everything listed in ``__all__`` is public and documented in ``docs/python_api.md``; everything else may change. Names
are imported on first use, so ``import pyojeong`` loads no heavy library.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
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

_MODULES = {
    "Analyzer": "analyzer",
    "EvaluationTable": "evaluation.evaluation_csv",
    "Face": "analyzer",
    "FaceApiContender": "faceapi.engines",
    "FaceTable": "analysis.table",
    "InputError": "core.errors",
    "ModelContender": "analyzer",
    "Recipe": "training.recipe",
    "TrainingTables": "training.recipe",
    "analyze": "analysis.run",
    "compare": "report.report",
    "evaluate": "evaluation.evaluate",
    "export_onnx": "export.onnx_file",
    "prepare": "data.prepare",
    "train": "training.run",
    "watch": "analysis.run",
}

if TYPE_CHECKING:
    from pyojeong.analysis.run import analyze, watch
    from pyojeong.analysis.table import FaceTable
    from pyojeong.analyzer import Analyzer, Face, ModelContender
    from pyojeong.core.errors import InputError
    from pyojeong.data.prepare import prepare
    from pyojeong.evaluation.evaluate import evaluate
    from pyojeong.evaluation.evaluation_csv import EvaluationTable
    from pyojeong.export.onnx_file import export_onnx
    from pyojeong.faceapi.engines import FaceApiContender
    from pyojeong.report.report import compare
    from pyojeong.training.recipe import Recipe, TrainingTables
    from pyojeong.training.run import train


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'pyojeong' has no attribute {name!r}")
    try:
        return getattr(import_module(f"pyojeong.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        from pyojeong.core.errors import extra_with

        if extra := extra_with(error.name):
            error.msg = f"pyojeong.{name} needs more packages; install pyojeong[{extra}]"
        raise


def __dir__() -> list[str]:
    return __all__
