"""How a model bears other framings and poorer pictures than those it is judged on.

The table lists aligned crops of faces, each the whole of its picture, as RAF-DB's are. Every face is classified as it
is; with its crop moved or scaled; gray, small and compressed; and by the whole chain: pasted into an empty frame, found
by our detector, framed by the model's own rule. A crop is pasted with the model's aspect, because it is a
region of that shape which becomes such a crop when it is resized to a square; with ``--aspect`` all models see the same
faces. Where the detector finds a pasted face at no size, the face counts as not found; the chain is compared with the
given crop on the faces that were found, and then once more with those not found as wrong.

    python benchmarks/robustness.py --csv data_raw/test_BASIC7.csv [--project-root .] [--model FILE] [--limit N]
                                    [--float32 FILE: the same model unrounded; says how many labels agree]
"""

import argparse
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pyojeong.analyzer import MODEL, Analyzer
from pyojeong.classifier import Classifier
from pyojeong.core import geometry
from pyojeong.core.alignment import ALIGNED_ASPECT
from pyojeong.core.errors import InputError
from pyojeong.core.images import ImageError, Pixels, decode, read_bytes
from pyojeong.core.labels import scheme_named
from pyojeong.core.metrics import Ints, accuracy, calibration_error, confusion_counts, encode, macro_f1, wilson_interval
from pyojeong.core.table import read_table

LOST = {"chain": 3.0, "jitter": 2.0}
"""Points of accuracy that the chain, and moved or scaled crops, may lose."""

FRAMES = (4.0, 3.0, 1.5)
"""Sides of the empty frames that a face is pasted into, in its longer sides, tried in this order."""

ENLARGED = 240
"""Longer side in pixels at which a face is pasted."""

Change = Callable[[Pixels], Pixels]


def framed(image: Pixels, scale: float = 1.0, right: float = 0.0, down: float = 0.0) -> Pixels:
    """Return the square ``scale`` times as wide as the crop, its center moved by shares of the crop's side."""
    side = max(image.shape[:2])
    half = scale * side / 2
    x, y = image.shape[1] / 2 + right * side, image.shape[0] / 2 + down * side
    return geometry.cut(image, geometry.patch_region((x - half, y - half, x + half, y + half), 0))


def jittered(seed: int) -> Change:
    """Return a change that moves by up to a tenth and scales by 0.85 to 1.25, each image in its own way."""
    dice = np.random.default_rng(seed)

    def change(image: Pixels) -> Pixels:
        scale = float(np.exp(dice.uniform(np.log(0.85), np.log(1.25))))
        return framed(image, scale, *dice.uniform(-0.1, 0.1, 2))

    return change


def gray(image: Pixels) -> Pixels:
    """Return the picture without color."""
    return np.asarray(Image.fromarray(image).convert("L").convert("RGB"))


def small(image: Pixels) -> Pixels:
    """Return the picture at 48 x 48 pixels."""
    return np.asarray(Image.fromarray(image).resize((48, 48), Image.Resampling.BOX))


