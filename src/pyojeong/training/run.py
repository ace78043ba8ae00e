"""Train MobileNetV3-Small on a CSV of crops, from the tables to the published metrics.

A run reads and checks its tables, decodes the crops once, starts from the initial weights, trains, keeps the epoch with
the best validation macro-F1, fits the temperature on the validation set and scores the test set once. ``probe`` trains
the head on frozen features, ``finetune`` unfreezes the backbone in stages. Networks listed in the recipe as teachers
are trained first.

The same seed on the same machine gives the same metrics files byte for byte. A killed run resumes after its last whole
epoch and ends with the metrics of an undisturbed run, because all randomness is derived from (seed, epoch, step).
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from lightning_fabric import Fabric
from torch import nn

from pyojeong import __version__
from pyojeong.core.errors import InputError
from pyojeong.core.files import alone_in, json_value, write_json
from pyojeong.core.labels import Scheme, scheme_for
from pyojeong.core.metrics import Floats
from pyojeong.core.table import write_csv
from pyojeong.core.workspace import CROP_FILES, SUMMARY, is_synthetic
from pyojeong.model import teacher, weights
from pyojeong.model.checkpoint import Checkpoint, load_torch
from pyojeong.model.network import MobileNetV3Small, Network
from pyojeong.training import distributed
from pyojeong.training.batches import PixelSource, Source, set_shares, targets, vote_shares
from pyojeong.training.batchnorm import calibrate_batchnorm, restore_batchnorm
from pyojeong.training.crop_cache import CropSet, CropTable, open_crops, read_crop_table
from pyojeong.training.inference_cache import inference_function
from pyojeong.training.leaks import warn_of_leaks
from pyojeong.training.loop import Lesson, Result, features_of, learn, predict
from pyojeong.training.memory import keep_memory
from pyojeong.training.recipe import FACE_NETWORKS, Recipe, TrainingTables
from pyojeong.training.scoring import RunMetrics, fit_temperature, measure, predictions, require_classes

_OUTPUTS = ("best.pt", "history.csv", "val_metrics_best.json", "test_preds.csv", "test_metrics.json")

log = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    tables: TrainingTables,
    out: str | Path,
    *,
    scheme: Scheme | str | None = None,
    root: str | Path = ".",
    workers: int = 4,
    device: str = "auto",
    allow_empty: bool = False,
) -> RunMetrics:
    """Train, choose the epoch by validation macro-F1, and score the test set once.

    Args:
        recipe: how to train, such as ``Recipe.of("finetune", {"epochs": 10})``.
        tables: what to learn from, choose by and be scored on.
        out: folder of the run.
        scheme: the labels to learn; None reads it off the name of the training table.
        root: project root that relative paths in the tables start from.
        workers: threads that decode crops.
        device: ``auto``, ``cpu`` or ``cuda``. A GPU trains in mixed precision, in bfloat16 where it has that; the
            last network's scores are always computed in float32.
        allow_empty: whether a class of the scheme may have no training row.

    Returns:
        The content of ``test_metrics.json``. ``out`` also holds ``best.pt``, ``val_metrics_best.json``,
        ``test_preds.csv`` (calibrated probabilities), ``history.csv`` (one row per epoch of each network, teachers
        first) and, written last, ``config.json``. A finished run of the same recipe on the same data is not repeated.

    Raises:
        InputError: a value, table or weights file cannot be used, a class has no training row, another run is
            using ``out``, the loss is no longer finite, or a batch is too large for the GPU.
    """
    distributed.silence_nonzero_ranks()
    run = _Run.read(recipe, tables, Path(out), scheme, Path(root))
    _check_start(recipe, run.scheme.classes)
    if not allow_empty:
        require_classes(run.tables["train"].labels, run.scheme, tables.train)
    if run.is_finished():
        log.info("%s: already trained with this recipe on this data", out)
        run.remove_own_progress()
        return RunMetrics.read(run.out / "test_metrics.json")
    run.check_crops()
    warn_of_leaks(run.tables)
    fabric = distributed.open_fabric(device)
    # All networks now: an error in the last one's weights should not appear after hours of training teachers.
    networks = [_initial_network(recipe, number, run.scheme.classes) for number in range(1, len(run.ids) + 1)]
    sets = run.open_crops(workers, allow_empty)
    torch.set_num_threads(distributed.threads_for(recipe.batch))
    keep_memory()
    # Only the first process writes.
    with alone_in(run.out) if distributed.rank() == 0 else nullcontext():
        try:
            result = _learn(fabric, run, networks, sets)
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"the GPU's memory is too small for a batch of {recipe.batch}; give a smaller --batch, which starts "
                f"the training again ({str(error).splitlines()[0]})"
            ) from None
        metrics = _publish(run, networks[-1], result, sets)
        if distributed.rank() == 0:
            _remove_progress(run.out, run.out.glob("last_*.pt"))
    return metrics


@dataclass(frozen=True)
class _Run:
    """What one call of ``train`` was asked for, checked.

    ``set_shares`` and ``vote_shares`` are each training data set's share of the sampled images and how much of its
    targets are votes, both float64 [S].
    """

    recipe: Recipe
    scheme: Scheme
    tables: dict[str, CropTable]
    out: Path
    root: Path
    set_shares: Floats
    vote_shares: Floats

    @classmethod
    def read(cls, recipe: Recipe, tables: TrainingTables, out: Path, scheme: Scheme | str | None, root: Path) -> "_Run":
        """Read the tables; InputError as ``train``."""
        if out.exists() and not out.is_dir():
            raise InputError(f"{out}: is a file; a run needs a folder, choose another place")
        csvs = {"train": Path(tables.train), "val": Path(tables.val), "test": Path(tables.test)}
        found = scheme_for(scheme, csvs["train"])
        for csv in csvs.values():
            scheme_for(found, csv)
        crop_tables = {
            name: read_crop_table(csv, scheme=found, root=root, framing=recipe.framing, box_kind=tables.box_kind)
            for name, csv in csvs.items()
        }
        train = crop_tables["train"]
        # Before the crops are decoded, which can take an hour.
        by_set = set_shares(train.set_names, recipe.weight_by_set), vote_shares(train, recipe)
        return cls(recipe, found, crop_tables, out, root, *by_set)

    @cached_property
    def ids(self) -> list[str]:
        """What identifies each network's training: all that it learns from; for the last network its teachers too."""
        data = {name: _identity(self.tables[name]) for name in ("train", "val")}
        ids: list[str] = []
        last = len(self.recipe.teacher_kinds) + 1
        for number in range(1, last + 1):
            kind, own = self.recipe.kind(number), asdict(self.recipe.of_network(number))
            taught_by = {"runs": list(ids), "distil": own["distil"]} if number == last and ids else {}
            for name in ("distil", "weights", *(name for name in own if name.startswith("teacher"))):
                del own[name]
            start = teacher.fingerprint(kind, self.recipe.teacher_weights) if kind in FACE_NETWORKS else ""
            identity = {
                "network": kind,
                "weights": start or weights.fingerprint(self.recipe.weights),
                "recipe": {} if kind == "start" else own,
                "taught_by": taught_by,
                "scheme": self.scheme.name,
                "classes": self.scheme.classes,
                "data": data,
            }
            ids.append(_digest(identity))
        return ids

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The content of ``config.json``, but for whether the data are synthetic."""
        return {
            "recipe": asdict(self.recipe),
            "scheme": self.scheme.name,
            "class": self.scheme.tables(),
            "csv": {name: str(table.csv) for name, table in self.tables.items()},
            "version": __version__,
            # Training does not depend on the test set; what is published does.
            "run": _digest([self.ids[-1], _identity(self.tables["test"])]),
        }

    def is_finished(self) -> bool:
        """Return whether ``out`` holds this very run, whole."""
        if not (self.out / "config.json").is_file():
            return False
        try:
            if json_value(self.out / "config.json", "run") != self.configuration["run"]:
                log.warning("%s: holds a run of another recipe or other data; this run will replace it", self.out)
                return False
            Checkpoint.load(self.out / "best.pt")
            RunMetrics.read(self.out / "test_metrics.json")
        except InputError as error:
            log.warning("%s; the run is trained again and then replaced", error)
            return False
        return all((self.out / name).is_file() for name in _OUTPUTS)

    def remove_own_progress(self) -> None:
        """Remove the progress files of this run that a kill left behind; those of other recipes stay."""
        if distributed.is_first():
            with alone_in(self.out):
                own = [last for last in self.out.glob("last_*.pt") if _id_in(last) in (None, *self.ids)]
                _remove_progress(self.out, own)

    def check_crops(self) -> None:
        """Refuse finished crops that were cut with another framing than the recipe's."""
        margin = (json_value(self.root / SUMMARY, "settings") or {}).get("margin")
        crop_tables = [table for table in self.tables.values() if table.boxes is None]
        prepared = any(path.startswith(f"{CROP_FILES}/") for table in crop_tables for path in table.paths)
        if margin is not None and prepared:
            self.recipe.require_crops(margin)

    def open_crops(self, workers: int, allow_empty: bool) -> dict[str, CropSet]:
        """Decode the crops; InputError where too few of them can be used."""
        with distributed.first_alone():
            sets = {name: open_crops(table, self.root, workers) for name, table in self.tables.items()}
        train_csv = self.tables["train"].csv
        if not allow_empty:
            require_classes(sets["train"].labels, self.scheme, train_csv)
        if len(sets["train"]) < 2:
            raise InputError(f"{train_csv}: one usable image is not enough to learn from; add rows")
        for crops in sets.values():
            if crops.left_out:
                log.warning(crops.left_out)
        return sets

    @property
    def synthetic(self) -> bool:
        """Whether the training data are synthetic faces."""
        shared = (self.root / "data_shared").resolve()
        return is_synthetic(self.root) and self.tables["train"].csv.resolve().is_relative_to(shared)


