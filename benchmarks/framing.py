"""How boxes and landmarks relate to each other: the figures behind ``core.geometry`` and ``core.alignment``.

    python benchmarks/framing.py --data ../shared/data [relation] [points] [register]

``relation``: boxes of London photographs packed as AI Hub packs its own, made from face landmarks, in units of
TinyFaceDetector's box and of our detector's (london_as_aihub/).
``points``: how far the mouth lies below the eyes, in distances of the eyes, in RAF-DB's aligned crops and in detected
faces, and how well the three points fit RAF-DB's (scut_asian.zip, london_as_aihub/).
``register``: the region, relative to TinyFaceDetector's box, in which a face looks as in RAF-DB's aligned crops: for
each aspect, where its mean face resembles RAF-DB's mean training face most (rafdb.zip, scut_asian.zip,
london_as_aihub/).
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from pyojeong.core.alignment import ALIGNED, ALIGNED_ASPECT, face_points, turned_region
from pyojeong.core.errors import InputError, check_choice
from pyojeong.core.geometry import Box, Framing, face_crop
from pyojeong.core.images import ImageError, Pixels, decode, read_bytes
from pyojeong.core.labels import BASIC7
from pyojeong.core.table import BOX_COLUMNS, read_table
from pyojeong.data.prepare import prepare
from pyojeong.detection.detector import Detector
from pyojeong.faceapi.detector import FaceApi

Portrait = tuple[Pixels, Box]
FRAMES = (1.3, 1.1, 1.0, 0.9)
"""Sides of square crops, in longer sides of the face's box; resized to 256 x 256."""

MEAN_FACES = 800
ASPECTS = (1.0, 0.9, 0.84, 0.8, 0.76, 0.72, 0.68)
"""Widths of regions, in their heights."""


def main() -> None:
    """Print what is asked for, else all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)} [all]")
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    for name in given.parts or PARTS:
        try:
            check_choice("part", name, PARTS)
            print(f"\n{name}", flush=True)
            PARTS[name](given.data)
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


def relation(data: Path) -> None:
    """Print the annotators' boxes in units of the longer side of each detector's."""
    portraits = list(london(data))
    for title, detector in (("TinyFaceDetector", FaceApi(threads=1)), ("our detector", Detector(threads=1))):
        rows = []
        for image, box in portraits:
            found = detector.detect(image)
            if found:
                x0, y0, x1, y1 = found[0].box
                longer = max(x1 - x0, y1 - y0)
                middle = ((box[0] + box[2]) - (x0 + x1)) / 2, ((box[1] + box[3]) - (y0 + y1)) / 2
                sides = (box[2] - box[0], box[3] - box[1])
                rows.append([*(value / longer for value in (*sides, *middle)), (x1 - x0) / (y1 - y0)])
        print(title)
        names = ("width", "height", "center to the right", "center below", "detector's width / height")
        for name, values in zip(names, np.array(rows).T, strict=True):
            _print_spread(name, values)
        boxes = [found[0].box for image, _ in scut(data) if (found := detector.detect(image))]
        _print_spread("the latter in scut", np.array([(box[2] - box[0]) / (box[3] - box[1]) for box in boxes]))


def points(data: Path) -> None:
    """Print the proportions of faces, and the distance of their points from an aligned crop's."""
    (right, left, mouth) = (np.array(place) for place in ALIGNED)
    print(f"RAF-DB's crops: mouth below the eyes by {_proportion(right, left, mouth):.3f} of their distance")
    detector = Detector(threads=1)
    proportions, misses = [], []
    for image, _ in (*scut(data), *london(data)):
        for face in detector.detect(image)[:1]:
            own = np.array(face_points(face.landmarks))
            proportions.append(_proportion(*own))
            region = turned_region([(x, y) for x, y in own])
            cos, sin = np.cos(region.angle), np.sin(region.angle)
            upright = (own - region.center) @ np.array([[cos, -sin], [sin, cos]])
            shares = upright / (region.width, region.height) + 0.5
            misses.append(np.hypot(*((shares - ALIGNED) * (ALIGNED_ASPECT, 1)).T).max())
    _print_spread("detected faces", np.array(proportions))
    _print_spread("furthest point, in heights of the region", np.array(misses))


def _proportion(right: NDArray[np.float64], left: NDArray[np.float64], mouth: NDArray[np.float64]) -> float:
    """Return the distance of the mouth from the line of the eyes, in distances of the eyes."""
    across, down = left - right, mouth - right
    return float(abs(across[0] * down[1] - across[1] * down[0]) / (across @ across))


def _print_spread(name: str, values: NDArray[np.float64]) -> None:
    low, median, high = np.percentile(values, (10, 50, 90))
    print(f"{name:28} median {median:.3f}  p10 {low:.3f}  p90 {high:.3f}  n {len(values)}")


def register(data: Path) -> None:
    """Print the regions in which detected faces resemble RAF-DB's mean face most, by aspect."""
    detector = FaceApi(threads=1)
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


PARTS: dict[str, Callable[[Path], None]] = {"relation": relation, "points": points, "register": register}


if __name__ == "__main__":
    main()
