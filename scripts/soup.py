"""Average the weights of trained networks and fit the temperature of the result on a validation table.

    python scripts/soup.py OUT.pt --csv data_raw/mixed_val_BASIC7.csv RUN/best.pt OTHER/best.pt[:WEIGHT] ...

The networks must have been trained on from one start, so that their weights can be averaged at all (Wortsman et al.,
"Model soups", 2022). Classes and framing are those of the first. Accuracies on each set of the table are printed.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pyojeong.core.errors import InputError
from pyojeong.core.labels import scheme_named
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.training.batches import PixelSource
from pyojeong.training.crop_cache import open_crops, read_crop_table
from pyojeong.training.loop import predict
from pyojeong.training.recipe import Recipe
from pyojeong.training.scoring import fit_temperature, measure


def averaged(networks: list[tuple[Checkpoint, float]]) -> Checkpoint:
    """Return the first checkpoint with the weighted mean of all weights; InputError where classes or crops differ."""
    first = networks[0][0]
    for other, weight in networks:
        if (other.classes, other.framing) != (first.classes, first.framing):
            raise InputError("the networks have other classes or crops and cannot be averaged")
        if not weight >= 0:
            raise InputError(f"a network has the weight {weight}; it must be 0 or more")
    total = sum(weight for _, weight in networks)
    if not total:
        raise InputError("all networks have the weight 0; give one of them more")
    state = {}
    for name, value in first.state_dict.items():
        parts = torch.stack([one.state_dict[name] * (weight / total) for one, weight in networks])
        state[name] = parts.sum(0).to(value.dtype)
    return replace(first, state_dict=state)


def calibrated(network: Checkpoint, csv: Path, root: Path) -> Checkpoint:
    """Return the checkpoint with the temperature of a validation table, and print its accuracy on each set."""
    table = read_crop_table(csv, scheme=scheme_named(network.scheme), root=root, framing=network.framing)
    crops = open_crops(table, root)
    source = PixelSource(crops, Recipe.of("finetune", {}))
    logits = predict(network.network(), source, torch.device("cpu"))
    temperature = fit_temperature(logits, crops.labels)
    for number, name in enumerate(crops.set_names):
        own = crops.sets == number
        metrics = measure(logits[own], crops.labels[own], network.classes, temperature)
        shown = f"accuracy {metrics.accuracy:.3f}, macro-F1 {metrics.macro_f1:.3f}, ECE {metrics.ece:.3f}"
        print(f"{name}: n {metrics.n}, {shown}")
    right = np.equal(logits.argmax(1), crops.labels).mean()
    print(f"all: accuracy {right:.3f}, temperature {temperature:.3f}")
    return replace(network, temperature=temperature)


def _network(word: str) -> tuple[Checkpoint, float]:
    name, colon, weight = word.rpartition(":")
    try:
        return (Checkpoint.load(Path(name)), float(weight)) if colon else (Checkpoint.load(Path(word)), 1.0)
    except ValueError:
        raise InputError(f"{word}: the weight after the colon is not a number") from None


def main() -> None:
    """Write the averaged checkpoint."""
    parser = argparse.ArgumentParser(description="Average trained networks")
    parser.add_argument("out", type=Path)
    parser.add_argument("networks", nargs="+", help="best.pt, or best.pt:WEIGHT")
    parser.add_argument("--csv", type=Path, required=True, help="validation table")
    parser.add_argument("--project-root", type=Path, default=Path())
    arguments = parser.parse_args()
    try:
        network = averaged([_network(word) for word in arguments.networks])
        calibrated(network, arguments.csv, arguments.project_root).save(arguments.out)
    except InputError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
