"""Train MobileNetV3-Small on a CSV of crops: ``probe`` (head on frozen features) or ``finetune`` (in stages).

One run, top to bottom: read and check the tables, decode the crops once, start from the initial weights, learn,
keep the epoch with the best validation macro-F1, fit the temperature on the validation set, then score the test
set once. The same seed on the same machine gives the same metrics files byte for byte. A killed run goes on after
its last whole epoch and ends with the metrics of an undisturbed one, because all randomness is drawn anew from
(seed, epoch, step).

Measured on two shared CPU cores: about 200 images a second (fp32, batch 64).
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from lightning_fabric import Fabric
from torch import nn

from pyojeong import __version__
from pyojeong.core.errors import InputError
from pyojeong.core.files import alone_in, json_value, read_json, write_json
from pyojeong.core.geometry import BOX_KINDS, iou
from pyojeong.core.labels import Scheme, scheme_for
from pyojeong.core.table import write_csv
from pyojeong.core.workspace import CROP_FILES, SUMMARY, is_synthetic
from pyojeong.evaluation.predictions import MATCHED_IOU
from pyojeong.model import teacher, weights
from pyojeong.model.checkpoint import Checkpoint, load_torch
from pyojeong.model.network import MobileNetV3Small, Network
from pyojeong.training import distributed
from pyojeong.training.batches import PixelSource, Source, targets
from pyojeong.training.crop_cache import Crops, Listing, list_crops, open_crops
from pyojeong.training.inference_cache import inference_function
from pyojeong.training.loop import Lesson, Result, calibrate_batchnorm, features_of, learn, predict
from pyojeong.training.memory import keep_memory
from pyojeong.training.recipe import FACE_NETWORKS, Recipe
from pyojeong.training.scoring import fit_temperature, measure, predictions, require_classes

_OUTPUTS = ("best.pt", "history.csv", "val_metrics_best.json", "test_preds.csv", "test_metrics.json")

log = logging.getLogger(__name__)


def train(
    *,
    mode: str,
    scheme: Scheme,
    train_csv: Path,
    val_csv: Path,
    test_csv: Path,
    out: Path,
    root: Path,
    workers: int = 4,
    device: str = "auto",
    box_kind: str = "annotator",
    allow_empty: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Train, choose by validation macro-F1, score the test set once.

    Args:
        mode: ``probe`` or ``finetune``.
        scheme: the labels to learn.
        train_csv: crops to learn from, see ``pyojeong.core.table``; with box columns, photographs to crop from.
        val_csv: crops that choose the epoch and the temperature.
        test_csv: crops that choose nothing.
        out: folder of the run.
        root: project root that the CSVs' paths start from.
        workers: threads that decode crops.
        device: ``auto``, ``cpu`` or ``cuda``. On a GPU it learns in mixed precision bfloat16 where it has that;
            the last network's scores are always computed in float32.
        box_kind: whose boxes the tables hold, where they hold any, of ``geometry.BOX_KINDS``.
        allow_empty: whether a class of the scheme may have no training row.
        **options: fields of ``Recipe``; None means the published value of the mode.

    Returns:
        The content of ``test_metrics.json``. Also written to ``out``: ``best.pt``, ``val_metrics_best.json``,
        ``test_preds.csv`` (calibrated probabilities), ``history.csv`` (one row per epoch of each network, the
        teachers before the last) and, last,
        ``config.json``. A finished run of the same recipe on the same data is left as it is.

    Raises:
        InputError: an option, table or weights file cannot be used, a class has no training row, another run is
            training into ``out``, the loss is no longer finite, or a batch is too large for the GPU.
    """
    distributed.silence_nonzero_ranks()
    recipe = Recipe.of(mode, options)
    if box_kind not in BOX_KINDS:
        raise InputError(f"there is no kind of box {box_kind!r}; choose {' or '.join(BOX_KINDS)}")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, and a run needs a folder; name another place")
    csvs = {"train": train_csv, "val": val_csv, "test": test_csv}
    for csv in csvs.values():
        scheme_for(scheme.name, csv)
    listings = {
        name: list_crops(
            csv,
            scheme=scheme,
            root=root,
            margin=recipe.margin,
            offset=recipe.offset,
            aspect=recipe.aspect,
            box=recipe.box,
            box_kind=box_kind,
        )
        for name, csv in csvs.items()
    }
    if not allow_empty:
        require_classes(listings["train"].labels, scheme, train_csv)
    runs = _runs(recipe, scheme, listings)
    configuration = _configuration(recipe, scheme, listings, runs[-1])
    if _is_finished(out, configuration):
        log.info("%s: already trained with this recipe on these data", out)
        if distributed.is_first():
            with alone_in(out):
                _sweep(out, [last for last in out.glob("last_*.pt") if _run_of(last) in (None, *runs)])
        return dict(read_json(out / "test_metrics.json"))
    _check_framing(recipe, listings.values(), root)
    _warn_of_leaks(listings)
    fabric = _fabric(device)
    # All of them now: an error in the last one's weights should not come after hours of teaching.
    networks = [_begin(recipe, number, len(scheme.classes)) for number in range(1, len(runs) + 1)]
    with distributed.first_alone():
        sets = {name: open_crops(listing, root, workers) for name, listing in listings.items()}
    if not allow_empty:
        require_classes(sets["train"].labels, scheme, train_csv)
    if len(sets["train"]) < 2:
        raise InputError(f"{train_csv}: one usable image is not enough to learn from; add rows")
    for name, some in sets.items():
        if some.dropped:
            log.warning("%s: unusable images are left out: %s", csvs[name], some.dropped)
    torch.set_num_threads(_threads(recipe.batch))
    keep_memory()
    drawn = is_synthetic(root) and train_csv.resolve().is_relative_to((root / "data_shared").resolve())
    # The first process alone writes.
    with alone_in(out) if distributed.rank() == 0 else nullcontext():
        try:
            result = _learn(fabric, recipe, networks, sets, scheme, out, runs)
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"the GPU's memory does not hold a batch of {recipe.batch}; give a smaller --batch, with which "
                f"training starts anew ({str(error).splitlines()[0]})"
            ) from None
        metrics = _publish(networks[-1], result, sets, scheme, recipe, configuration, out, synthetic=drawn)
        if distributed.rank() == 0:
            _sweep(out, out.glob("last_*.pt"))
    return metrics


