"""Random predictions for the seven experiments, in the files that the stages write."""

import json
from pathlib import Path

import numpy as np
import polars as pl

from pyojeong.core.labels import FACEAPI, KOREAN, UNKNOWN, Scheme, scheme_named
from pyojeong.core.table import write_csv
from pyojeong.core.workspace import EXPERIMENTS

PREDICTIONS = {name: experiment.predictions for name, experiment in EXPERIMENTS.items()}
"""Experiment -> its predictions, relative to the workspace."""

RIGHT = {"Probe": 0.5, "Finetune": 0.75}


def make_workspace(root: Path, images: int = 420, people: int = 30, synthetic: bool = True) -> None:
    """Write data CSVs and predictions for ``images`` test photographs of ``people`` to ``root``."""
    random = np.random.default_rng(7)
    korean = random.choice(KOREAN, images)
    person = [f"{number:064x}" for number in random.integers(people, size=images)]
    photo = [f"data_raw/사진.zip!/{person[index][:8]}_{korean[index]}-{index:04d}.jpg" for index in range(images)]
    crop = [f"data_shared/cropped_faces_160/{index:05d}.png" for index in range(images)]
    votes = _votes(korean, random)
    for scheme in (scheme_named(name) for name in ("M1", "M2", "K7")):
        facts = {"label": [scheme.class_of(word) for word in korean], "person": person, **votes}
        shared = root / "data_shared"
        write_csv(pl.DataFrame({"path": photo, **facts}), shared / "splits_csv" / f"test_{scheme.name}.csv")
        crops = pl.DataFrame({"path": crop, **facts, "source": photo})
        write_csv(crops.reverse(), shared / "cropped_faces_csv" / f"test_{scheme.name}.csv")
    (root / "data_shared" / "summary.json").write_text(json.dumps({"synthetic": synthetic}))
    for name, csv in PREDICTIONS.items():
        mode, scheme_name = name.split("_")[:2]
        scheme = scheme_named(scheme_name)
        truth = np.array([scheme.class_of(word) or "" for word in korean])
        if mode == "FaceAPI":
            write_csv(_faceapi(photo, truth, random), root / csv)
        else:
            write_csv(_given_box(crop, truth, scheme, RIGHT[mode], random), root / csv)
            best = (root / csv).parent / "val_metrics_best.json"
            best.write_text(json.dumps({"n": 40, "macro_f1": RIGHT[mode] - 0.01}))
            best.with_name("config.json").write_text(json.dumps({"recipe": {"weights": "weights/start.npz"}}))


def _votes(korean: np.ndarray, random: np.random.Generator) -> dict[str, list[int]]:
    """Return three votes per image: 70 % are unanimous for the label, otherwise one annotator differs."""
    columns = {f"votes_{word}": [0] * len(korean) for word in (*KOREAN, UNKNOWN)}
    for index, word in enumerate(korean):
        unanimous = random.random() < 0.7
        columns[f"votes_{word}"][index] = 3 if unanimous else 2
        if not unanimous:
            other = str(random.choice([name for name in (*KOREAN, UNKNOWN) if name != word]))
            columns[f"votes_{other}"][index] = 1
    return columns


def _answers(truth: np.ndarray, words: tuple[str, ...], right: float, random: np.random.Generator) -> np.ndarray:
    return np.where(random.random(len(truth)) < right, truth, random.choice(words, len(truth)))


def _faceapi(photo: list[str], truth: np.ndarray, random: np.random.Generator) -> pl.DataFrame:
    pred, given = (_answers(truth, FACEAPI, right, random) for right in (0.35, 0.3))
    found = random.random(len(truth)) < 0.8
    columns = {
        "image": photo,
        "gt_label": truth,
        "pred_label": pred,
        "score": random.uniform(0.4, 1, len(truth)),
        "face_detected": found.astype(int),
        "iou": np.where(found, random.uniform(0.1, 0.95, len(truth)), 0),
        "correct": (found & (pred == truth)).astype(int),
        "given_pred_label": given,
        "given_score": random.uniform(0.4, 1, len(truth)),
        "given_correct": (given == truth).astype(int),
        "error": [""] * len(truth),
    }
    detected = pl.col("face_detected") == 1
    return pl.DataFrame(columns).with_columns(pl.when(detected).then(pl.col("pred_label", "score")))


def _given_box(
    crop: list[str], truth: np.ndarray, scheme: Scheme, right: float, random: np.random.Generator
) -> pl.DataFrame:
    pred = _answers(truth, scheme.classes, right, random)
    score = random.uniform(0.4, 1, len(truth)).round(6)
    return pl.DataFrame({"path": crop, "true": truth, "pred": pred, "score": score})
