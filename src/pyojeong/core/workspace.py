"""Where every file of a workspace lies, which seven experiments it holds, and whether its data are synthetic.

Paths are strings relative to the project root, with forward slashes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pyojeong.core.files import json_value

SAMPLE = "data_raw/sample"
"""The synthetic data set."""

SAMPLE_MARKER = "SAMPLE.json"
"""File at the top of a synthetic data set that says that it is synthetic."""

SPLITS_CSV = "data_shared/splits_csv"
"""Split tables of whole photographs with boxes: ``{train,val,test}_{scheme}.csv``."""

CROPS_CSV = "data_shared/cropped_faces_csv"
"""The same tables for the crop files."""

CROP_FILES = "data_shared/cropped_faces_160"
CROP_JOURNAL = "data_shared/cropped_faces_160.jsonl"
CROP_CACHE = "data_shared/pixels_160"
SUMMARY = "data_shared/summary.json"
SUMMARY_PAGE = "data_shared/summary.html"

COLLECTED = "data_shared/collected"
"""Tables and schemes that ``collect`` makes of folders: ``{train,val,test}_{scheme}.csv`` and ``{scheme}.toml``."""

FACEAPI_RESULTS = "models/faceapi_baseline/results"
RUNS = "models/mobilenetv3_classifier/runs"
EVALUATIONS = "models/evaluations"
REPORTS = "reports"


def model_name(scheme: str) -> str:
    """Return the file name of an exported model where the user gives none."""
    return f"{scheme.lower()}_mnv3s_160.onnx"


K7_MODEL = model_name("K7")
"""File name of the exported model in the K7 run."""


@dataclass(frozen=True)
class Experiment:
    """One of the seven experiments.

    Attributes:
        name: as in the published tables, such as ``Finetune_K7_160``.
        mode: ``faceapi``, ``probe`` or ``finetune``.
        scheme: name of the label scheme.
        predictions: its predictions or evaluation CSV.
    """

    name: str
    mode: str
    scheme: str
    predictions: str

    @property
    def run(self) -> str:
        """The folder of the training run."""
        return PurePosixPath(self.predictions).parent.as_posix()

    @property
    def contender(self) -> str:
        """The name that figures and tables show."""
        return {"faceapi": "face-api.js", "probe": "MobileNetV3 probe", "finetune": "MobileNetV3 finetune"}[self.mode]


def _experiments() -> dict[str, Experiment]:
    baselines = [
        Experiment(f"FaceAPI_{scheme}", "faceapi", scheme, f"{FACEAPI_RESULTS}/faceapi_{scheme}_eval.csv")
        for scheme in ("M1", "M2")
    ]
    trained = [
        Experiment(f"{mode.title()}_{scheme}_160", mode, scheme, f"{RUNS}/{mode}_{scheme}_160/test_preds.csv")
        for scheme, mode in (
            ("M1", "probe"),
            ("M1", "finetune"),
            ("M2", "probe"),
            ("M2", "finetune"),
            ("K7", "finetune"),
        )
    ]
    return {experiment.name: experiment for experiment in (*baselines, *trained)}


EXPERIMENTS: Mapping[str, Experiment] = _experiments()
"""The seven experiments by name, in the order of the published tables."""

K7_RUN = EXPERIMENTS["Finetune_K7_160"].run
"""The run whose network is exported for the browser."""

SYNTHETIC_NOTICE = "synthetic faces: the scores test the pipeline and say nothing about real accuracy"
"""Shown with every score on synthetic faces, and the ``data`` column of the report's summary table."""

SYNTHETIC_NOTICE_KOREAN = "합성 얼굴: 절차만 검증하며 실제 얼굴에 대한 정확도를 뜻하지 않음"


def is_synthetic(root: Path) -> bool:
    """Return whether the prepared faces in ``root`` are synthetic, so that no score says anything about real faces."""
    return json_value(root / SUMMARY, "synthetic") is True