def check_weights(recipe: Recipe, classes: Sequence[str]) -> None:
    """Raise InputError where a local weights file is missing or unusable, or a teacher ``start`` lacks ``classes``."""
    for number in range(1, len(recipe.teacher_kinds) + 2):
        if recipe.kind(number) in FACE_NETWORKS or recipe.weights not in ("random", "imagenet"):
            _initial_network(recipe, number, classes)
    _check_start(recipe, classes)


def _remove_progress(out: Path, files: Iterable[Path]) -> None:
    """Remove progress files, and what a killed run left half-written."""
    for file in (*files, *out.glob(".*.part")):
        file.unlink(missing_ok=True)


def _id_in(last: Path) -> Any:
    """Return the id of the run that a progress file belongs to; None where it is not readable."""
    try:
        return load_torch(last).get("run")
    except InputError:
        return None


def _initial_network(recipe: Recipe, number: int, classes: Sequence[str]) -> Network:
    torch.manual_seed(recipe.of_network(number).seed)
    kind = recipe.kind(number)
    if kind in FACE_NETWORKS:
        return teacher.load_teacher(kind, len(classes), recipe.teacher_weights)
    network = MobileNetV3Small(len(classes))
    with distributed.first_alone():
        weights.load_initial_weights(network, recipe.weights, classes)
    return network