def _check_framing(recipe: Recipe, listings: Iterable[Listing], root: Path) -> None:
    margin = (json_value(root / SUMMARY, "settings") or {}).get("margin")
    cut = f"{CROP_FILES}/"
    if margin is not None and any(path.startswith(cut) for one in listings if one.boxes is None for path in one.paths):
        recipe.require_crops(margin)


def _sweep(out: Path, needless: Iterable[Path]) -> None:
    """Remove what only an unfinished run needs, and what a killed one left half-written."""
    for left in (*needless, *out.glob(".*.part")):
        left.unlink(missing_ok=True)


def _run_of(last: Path) -> Any:
    """Return which run ``last`` serves: it may be another recipe's that was stopped in that folder; None is none."""
    try:
        return load_torch(last).get("run")
    except InputError:
        return None


def check_weights(recipe: Recipe) -> None:
    """Raise InputError where a network of ``recipe`` lacks the local files that it starts from."""
    for number in range(1, len(recipe.teacher_kinds) + 2):
        if recipe.kind(number) in FACE_NETWORKS or recipe.weights not in ("random", "imagenet"):
            _begin(recipe, number, 2)


def _begin(recipe: Recipe, number: int, classes: int) -> Network:
    torch.manual_seed(recipe.of_network(number).seed)
    kind = recipe.kind(number)
    if kind in FACE_NETWORKS:
        return teacher.load_teacher(kind, classes, recipe.teacher_weights)
    network = MobileNetV3Small(classes)
    with distributed.first_alone():
        weights.load_initial_weights(network, recipe.weights)
    return network