def compressed(image: Pixels) -> Pixels:
    """Return the picture after a JPEG file of quality 30."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=30)
    return np.asarray(Image.open(file))


CHANGES: dict[str, Change] = {
    "moved up to 10 %, scaled 0.85..1.25 at random": jittered(0),
    "scaled 0.85": lambda image: framed(image, 0.85),
    "scaled 1.25": lambda image: framed(image, 1.25),
    "moved 10 % right": lambda image: framed(image, right=0.1),
    "moved 10 % left": lambda image: framed(image, right=-0.1),
    "moved 10 % down": lambda image: framed(image, down=0.1),
    "moved 10 % up": lambda image: framed(image, down=-0.1),
    "gray": gray,
    "48 pixels": small,
    "JPEG quality 30": compressed,
}


def chain(analyzer: Analyzer, images: Iterable[Pixels], aspect: float) -> list[NDArray[np.float32] | None]:
    """Return the probabilities of each face pasted into an empty frame; None where it was not found in any."""
    return [_pasted(analyzer, image, aspect) for image in images]


def _pasted(analyzer: Analyzer, image: Pixels, aspect: float) -> NDArray[np.float32] | None:
    width, height = round(ENLARGED * min(1.0, aspect)), round(ENLARGED * min(1.0, 1 / aspect))
    face = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    for ratio in FRAMES:
        side = round(ENLARGED * ratio)
        x, y = (side - width) // 2, (side - height) // 2
        frame = np.zeros((side, side, 3), np.uint8)
        frame[y : y + height, x : x + width] = face
        truth = (x, y, x + width, y + height)
        for found in analyzer.analyze(frame):
            if geometry.iou(found.box, truth) >= 0.5:
                return np.array([*found.emotions.values()], np.float32)
    return None


def row(name: str, probabilities: NDArray[np.float32], true: Ints, reference: float) -> float:
    """Print one line of the table; return the accuracy."""
    counts = confusion_counts(true, probabilities.argmax(1), probabilities.shape[1])
    share = accuracy(counts)
    low, high = wilson_interval(int(np.trace(counts)), len(true))
    error = calibration_error(probabilities.max(1), probabilities.argmax(1) == true)
    lost = "" if np.isnan(reference) else f"{100 * (reference - share):+.1f}"
    print(
        f"| {name} | {len(true)} | {100 * share:.2f} ({100 * low:.1f}-{100 * high:.1f}) | {macro_f1(counts):.3f} "
        f"| {error:.3f} | {lost} |"
    )
    return share


def main() -> None:
    """Print the table, or what is missing for it."""
    parser = argparse.ArgumentParser(description="How a model bears other framings and poorer pictures")
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--project-root", type=Path, default=Path())
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--float32", type=Path, default=None, help="the model before its weights were rounded")
    parser.add_argument("--limit", type=int, default=None, help="only so many faces")
    parser.add_argument(
        "--aspect", type=float, default=None, help="width / height at which crops are pasted [the model's]"
    )
    arguments = parser.parse_args()
    try:
        show(arguments)
    except (InputError, ImageError, BadZipFile, OSError) as error:
        parser.exit(2, f"error: {error}\n")


def show(arguments: argparse.Namespace) -> None:
    """Print a row for the crops as given, each change of them, and the chain."""
    classifier = Classifier(arguments.model)
    table = read_table(arguments.csv, scheme=scheme_named(classifier.scheme), root=arguments.project_root)
    table = table.head(arguments.limit) if arguments.limit else table
    true = encode(table["label"].to_list(), classifier.classes)
    images = [decode(read_bytes(arguments.project_root, path)) for path in table["path"]]
    print("| faces | n | accuracy % (95 %) | macro-F1 | ECE | points lost |\n|---|---|---|---|---|---|")
    given = classifier.predict_patches(images)
    reference = row("crop as given", given, true, float("nan"))
    if arguments.float32:
        exact = Classifier(arguments.float32).predict_patches(images)
        same = (exact.argmax(1) == given.argmax(1)).mean()
        row(f"float32 weights (same label: {100 * same:.2f} %)", exact, true, reference)
    for name, change in CHANGES.items():
        row(name, classifier.predict_patches([change(image) for image in images]), true, reference)
    framing = classifier.framing
    own = ALIGNED_ASPECT if framing.aligned_by == "landmarks" else framing.aspect
    found = chain(Analyzer(arguments.model), images, arguments.aspect or own)
    show_chain(found, given, true, reference)


def show_chain(
    found: list[NDArray[np.float32] | None], given: NDArray[np.float32], true: Ints, reference: float
) -> None:
    """Print what the chain makes of the faces that it found, and of all of them."""
    kept = np.array([one is not None for one in found])
    right = 0
    if kept.any():
        at_hand = row("crop as given, faces that the chain found", given[kept], true[kept], float("nan"))
        answers = np.stack([one for one in found if one is not None])
        row(f"chain ({100 * kept.mean():.1f} % found)", answers, true[kept], at_hand)
        right = int((answers.argmax(1) == true[kept]).sum())
    share, (low, high) = right / len(true), wilson_interval(right, len(true))
    print(
        f"| chain, a face not found is wrong | {len(true)} | {100 * share:.2f} ({100 * low:.1f}-{100 * high:.1f}) "
        f"| | | {100 * (reference - share):+.1f} |"
    )


if __name__ == "__main__":
    main()