def _check_start(recipe: Recipe, classes: Sequence[str]) -> None:
    if "start" in recipe.teacher_kinds and not weights.has_last_layer(recipe.weights, classes):
        raise InputError(
            f"the teacher start answers with the initial weights, but {recipe.weights} was not trained on the classes "
            f"{', '.join(classes)}; give --weights a file that was, or leave this teacher out"
        )


def _learn(fabric: Fabric, run: _Run, networks: Sequence[Network], sets: dict[str, CropSet]) -> Result:
    """Train the teachers, if any, then the last network; leave all at their best epochs and return their scores."""
    recipe, classes = run.recipe, len(run.scheme.classes)
    train = sets["train"]
    labeled = targets(train.labels, classes, train.votes, run.vote_shares[train.sets])
    counts = np.bincount(sets["val"].labels, minlength=classes).clip(1)
    lesson = Lesson(labeled, (counts / counts.sum()) ** (1 - recipe.balance), run.set_shares)

    history: list[dict[str, Any]] = []
    for number, (network, run_id) in enumerate(zip(networks, run.ids, strict=True), 1):
        network.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if recipe.kind(number) == "start":
            network.eval().requires_grad_(False)
            continue
        own = recipe.of_network(number)
        train_source, val_source = (PixelSource(sets[name], own) for name in ("train", "val"))
        if isinstance(network, MobileNetV3Small) and weights.lacks_statistics(recipe.weights):
            restore = calibrate_batchnorm if recipe.weights == "random" else restore_batchnorm
            restore(network, train_source, fabric.device)
        last = run.out / f"last_{number}.pt"
        several = f", {recipe.kind(number)} ({number} of {len(networks)})" if len(networks) > 1 else ""
        title = f"{run.out.name}{several}"
        if number == len(networks):
            lesson = replace(
                lesson, teachers=tuple(inference_function(trained, fabric.device) for trained in networks[:-1])
            )
        result = learn(fabric, network, own, (train_source, val_source), lesson, last, run_id, title)
        history += [{"network": number, **epoch} for epoch in result.history]
        network.load_state_dict(result.best_state)
        if isinstance(network, teacher.FaceRecognitionNet):
            network.fold()
        network.eval().requires_grad_(False)
    return replace(result, history=history)