def _learn(
    fabric: Fabric,
    recipe: Recipe,
    networks: Sequence[Network],
    sets: dict[str, Crops],
    scheme: Scheme,
    out: Path,
    runs: Sequence[str],
) -> Result:
    """Train the teachers, if any, then the last network; leave all at their best epochs and return their scores."""
    labeled = targets(sets["train"].labels, len(scheme.classes), sets["train"].votes, recipe.votes)
    counts = np.bincount(sets["val"].labels, minlength=len(scheme.classes)).clip(1)
    lesson = Lesson(labeled, (counts / counts.sum()) ** (1 - recipe.balance))

    history: list[dict[str, Any]] = []
    for number, (network, run) in enumerate(zip(networks, runs, strict=True), 1):
        own = recipe.of_network(number)
        train_source, val_source = (PixelSource(sets[name], own) for name in ("train", "val"))
        network.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if isinstance(network, MobileNetV3Small) and recipe.weights == "random":
            calibrate_batchnorm(network, train_source, fabric.device)
        last = out / f"last_{number}.pt"
        title = f"{out.name}, {recipe.kind(number)} ({number} of {len(runs)})" if len(runs) > 1 else out.name
        if number == len(runs):
            lesson = replace(lesson, teachers=tuple(inference_function(one, fabric.device) for one in networks[:-1]))
        result = learn(fabric, network, own, train_source, val_source, lesson, last, run, title)
        history += [{"network": number, **epoch} for epoch in result.history]
        network.load_state_dict(result.best_state)
        if isinstance(network, teacher.FaceRecognitionNet):
            network.fold()
        network.eval().requires_grad_(False)
    return replace(result, history=history)


def _publish(
    network: Network,
    result: Result,
    sets: dict[str, Crops],
    scheme: Scheme,
    recipe: Recipe,
    configuration: dict[str, Any],
    out: Path,
    *,
    synthetic: bool,
) -> dict[str, Any]:
    device = next(network.parameters()).device
    module: nn.Module = network
    sources: Sequence[Source] = [PixelSource(sets[name], recipe) for name in ("val", "test")]
    if recipe.mode == "probe":
        assert isinstance(network, MobileNetV3Small)
        module, sources = network.classifier, features_of(network, sources, device, out.name)
    logits = {name: predict(module, source, device) for name, source in zip(("val", "test"), sources, strict=True)}
    temperature = fit_temperature(logits["val"], sets["val"].labels)
    metrics = {
        name: {
            **measure(logits[name], sets[name].labels, scheme.classes, temperature),
            "scheme": scheme.name,
            "epoch": result.best_epoch,
            "chosen_by": "macro_f1 on the validation set",
            "dropped": {part: sets[part].dropped for part in ("train", name)},
        }
        for name in logits
    }
    if distributed.rank() > 0:
        return metrics["test"]
    # config.json marks a whole run: gone before the first file changes, back after the last.
    (out / "config.json").unlink(missing_ok=True)
    Checkpoint(
        result.best_state,
        scheme.classes,
        scheme.name,
        asdict(recipe),
        recipe.margin,
        temperature,
        synthetic,
        recipe.offset,
        recipe.aspect,
        recipe.box,
    ).save(out / "best.pt")
    write_csv(pl.DataFrame(result.history), out / "history.csv")
    write_json(out / "val_metrics_best.json", metrics["val"])
    write_csv(predictions(sets["test"], logits["test"], scheme, temperature), out / "test_preds.csv")
    write_json(out / "test_metrics.json", metrics["test"])
    write_json(out / "config.json", {**configuration, "synthetic": synthetic})
    return metrics["test"]


def _configuration(recipe: Recipe, scheme: Scheme, listings: dict[str, Listing], run: str) -> dict[str, Any]:
    return {
        "recipe": asdict(recipe),
        "scheme": scheme.name,
        "csv": {name: str(item.csv) for name, item in listings.items()},
        "version": __version__,
        # What is learned does not depend on the test set, what is published does.
        "run": _digest([run, _identity(listings["test"])]),
    }


