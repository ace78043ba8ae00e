"""Average the weights of trained networks and fit the temperature of the result on a validation table.

    python scripts/soup.py OUT.pt --csv VAL.csv RUN/best.pt[:WEIGHT] OTHER/best.pt[:WEIGHT] START.onnx:WEIGHT

The networks must have been trained on from one start, so that their weights can be averaged at all (Wortsman et al.,
"Model soups", 2022). The start itself may be among them, as the exported file that the training began from: it gives
back some of what training on other data lost (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022). Classes
and framing are those of the first network. Accuracies on each set of the table are printed, where a set has votes also
by their majority.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyojeong.classifier import Classifier
from pyojeong.core.errors import InputError
from pyojeong.core.labels import scheme_named, scheme_of
from pyojeong.core.metrics import Floats
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.model.network import MobileNetV3Small
from pyojeong.model.onnx_weights import load_onnx
from pyojeong.training.batches import PixelSource
from pyojeong.training.batchnorm import restore_batchnorm
from pyojeong.training.crop_cache import CropSet, open_crops, read_crop_table
from pyojeong.training.loop import predict
from pyojeong.training.recipe import Recipe
from pyojeong.training.scoring import fit_temperature, measure

State = dict[str, Tensor]


def averaged(states: list[tuple[State, float]]) -> State:
    """Return the weighted mean of all weights; InputError where a weight is negative or all are 0."""
    total = sum(weight for _, weight in states)
    if not 0 < total < float("inf") or min(weight for _, weight in states) < 0:
        raise InputError("the weights of the networks must be finite numbers from 0, and one of them more than 0")
    result = {}
    for name, value in states[0][0].items():
        parts = torch.stack([state[name] * (weight / total) for state, weight in states])
        result[name] = parts.sum(0).to(value.dtype)
    return result


def start(path: Path, images: PixelSource) -> State:
    """Return the weights of an exported file, with BatchNorms as in the networks that were trained on from it."""
    weights = load_onnx(path)
    network = MobileNetV3Small(len(weights["classifier.3.bias"]))
    network.load_state_dict(weights)
    restore_batchnorm(network, images, torch.device("cpu"))
    return dict(network.state_dict())


def joined(words: list[str], csv: Path, root: Path, calibration_set: str) -> Checkpoint:
    """Return the mean of the named networks with a temperature; InputError where they cannot be averaged."""
    named = [_weighted(word) for word in words]
    trained = {path: Checkpoint.load(path) for path, _ in named if path.suffix != ".onnx"}
    if not trained:
        raise InputError("all networks are exported files; give a trained checkpoint, which knows classes and framing")
    first = next(iter(trained.values()))
    if any((other.classes, other.framing) != (first.classes, first.framing) for other in trained.values()):
        raise InputError("the networks have other classes or crops and cannot be averaged")
    for path, _ in named:
        if path not in trained and (classes := Classifier(path, threads=1).classes) != first.classes:
            raise InputError(f"{path}: answers {', '.join(classes)}, the other networks {', '.join(first.classes)}")
    scheme = scheme_of(first.scheme, first.class_tables) if first.class_tables else scheme_named(first.scheme)
    table = read_crop_table(csv, scheme=scheme, root=root, framing=first.framing)
    crops = open_crops(table, root)
    source = PixelSource(crops, Recipe.of("finetune", {}))
    states = [(trained[path].state_dict if path in trained else start(path, source), weight) for path, weight in named]
    return calibrated(replace(first, state_dict=averaged(states)), crops, source, calibration_set)


def calibrated(network: Checkpoint, crops: CropSet, source: PixelSource, calibration_set: str) -> Checkpoint:
    """Return the checkpoint with the temperature of one set of ``crops``, all for "".

    Prints the accuracy on each set, and where a set has votes, how often the answer is what most annotators chose.
    """
    if calibration_set and calibration_set not in crops.set_names:
        raise InputError(f"there is no set {calibration_set} in {crops.csv}; it has {', '.join(crops.set_names)}")
    fitted = np.array([calibration_set in ("", crops.set_names[number]) for number in crops.sets])
    if not fitted.any():
        raise InputError(f"{crops.csv}: no picture of the set {calibration_set} can be used; {crops.left_out}")
    if crops.left_out:
        print(crops.left_out)
    logits = predict(network.network(), source, torch.device("cpu"))
    temperature = fit_temperature(logits[fitted], crops.labels[fitted])
    for number, name in enumerate(crops.set_names):
        own = crops.sets == number
        if not own.any():
            continue
        metrics = measure(logits[own], crops.labels[own], network.classes, temperature)
        shown = f"accuracy {metrics.accuracy:.3f}, macro-F1 {metrics.macro_f1:.3f}, ECE {metrics.ece:.3f}"
        print(f"{name}: n {metrics.n}, {shown}{_by_majority(logits[own], crops.votes, own)}")
    right = np.equal(logits.argmax(1), crops.labels).mean()
    print(f"all: accuracy {right:.3f}, temperature {temperature:.3f}")
    return replace(network, temperature=temperature)


def _by_majority(logits: Floats, votes: Floats | None, own: NDArray[np.bool_]) -> str:
    if votes is None:
        return ""
    most = votes[own].max(1, keepdims=True)
    clear = (votes[own] == most).sum(1) == 1
    if not clear.any():
        return ""
    right = np.equal(logits.argmax(1), votes[own].argmax(1))[clear]
    return f"; majority of votes: n {clear.sum()}, accuracy {right.mean():.3f}"


def _weighted(word: str) -> tuple[Path, float]:
    name, _, weight = word.rpartition(":")
    if word.endswith((".pt", ".onnx")):  # C:\runs\best.pt has a colon too
        return Path(word), 1.0
    try:
        return Path(name), float(weight)
    except ValueError:
        raise InputError(
            f"{word}: is neither a .pt or .onnx file, nor one with a colon and a number behind it"
        ) from None


def main() -> None:
    """Write the averaged checkpoint."""
    parser = argparse.ArgumentParser(description="Average trained networks")
    parser.add_argument("out", type=Path)
    parser.add_argument("networks", nargs="+", help="best.pt or an exported file, and :WEIGHT")
    parser.add_argument("--csv", type=Path, required=True, help="validation table")
    parser.add_argument("--calibration-set", default="", help="set of the table that fits the temperature; default all")
    parser.add_argument("--project-root", type=Path, default=Path())
    arguments = parser.parse_args()
    try:
        network = joined(arguments.networks, arguments.csv, arguments.project_root, arguments.calibration_set)
        network.save(arguments.out)
    except (InputError, OSError) as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
