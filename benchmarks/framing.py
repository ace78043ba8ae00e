"""How boxes and crops relate, and what a second look finds: the figures behind ``geometry.annotator_box`` and others.

    python benchmarks/framing.py --data ../shared/data [relation] [register] [retry] [steady]

``relation``: boxes of London photographs packed as AI Hub packs its own, made from face landmarks, in units of
TinyFaceDetector's box (london_as_aihub/).
``register``: the region, relative to that box, in which a face looks as in RAF-DB's aligned crops: for each aspect,
where its mean face resembles RAF-DB's mean training face most (rafdb.zip, scut_asian.zip, london_as_aihub/).
``retry``: portraits, whole and cropped tighter, whose face the detector misses, detected again on a padded copy, for
each kind of padding and width (scut_asian.zip). ``mine`` is what ``analyzer.find_faces`` does.
``steady``: spread of the size that boxes give to faces, in the first look, the padded one, and with the padded one for
faces longer than a share of the frame (scut_asian.zip, london_as_aihub/); the basis of ``analyzer.CLOSE``.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from pyojeong import analyzer
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Box, Framing, annotator_box, face_crop, iou
from pyojeong.core.images import ImageError, Pixels, decode, read_bytes
from pyojeong.core.labels import BASIC7
from pyojeong.core.table import BOX_COLUMNS, read_table
from pyojeong.data.prepare import prepare
from pyojeong.faceapi.detector import FaceApi

Portrait = tuple[Pixels, Box]
FRAMES = (1.3, 1.1, 1.0, 0.9)
"""Sides of square crops, in longer sides of the face's box; resized to 256 x 256."""

AMOUNTS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
FILLS: dict[str, Callable[[Pixels], Pixels | str]] = {
    "black": lambda _: np.zeros(3, np.uint8),
    "gray": lambda _: np.full(3, 128, np.uint8),
    "mean": lambda image: (image.mean((0, 1)) + 0.5).astype(np.uint8),
    "edge": lambda _: "edge",
    "reflect": lambda _: "reflect",
}
MEAN_FACES = 800
ASPECTS = (1.0, 0.9, 0.84, 0.8, 0.76, 0.72, 0.68)
"""Widths of regions, in their heights."""