def _runs(recipe: Recipe, scheme: Scheme, listings: dict[str, Listing]) -> list[str]:
    """Return what identifies each network's training: all that it learns from, for the last one its teachers too."""
    data = {name: _identity(listings[name]) for name in ("train", "val")}
    runs: list[str] = []
    last = len(recipe.teacher_kinds) + 1
    for number in range(1, last + 1):
        kind, own = recipe.kind(number), asdict(recipe.of_network(number))
        taught_by = {"runs": list(runs), "distil": own["distil"]} if number == last and runs else {}
        for name in ("distil", "weights", *(name for name in own if name.startswith("teacher"))):
            del own[name]
        start = teacher.fingerprint(kind, recipe.teacher_weights) if kind in FACE_NETWORKS else ""
        identity = {
            "network": kind,
            "weights": start or weights.fingerprint(recipe.weights),
            "recipe": own,
            "taught_by": taught_by,
            "scheme": scheme.name,
            "classes": scheme.classes,
            "data": data,
        }
        runs.append(_digest(identity))
    return runs


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def _identity(listing: Listing) -> list[str]:
    return [listing.key, hashlib.sha256(_lessons_of(listing)).hexdigest()]


def _lessons_of(listing: Listing) -> bytes:
    votes = b"" if listing.votes is None else listing.votes.tobytes()
    return listing.labels.tobytes() + listing.sets.tobytes() + votes


def _is_finished(out: Path, configuration: dict[str, Any]) -> bool:
    if not (out / "config.json").is_file():
        return False
    try:
        if json_value(out / "config.json", "run") != configuration["run"]:
            log.warning("%s: holds a run of another recipe or other data; it is trained anew and then replaced", out)
            return False
        Checkpoint.load(out / "best.pt")
        read_json(out / "test_metrics.json")
    except InputError as error:
        log.warning("%s; the run is trained anew and then replaced", error)
        return False
    return all((out / name).is_file() for name in _OUTPUTS)


def _warn_of_leaks(listings: dict[str, Listing]) -> None:
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        first, second = listings[one], listings[other]
        people = (set(first.people or []) & set(second.people or [])) - {None, ""}
        for what, common in (("images", _common_faces(first, second)), ("people", len(people))):
            if common:
                log.warning("%s and %s share %d %s: the scores will be too high", first.csv, second.csv, common, what)


def _common_faces(first: Listing, second: Listing) -> int:
    """Count the images of which both have the same face: the whole image, or boxes that overlap as a match does."""
    others: dict[str, list[list[float] | None]] = {}
    for path, box in _faces(second):
        others.setdefault(path, []).append(box)
    return len(
        {
            path
            for path, box in _faces(first)
            if any(box is None or other is None or iou(box, other) >= MATCHED_IOU for other in others.get(path, []))
        }
    )


def _faces(listing: Listing) -> Iterator[tuple[str, list[float] | None]]:
    boxes = [None] * len(listing.paths) if listing.boxes is None else listing.boxes.tolist()
    yield from zip(listing.paths, boxes, strict=True)


def _threads(batch: int) -> int:
    """Return how many threads share a step on the CPU.

    A small batch gives a second thread too little to do, and where other work uses the cores the two then mostly wait
    for each other.
    """
    cores = (os.cpu_count() or 1) // distributed.local_size()
    return max(1, min(cores, batch // distributed.size() // 16))


def _fabric(device: str) -> Fabric:
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"there is no device {device!r}; choose auto, cpu or cuda")
    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise InputError("no CUDA device is usable here; give --device cpu or auto")
    options = distributed.fabric_options()
    if device == "cpu" or not gpu:
        fabric = Fabric(accelerator="cpu", precision="32-true", **options)
    else:
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        fabric = Fabric(accelerator="cuda", precision="bf16-mixed" if bf16 else "16-mixed", **options)
    fabric.launch()
    return fabric
