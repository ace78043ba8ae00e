"""The whole chain on studio photographs that no model has learned from: which crop of a detected face is read best.

    python benchmarks/portraits.py --data ../shared/data [--model FILE] [--csv data_raw/val_BASIC7.csv]
        [--photographs data_raw/scut_BASIC7.csv] [--scan]

Faces of the London set (happy and neutral, what two of three annotators say) are found by our detector, in the whole
photograph and in squares of 1.3 and 1.0 heights of the face at 256 x 256, and framed by the model's own rule, by their
landmarks, and by their boxes. So are those of ``--photographs``, any table. With ``--csv``, a table of aligned crops,
each crop is also pasted into an empty frame, as wide as high and 0.76 times as wide, and found there. With ``--scan``
the same for rules around the model's own rule for boxes: margin, offset and aspect of a model are chosen by this table,
on faces that are no test set.
"""

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from framing import labeled_london, tight
from PIL import Image

from pyojeong.analyzer import MODEL
from pyojeong.classifier import Classifier
from pyojeong.core import geometry
from pyojeong.core.alignment import cut_turned, face_points, turned_region
from pyojeong.core.errors import InputError
from pyojeong.core.images import ImageError, Pixels, decode, read_bytes
from pyojeong.core.labels import BASIC7
from pyojeong.core.metrics import wilson_interval
from pyojeong.core.table import read_table
from pyojeong.detection.detector import Detector
from pyojeong.detection.network import Detection

HEIGHTS = (1.3, 1.0)
"""Sides of the tight squares in heights of the annotator's box."""

NATURAL = 0.76
"""Width by height at which an aligned crop of RAF-DB has the shape of a face; see ``framing.py register``."""

FACE, FRAME = 240, 720
"""Height of a pasted crop and side of its frame, in pixels."""

Rule = tuple[float, float, float]
"""Margin, offset and aspect."""

STEPS = {"margin": (-0.025, 0.0, 0.025), "offset": (0.0, 0.015), "aspect": (0.8, 0.85, 0.9, 1.0)}


@dataclass(frozen=True)
class Found:
    """A photograph, the best face in it (None: no face found), and what it shows."""

    image: Pixels
    face: Detection | None
    label: str


def pasted(image: Pixels, aspect: float) -> Pixels:
    """Return an empty frame with the crop in its middle."""
    face = Image.fromarray(image).resize((round(FACE * aspect), FACE), Image.Resampling.BICUBIC)
    frame = Image.new("RGB", (FRAME, FRAME))
    frame.paste(face, ((FRAME - face.width) // 2, (FRAME - FACE) // 2))
    return np.asarray(frame)


def found(detector: Detector, image: Pixels, label: str) -> Found:
    """Return the photograph with its best face."""
    faces = detector.detect(image)
    return Found(image, faces[0] if faces else None, label)


def labeled(csv: Path, root: Path) -> list[tuple[Pixels, str]]:
    """Return the photographs of a table and what each shows."""
    rows = read_table(csv, scheme=BASIC7, root=root).select("path", "label").iter_rows()
    return [(decode(read_bytes(root, path)), label) for path, label in rows]


def collect(
    detector: Detector, data: Path, photographs: Path | None, csv: Path | None, root: Path
) -> dict[str, list[Found]]:
    """Return every set of photographs, each face looked for once."""
    london = list(labeled_london(data))
    sets = {"london": [found(detector, image, label) for image, _, label in london]}
    for height in HEIGHTS:
        squares = [(tight(image, box, height)[0], label) for image, box, label in london]
        sets[f"london {height}"] = [found(detector, image, label) for image, label in squares]
    if photographs:
        sets[photographs.stem] = [found(detector, *one) for one in labeled(photographs, root)]
    if csv:
        aligned = labeled(csv, root)
        for aspect in (1.0, NATURAL):
            sets[f"pasted {aspect}"] = [found(detector, pasted(image, aspect), label) for image, label in aligned]
    return sets


def right(classifier: Classifier, photographs: list[Found], rule: Rule | None) -> tuple[int, int]:
    """Return how many faces were found, and how many of them read right, framed by ``rule`` or by landmarks."""
    patches, labels = [], []
    for one in photographs:
        if one.face:
            patches.append(patch(classifier, one.image, one.face, rule))
            labels.append(one.label)
    named = classifier.predict_patches([geometry.resize(patch) for patch in patches]).argmax(1)
    return len(labels), sum(classifier.classes[name] == label for name, label in zip(named, labels, strict=True))


def patch(classifier: Classifier, image: Pixels, face: Detection, rule: Rule | None) -> Pixels:
    """Return the patch of a face."""
    if rule is None:
        return cut_turned(image, turned_region(face_points(face.landmarks)))
    box = geometry.convert_box(face.box, "blazeface", classifier.framing.box_kind)
    return geometry.cut(image, geometry.patch_region(box, *rule))


def main() -> None:
    """Print the table, or what is missing for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--photographs", type=Path, help="labeled photographs with a face each")
    parser.add_argument("--csv", type=Path, help="aligned crops, each the whole of its picture")
    parser.add_argument("--project-root", type=Path, default=Path())
    parser.add_argument("--scan", action="store_true", help="rules around the model's own as well")
    given = parser.parse_args()
    try:
        show(given)
    except (InputError, ImageError, BadZipFile, OSError) as error:
        parser.exit(2, f"error: {error}\n")


def show(given: argparse.Namespace) -> None:
    """Print a row for each rule."""
    classifier = Classifier(given.model)
    if set(classifier.classes) != set(BASIC7.classes):
        raise InputError(
            f"{given.model}: answers {', '.join(classifier.classes)}, and the photographs have BASIC7's words"
        )
    sets = collect(Detector(threads=1), given.data, given.photographs, given.csv, given.project_root)
    own = (classifier.framing.margin, classifier.framing.offset, classifier.framing.aspect)
    margins, offsets, aspects = STEPS.values()
    around = itertools.product(margins, offsets, aspects)
    rules: list[Rule | None] = [None, own]
    rules += [(own[0] + margin, own[1] + offset, aspect) for margin, offset, aspect in around if given.scan]
    print("| margin | offset | aspect | " + " | ".join(f"{name}: right / found / n" for name in sets) + " |")
    print("|---|---|---|" + "---|" * len(sets))
    for rule in rules:
        cells = []
        for photographs in sets.values():
            count, hits = right(classifier, photographs, rule)
            low, high = wilson_interval(hits, len(photographs))
            share = 100 * hits / len(photographs)
            cells.append(f"{share:.1f} % ({100 * low:.0f}-{100 * high:.0f}), {hits} / {count} / {len(photographs)}")
        framed = [f"{value:.3f}" for value in rule] if rule else ["by", "landmarks", ""]
        print("| " + " | ".join([*framed, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
