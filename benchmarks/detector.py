"""What the detector finds and takes, next to its targets, TinyFaceDetector and YuNet; and how tilted faces are read.

    python benchmarks/detector.py --data ../shared/data [--yunet FILE] [found] [empty] [speed] [tilts]

``found``: faces found, and pictures in which something else is taken for one, in portraits, crops, crowds and tilted
photographs (scut_asian.zip, london_as_aihub/, jaffe.zip, taiwan_odd.zip). A face counts from an IoU of 0.3 with the box
that is known; where none is known, one face is there, and a second is an error.
``empty``: pictures without a face in which one is seen (generated).
``speed``: processor time of a portrait on one thread; the detectors take turns. ``one look`` is ours without the close
look at each face.
``tilts``: faces of 12 photographs, upright and turned, that the shipped model reads right, framed by landmarks and by
boxes.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from framing import FRAMES, labeled_london, scut, tight
from machine import machine
from PIL import Image
from rivals import LOOK, OURS, TINY, Finder, finders
from scenes import ANGLES, GRIDS, WIDTH, crowd, textures, tilted

from pyojeong.analyzer import MODEL, Analyzer
from pyojeong.core.errors import InputError, check_choice
from pyojeong.core.geometry import MATCHED_IOU, Box, iou
from pyojeong.core.images import ImageError, Pixels, decode
from pyojeong.detection.detector import CANDIDATE
from pyojeong.detection.network import SIDE, Network, View, merged
from pyojeong.faceapi.detector import FaceApi

Case = tuple[Pixels, Box | None]
EMPTY = 1200
TEMPO_GOAL = 0.25
"""Time of detection in a portrait, in that of TinyFaceDetector."""


def main() -> None:
    """Print what is asked for, else all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)} [all]")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--yunet", type=Path, help="YuNet's ONNX file [DATA/../weights/yunet_2026may.onnx]")
    given = parser.parse_args()
    yunet = given.yunet or given.data.parent / "weights" / "yunet_2026may.onnx"
    print(machine("pyojeong", "onnxruntime", "numpy", "pillow"))
    try:
        for name in given.parts or PARTS:
            check_choice("part", name, PARTS)
            print(f"\n{name}", flush=True)
            PARTS[name](given.data, finders(yunet))
    except (InputError, ImageError, BadZipFile, OSError) as error:
        parser.exit(2, f"error: {error}\n")


def found(data: Path, detectors: dict[str, Finder]) -> None:
    """Print a row for each set of photographs: found, and in how many pictures something else is taken for a face."""
    print("| faces | n | goal | " + " | ".join(detectors) + " |\n|---|---|---|" + "---|" * len(detectors))
    whole = list(scut(data))
    row("SCUT", whole, 0.995, detectors)
    for share in FRAMES:
        row(f"SCUT, square of {share} heights", [tight(*one, share) for one in whole], 0.995, detectors)
    row("London", [(image, box) for image, box, _ in labeled_london(data)], 1.0, detectors)
    for name, goal in (("jaffe", 1.0), ("taiwan_odd", 1.0)):
        row(name, listed(data / f"{name}.zip"), goal, detectors)
    faces = [face for face, _ in twelve(data)]
    for columns, rows in GRIDS:
        count = columns * rows
        sheet = crowd(faces, columns, rows)
        goal = 150 if count == 160 else count
        cells = [in_cells(finder(sheet), columns) for finder in detectors.values()]
        print_row(f"crowd of {count}, {WIDTH} px", count, f">= {goal}", cells)
    for degrees in ANGLES:
        row(f"turned by {degrees:+d}°", [(tilted(face, degrees), None) for face in faces], 1.0, detectors)


def listed(archive: Path) -> Iterable[Case]:
    """Return the pictures of an archive with ``labels.csv``, a face in each."""
    with ZipFile(archive) as file:
        for name in file.namelist():
            if name.endswith((".jpg", ".png", ".tiff")):
                yield decode(file.read(name)), None


