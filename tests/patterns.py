"""Small crops that a network can learn: each class is a bright bar at its own angle, on noise."""

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from pyojeong.core.images import Pixels
from pyojeong.core.labels import M1, Scheme
from pyojeong.core.table import write_csv

SIDE = 64


def pattern(label: int, classes: int, generator: np.random.Generator) -> Pixels:
    """Draw one crop of a class, uint8 [64, 64, 3]."""
    angle = np.pi * label / classes
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + generator.uniform(-4, 4, (2, 1, 1))
    bar = np.abs(np.cos(angle) * rows - np.sin(angle) * columns) < 6
    image = generator.integers(0, 120, (SIDE, SIDE, 3), dtype=np.uint8)
    image[bar] += generator.integers(60, 120, 3, dtype=np.uint8)
    return image


def write_crops(root: Path, name: str, per_class: int, scheme: Scheme = M1, seed: int = 0) -> Path:
    """Write ``per_class`` crops of every class and the CSV ``root/name.csv`` that lists them."""
    generator = np.random.default_rng((seed, len(name), *name.encode()))
    rows = []
    for index in range(per_class * len(scheme.classes)):
        label = index % len(scheme.classes)
        path = f"crops/{name}/{index:03d}.png"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pattern(label, len(scheme.classes), generator)).save(root / path)
        rows.append({"path": path, "label_en": scheme.classes[label]})
    write_csv(pl.DataFrame(rows), root / f"{name}.csv")
    return root / f"{name}.csv"