LIMITS = (0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
"""Shares of the frame above which a face is looked at again."""


def main() -> None:
    """Print what is asked for, else all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    for name in given.parts:
        print(f"\n{name}")
        try:
            PARTS[name](given.data, FaceApi(threads=1))
        except (InputError, ImageError, BadZipFile, OSError) as error:
            parser.exit(2, f"error: {error}\n")


def london(data: Path) -> Iterator[Portrait]:
    """Photographs in AI Hub's shape and their annotators' boxes."""
    yield from ((image, box) for image, box, _ in labeled_london(data))


def labeled_london(data: Path) -> Iterator[tuple[Pixels, Box, str]]:
    """Photographs, annotators' boxes and labels of BASIC7, as ``pyojeong prepare`` reads them."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare(data / "london_as_aihub", root)
        for split in ("train", "val", "test"):
            table = read_table(root / f"data_shared/splits_csv/{split}_K7.csv", scheme=BASIC7, root=root, boxes=True)
            for path, label, *box in table.select("path", "label", *BOX_COLUMNS).iter_rows():
                yield decode(read_bytes(root, path)), (box[0], box[1], box[2], box[3]), label


def scut(data: Path) -> Iterator[Portrait]:
    """East Asian portraits and face boxes that enclose their landmarks."""
    with ZipFile(data / "scut_asian.zip") as archive:
        (table,) = (name for name in archive.namelist() if name.endswith("boxes.csv"))
        for path, *box in pl.read_csv(archive.read(table)).iter_rows():
            yield decode(archive.read(path)), (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


def relation(data: Path, detector: FaceApi) -> None:
    """Print the annotators' boxes in units of the longer side of the detector's."""
    rows = []
    for image, box in london(data):
        found = detector.detect(image)
        if found:
            x0, y0, x1, y1 = found[0].box
            longer = max(x1 - x0, y1 - y0)
            middle = ((box[0] + box[2]) - (x0 + x1)) / 2, ((box[1] + box[3]) - (y0 + y1)) / 2
            sides = (box[2] - box[0], box[3] - box[1])
            rows.append([*(value / longer for value in (*sides, *middle)), (x1 - x0) / (y1 - y0)])
    names = ("width", "height", "center to the right", "center below", "detector's width / height")
    for name, values in zip(names, np.array(rows).T, strict=True):
        _print_spread(name, values)
    boxes = [found[0].box for image, _ in scut(data) if (found := detector.detect(image))]
    _print_spread("the latter in scut", np.array([(box[2] - box[0]) / (box[3] - box[1]) for box in boxes]))


def _print_spread(name: str, values: NDArray[np.float64]) -> None:
    low, median, high = np.percentile(values, (10, 50, 90))
    print(f"{name:28} median {median:.3f}  p10 {low:.3f}  p90 {high:.3f}  n {len(values)}")


def register(data: Path, detector: FaceApi) -> None:
    """Print the regions in which detected faces resemble RAF-DB's mean face most, by aspect."""
    with ZipFile(data / "rafdb.zip") as archive:
        names = [name for name in archive.namelist() if "/train/" in name and name.endswith(".jpg")]
        some = np.random.default_rng(0).choice(names, MEAN_FACES, replace=False)
        model = _look(np.mean([_look(decode(archive.read(str(name)))) for name in some], 0))
    for name, portraits in (("scut", scut(data)), ("london", london(data))):
        faces = [(image, found[0].box) for image, _ in portraits if (found := detector.detect(image))]
        for aspect in ASPECTS:
            likeness = {
                (height, offset): float((model * _mean_face(faces[:80], height, offset, aspect)).mean())
                for height in np.arange(0.60, 1.06, 0.05).round(2)
                for offset in np.arange(-0.20, 0.11, 0.02).round(2)
            }
            height, offset = max(likeness, key=likeness.__getitem__)
            print(
                f"{name}: aspect {aspect:.2f}  height {height:.2f}  center below {offset:.2f}  "
                f"correlation {likeness[height, offset]:.3f}  n {len(faces[:80])}",
                flush=True,
            )


def _mean_face(faces: Sequence[Portrait], height: float, offset: float, aspect: float) -> NDArray[np.float64]:
    crops = [face_crop(image, box, Framing((height - 1) / 2, offset, aspect, "detector")) for image, box in faces]
    return _look(np.mean([_look(crop) for crop in crops], 0))


def _look(image: Pixels | NDArray[np.float64]) -> NDArray[np.float64]:
    """Gray, 64 x 64, mean 0, variance 1."""
    gray: NDArray[np.float64] = np.asarray(image, np.float64)
    if gray.ndim == 3:
        small = Image.fromarray(np.asarray(image, np.uint8)).convert("L").resize((64, 64), Image.Resampling.BILINEAR)
        gray = np.asarray(small, np.float64)
    gray -= gray.mean()
    gray /= gray.std()
    return gray


def retry(data: Path, detector: FaceApi) -> None:
    """Print found / missed before, on the face (IoU >= 0.5 as an annotator's box), elsewhere (IoU < 0.3)."""
    whole = list(scut(data))
    sets = {"whole": whole, **{str(share): [tight(*portrait, share) for portrait in whole] for share in FRAMES}}
    missed = {name: [one for one in some if not detector.detect(one[0])] for name, some in sets.items()}
    ways: dict[str, Callable[[Pixels], list[Box]]] = {
        "mine": lambda image: [face.box for face in analyzer.find_faces(detector, image)]
    }
    for fill in FILLS:
        for amount in AMOUNTS:
            ways[f"{fill} {amount}"] = partial(_padded, detector, fill, amount)
    for way, look in ways.items():
        cells = [f"{name}: {_score(some, look)}" for name, some in missed.items()]
        print(f"{way:13}", "  ".join(cells), flush=True)


def steady(data: Path, detector: FaceApi) -> None:
    """Print, per set, the standard deviation of log(longer side of the box / height of the annotator's box)."""
    east, west = list(scut(data)), list(london(data))
    sets = {"scut whole": east, "london whole": west}
    for share in (1.0, 1.3):
        sets |= {f"scut {share}": [tight(*portrait, share) for portrait in east]}
    for share in (1.3, 2.0, 3.0):
        sets |= {f"london {share}": [tight(*portrait, share) for portrait in west]}
    for name, portraits in sets.items():
        share, plain, padded = np.array([look for one in portraits if (look := _two_looks(detector, *one))]).T
        low, median, high = np.percentile(share, (5, 50, 95))
        cells = [f"first {plain.std():.3f}  padded {padded.std():.3f}"]
        for limit in LIMITS:
            cells.append(f"> {limit}: {np.where(share > limit, padded, plain).std():.3f}")
        print(f"{name:13} n {len(share):3}  share of the frame {low:.2f} {median:.2f} {high:.2f}  ", "  ".join(cells))


def _two_looks(detector: FaceApi, image: Pixels, box: Box) -> tuple[float, float, float] | None:
    """Share of the frame that the first look's best box takes, and both looks' log sizes; None: one finds no face."""
    found = detector.detect(image)
    padded = _padded(detector, "gray", analyzer.PADDING, image) if found else []
    if not padded:
        return None
    sizes = [max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in (found[0].box, padded[0])]
    plain, second = (float(np.log(size / (box[3] - box[1]))) for size in sizes)
    return sizes[0] / max(image.shape[:2]), plain, second


def _score(missed: Sequence[Portrait], look: Callable[[Pixels], list[Box]]) -> str:
    best = [(found[0], box) for image, box in missed if (found := look(image))]
    right = sum(iou(annotator_box(found), box) >= 0.5 for found, box in best)
    wrong = sum(iou(found, box) < 0.3 for found, box in best)
    return f"{len(best)}/{len(missed)} right {right} wrong {wrong}"


def _padded(detector: FaceApi, fill: str, amount: float, image: Pixels) -> list[Box]:
    edge = int(amount * max(image.shape[:2]) + 0.5)
    color = FILLS[fill](image)
    around = ((edge, edge), (edge, edge), (0, 0))
    if isinstance(color, str):
        padded = np.pad(image, around, mode="edge" if color == "edge" else "reflect")
    else:
        padded = np.empty([length + 2 * edge for length in image.shape[:2]] + [3], np.uint8)
        padded[:] = color
        padded[edge:-edge, edge:-edge] = image
    shifted = [[value - edge for value in face.box] for face in detector.detect(padded)]
    return [(box[0], box[1], box[2], box[3]) for box in shifted]


def tight(image: Pixels, box: Box, share: float) -> Portrait:
    """Cut a square of ``share`` longer sides around a box, moved into the image, and resize it to 256 x 256."""
    height, width = image.shape[:2]
    side = min(share * max(box[2] - box[0], box[3] - box[1]), height, width)
    x = min(max((box[0] + box[2] - side) / 2, 0), width - side)
    y = min(max((box[1] + box[3] - side) / 2, 0), height - side)
    square = Image.fromarray(image).resize((256, 256), Image.Resampling.BILINEAR, box=(x, y, x + side, y + side))
    scale = 256 / side
    moved = ((box[0] - x) * scale, (box[1] - y) * scale, (box[2] - x) * scale, (box[3] - y) * scale)
    return np.asarray(square), moved


PARTS: dict[str, Callable[[Path, FaceApi], None]] = {
    "relation": relation,
    "register": register,
    "retry": retry,
    "steady": steady,
}


if __name__ == "__main__":
    main()
