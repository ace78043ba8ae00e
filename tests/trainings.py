"""Trainings of seconds, for tests."""

from pathlib import Path
from typing import Any

from pyojeong.core.labels import M1
from pyojeong.training import loop
from pyojeong.training.recipe import Recipe, TrainingTables
from pyojeong.training.run import train
from pyojeong.training.scoring import RunMetrics
from tests.patterns import write_crops

FILES = {"best.pt", "config.json", "history.csv", "val_metrics_best.json", "test_metrics.json", "test_preds.csv"}
METRICS = ("val_metrics_best.json", "test_metrics.json", "test_preds.csv", "history.csv")


def small_tables(folder: Path) -> Path:
    """A project root with train.csv, val.csv and test.csv: twelve, six and twelve crops of six classes."""
    for name, per_class in (("train", 2), ("val", 1), ("test", 2)):
        write_crops(folder, name, per_class)
    return folder


def run(root: Path, out: str = "run", mode: str = "finetune", boxes: str = "annotator", **options: Any) -> RunMetrics:
    """Train on the tables of ``root`` into the folder ``out`` below it; ``options`` are of the recipe or of
    ``train``."""
    values: dict[str, Any] = {"epochs": 2, "batch": 8, "weights": "random", "scheme": M1, "workers": 1, **options}
    csvs = {name: values.pop(f"{name}_csv", root / f"{name}.csv") for name in ("train", "val", "test")}
    own = {name: values.pop(name) for name in ("scheme", "workers", "device", "allow_empty") if name in values}
    return train(Recipe.of(mode, values), TrainingTables(**csvs, box_kind=boxes), root / out, root=root, **own)


def contents(folder: Path) -> dict[str, bytes]:
    """What two equal runs have in common, byte for byte."""
    return {name: (folder / name).read_bytes() for name in METRICS}


def killed_in_epoch(number: int) -> Any:
    """Raise KeyboardInterrupt at the end of epoch ``number``, counted over teachers and network."""
    validate = loop._validate
    left = [number]

    def validate_or_die(loop: Any, val: Any, result: Any, epoch: int, loss: float) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        validate(loop, val, result, epoch, loss)

    return validate_or_die