def _publish(run: _Run, network: Network, result: Result, sets: dict[str, CropSet]) -> RunMetrics:
    """Score the validation and the test set and write all files of the run."""
    recipe, scheme, out = run.recipe, run.scheme, run.out
    logits = _logits(network, recipe, sets, out.name)
    temperature = fit_temperature(logits["val"], sets["val"].labels)
    metrics = {
        name: RunMetrics(
            **vars(measure(logits[name], sets[name].labels, scheme.classes, temperature)),
            scheme=scheme.name,
            epoch=result.best_epoch,
            chosen_by="macro_f1 on the validation set",
            dropped={part: crops.dropped for part, crops in sets.items()},
        )
        for name in logits
    }
    if distributed.rank() > 0:
        return metrics["test"]
    # config.json marks a whole run: removed before the first file changes, written after the last.
    (out / "config.json").unlink(missing_ok=True)
    Checkpoint(
        state_dict=result.best_state,
        classes=scheme.classes,
        scheme=scheme.name,
        class_tables=scheme.tables(),
        recipe=asdict(recipe),
        framing=recipe.framing,
        temperature=temperature,
        synthetic=run.synthetic,
    ).save(out / "best.pt")
    write_csv(pl.DataFrame(result.history), out / "history.csv")
    write_json(out / "val_metrics_best.json", asdict(metrics["val"]))
    write_csv(predictions(sets["test"], logits["test"], scheme, temperature), out / "test_preds.csv")
    write_json(out / "test_metrics.json", asdict(metrics["test"]))
    write_json(out / "config.json", {**run.configuration, "synthetic": run.synthetic})
    return metrics["test"]


def _logits(network: Network, recipe: Recipe, sets: dict[str, CropSet], title: str) -> dict[str, Any]:
    """Return the network's logits, float64 [N, K], for the validation and the test set."""
    device = next(network.parameters()).device
    module: nn.Module = network
    sources: Sequence[Source] = [PixelSource(sets[name], recipe) for name in ("val", "test")]
    if recipe.mode == "probe":
        assert isinstance(network, MobileNetV3Small)
        module, sources = network.classifier, features_of(network, sources, device, title)
    return {name: predict(module, source, device) for name, source in zip(("val", "test"), sources, strict=True)}


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def _identity(table: CropTable) -> list[str]:
    votes = b"" if table.votes is None else table.votes.tobytes()
    lessons = table.labels.tobytes() + table.sets.tobytes() + " ".join(table.set_names).encode() + votes
    return [table.key, hashlib.sha256(lessons).hexdigest()]
