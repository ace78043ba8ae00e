"""How steadily faces are framed from frame to frame of a clip whose motion is known.

    python benchmarks/jitter.py --data ../shared/data

Twelve London photographs are moved, scaled and turned in 24 frames of 640 x 480, with the face 0.15 to 0.6 of the frame
wide. Per frame, the center (in lengths of the face), size and angle of a framing are brought back by the known motion;
printed are the standard deviations within a clip, averaged over the clips. Before: TinyFaceDetector's box, which has no
angle, so that the face's own angle is the error. After: the region of our landmarks, with and without the close look.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from framing import labeled_london
from machine import machine
from numpy.typing import NDArray
from PIL import Image

from pyojeong.core.alignment import face_points, turned_region
from pyojeong.core.errors import InputError
from pyojeong.core.images import ImageError, Pixels
from pyojeong.detection.detector import CANDIDATE, Detector
from pyojeong.detection.network import SIDE, Detection, Network, View, merged
from pyojeong.faceapi.detector import FaceApi

SHARES = (0.15, 0.22, 0.35, 0.6)
"""Widths of our detector's box in widths of the frame."""

FRAMES, WIDTH, HEIGHT = 24, 640, 480
GRAY = (120, 120, 120)

Place = tuple[float, float, float, float]
"""Center x and y, size and angle (radians, clockwise in the image)."""


def main() -> None:
    """Print a table for each distance of the face."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    print(machine("pyojeong", "onnxruntime", "numpy", "pillow"))
    try:
        faces = [image for image, *_ in labeled_london(given.data)][::6]
    except (InputError, ImageError, BadZipFile, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    ways = framings()
    print(
        "| box / frame | framed by | found | center x | center y | log size | angle, degrees | step of center | "
        "step of log size |\n|---|---|---|---|---|---|---|---|---|"
    )
    for share in SHARES:
        clips: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ways}
        for image in faces:
            show_clip(image, share, ways, clips)
        for name, errors in clips.items():
            print(f"| {share} | {name} | {line(errors, len(faces) * FRAMES)} |", flush=True)


def framings() -> dict[str, Callable[[Pixels], Place | None]]:
    """Return from an image to the place of its best face, by each way."""
    tiny, ours, network = FaceApi(threads=1), Detector(threads=1), Network(threads=1)

    def box(image: Pixels) -> Place | None:
        for face in tiny.detect(image):
            x0, y0, x1, y1 = face.box
            return (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0), 0.0
        return None

    def one_look(image: Pixels) -> Place | None:
        return region(merged(*network.finds([View.of(image, SIDE)], CANDIDATE)))

    return {
        "TinyFaceDetector's box": box,
        "landmarks, one look": one_look,
        "landmarks, close look": lambda image: region(ours.detect(image)),
    }


def region(faces: list[Detection]) -> Place | None:
    """Return the place of the aligned region of the best face."""
    for face in faces:
        turned = turned_region(face_points(face.landmarks))
        return *turned.center, turned.height, turned.angle
    return None


def show_clip(
    image: Pixels,
    share: float,
    ways: dict[str, Callable[[Pixels], Place | None]],
    clips: dict[str, list[NDArray[np.float64]]],
) -> None:
    """Move a photograph through its frames and add each way's errors [frames, 4]: center, log size, degrees."""
    box = Detector(threads=1).detect(image)[0].box
    center, side = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), box[2] - box[0]
    errors: dict[str, list[list[float]]] = {name: [] for name in ways}
    for number in range(FRAMES):
        scale = share * WIDTH / side * (1 + 0.1 * math.sin(number / 7))
        angle = math.radians(4 * math.sin(number / 5))
        target = 320 + 20 * math.sin(number / 6) + 0.37 * number, 240 + 15 * math.cos(number / 8)
        frame = moved(image, center, scale, angle, target)
        cos, sin = math.cos(angle), math.sin(angle)
        for name, find in ways.items():
            if place := find(frame):
                x, y = place[0] - target[0], place[1] - target[1]
                back = (cos * x + sin * y) / (scale * side), (cos * y - sin * x) / (scale * side)
                errors[name].append([*back, math.log(place[2] / (scale * side)), math.degrees(place[3] - angle)])
    for name, own in errors.items():
        clips[name].append(np.array(own).reshape(-1, 4))


def moved(
    image: Pixels, center: tuple[float, float], scale: float, angle: float, target: tuple[float, float]
) -> Pixels:
    """Return a frame with ``center`` at ``target``, enlarged by ``scale`` and turned clockwise by ``angle``."""
    photograph = Image.fromarray(image)
    if scale < 0.5:
        # Pillow's transform does not average.
        size = max(1, round(photograph.width * scale)), max(1, round(photograph.height * scale))
        photograph = photograph.resize(size, Image.Resampling.BOX)
    kept = photograph.width / image.shape[1]
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    from_x = center[0] - cos * target[0] - sin * target[1]
    from_y = center[1] + sin * target[0] - cos * target[1]
    places = tuple(kept * value for value in (cos, sin, from_x, -sin, cos, from_y))
    turned = photograph.transform(
        (WIDTH, HEIGHT), Image.Transform.AFFINE, places, Image.Resampling.BILINEAR, fillcolor=GRAY
    )
    return np.asarray(turned)


def line(clips: list[NDArray[np.float64]], frames: int) -> str:
    """Return the cells of a row: found, spread within a clip, and mean step from frame to frame."""
    seen = [errors for errors in clips if len(errors) > 3]
    if not seen:
        return f"0 / {frames} | | | | | |"
    spread = np.mean([errors.std(0) for errors in seen], 0)
    steps = np.mean([np.abs(np.diff(errors, axis=0)).mean(0) for errors in seen], 0)
    cells = [*(f"{value:.4f}" for value in spread[:3]), f"{spread[3]:.2f}"]
    return " | ".join(
        [f"{sum(map(len, clips))} / {frames}", *cells, f"{math.hypot(*steps[:2]):.4f}", f"{steps[2]:.4f}"]
    )


if __name__ == "__main__":
    main()