def twelve(data: Path) -> list[tuple[Image.Image, str]]:
    """Return the first six happy and six neutral London photographs, by their archives, at half size."""
    chosen = []
    for emotion, label in (("기쁨", "happy"), ("중립", "neutral")):
        archives = [*(data / "london_as_aihub").glob(f"*원천*{emotion}*")]
        if not archives:
            raise InputError(f"{data / 'london_as_aihub'}: no archive of photographs for {emotion}")
        with ZipFile(archives[0]) as file:
            images = [Image.fromarray(decode(file.read(info))) for info in file.infolist()[:6]]
        chosen += [(image.resize((image.width // 2, image.height // 2)), label) for image in images]
    return chosen


def row(name: str, cases: Iterable[Case], goal: float, detectors: dict[str, Finder]) -> None:
    """Print one line of the table: found and beside."""
    known = list(cases)
    cells = []
    for finder in detectors.values():
        hits = beside = 0
        for image, box in known:
            seen = finder(image)
            # Without a known box the best face is taken for right.
            face = box or (seen[0] if seen else None)
            hits += any(face and iou(one, face) >= MATCHED_IOU for one in seen)
            beside += any(not face or iou(one, face) < MATCHED_IOU for one in seen)
        cells.append((hits, beside))
    print_row(name, len(known), f">= {100 * goal:g} %", cells)


def in_cells(boxes: Iterable[Box], columns: int) -> tuple[int, int]:
    """Return in how many cells of a crowd a face lies, and how many boxes lie in a cell that has one."""
    side = WIDTH // columns
    counts = Counter((int((box[0] + box[2]) / 2 // side), int((box[1] + box[3]) / 2 // side)) for box in boxes)
    return len(counts), counts.total() - len(counts)


def print_row(name: str, count: int, goal: str, cells: Iterable[tuple[int, int]]) -> None:
    """Print one line of the table."""
    texts = [f"{hits}" + (f" (+{beside})" if beside else "") for hits, beside in cells]
    print(f"| {name} | {count} | {goal} | " + " | ".join(texts) + " |", flush=True)


def empty(_: Path, detectors: dict[str, Finder]) -> None:
    """Print in how many pictures without a face each detector sees one."""
    seen: dict[str, Counter[str]] = {name: Counter() for name in detectors}
    for kind, image in textures(EMPTY):
        for name, finder in detectors.items():
            seen[name][kind] += bool(finder(image))
    for name, kinds in seen.items():
        where = ", ".join(f"{kind} {count}" for kind, count in kinds.items() if count)
        print(f"{name}: {kinds.total()} of {EMPTY} {f'({where})' if where else ''}")
    print(f"RATIO false_faces_in_1000 {1000 * seen[OURS].total() / EMPTY:.2f} goal 1")


def speed(data: Path, detectors: dict[str, Finder]) -> None:
    """Print the median time per portrait, and ours in TinyFaceDetector's."""
    network = Network(threads=1)
    detectors[LOOK] = lambda image: [face.box for face in merged(*network.finds([View.of(image, SIDE)], CANDIDATE))]
    london = [image for image, *_ in labeled_london(data)]
    for name, images in {"SCUT": [image for image, _ in scut(data)][:60], "London": london}.items():
        seconds: dict[str, list[float]] = {detector: [] for detector in detectors}
        for image in [images[0], *images]:
            for detector, finder in detectors.items():
                seconds[detector].append(min(timed(finder, image) for _ in range(3)))
        medians = {detector: 1000 * statistics.median(times[1:]) for detector, times in seconds.items()}
        print(f"{name} (n {len(images)}): " + ", ".join(f"{key} {value:.2f} ms" for key, value in medians.items()))
        for key, ours in (("look", LOOK), ("detection", OURS)):
            print(f"RATIO {key}_in_{name} {medians[ours] / medians[TINY]:.3f} goal {TEMPO_GOAL}")


def timed(finder: Finder, image: Pixels) -> float:
    """Return the seconds of the processor that one detection takes; others may use the machine as well."""
    start = time.thread_time()
    finder(image)
    return time.thread_time() - start


def tilts(data: Path, _: dict[str, Finder]) -> None:
    """Print how many of 12 faces the shipped model reads right at each angle."""
    faces = twelve(data)
    analyzer, tiny = Analyzer(threads=1), FaceApi(threads=1)
    readers: dict[str, Callable[[Pixels], str]] = {
        "landmarks": partial(by_landmarks, analyzer),
        "our box": partial(by_our_box, analyzer),
        "TinyFaceDetector's box": partial(by_tiny_box, analyzer, tiny),
    }
    print(f"{MODEL.name}\n| framed by | " + " | ".join(f"{degrees:+d}°" for degrees in ANGLES) + " |")
    print("|---|" + "---|" * len(ANGLES))
    for name, read in readers.items():
        right = [sum(read(tilted(face, degrees)) == label for face, label in faces) for degrees in ANGLES]
        print(f"| {name} | " + " | ".join(map(str, right)) + " |", flush=True)


def by_landmarks(analyzer: Analyzer, image: Pixels) -> str:
    """Return what the best face shows; empty without one."""
    faces = analyzer.analyze(image)
    return faces[0].label if faces else ""


def by_our_box(analyzer: Analyzer, image: Pixels) -> str:
    """Return what the best face shows, cut upright by its box."""
    faces = analyzer.analyze(image)
    return best(analyzer.classifier.predict(image, faces[0].box, box_kind="blazeface")) if faces else ""


def by_tiny_box(analyzer: Analyzer, tiny: FaceApi, image: Pixels) -> str:
    """Return what TinyFaceDetector's best face shows."""
    faces = tiny.detect(image)
    return best(analyzer.classifier.predict(image, faces[0].box, box_kind="detector")) if faces else ""


def best(emotions: dict[str, float]) -> str:
    """Return the most probable class."""
    return max(emotions, key=emotions.__getitem__)


PARTS: dict[str, Callable[[Path, dict[str, Finder]], None]] = {
    "found": found,
    "empty": empty,
    "speed": speed,
    "tilts": tilts,
}


if __name__ == "__main__":
    main()
