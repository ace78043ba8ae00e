"""How steadily faces are numbered and labeled in clips whose motion is known.

    python benchmarks/tracking.py --data ../shared/data [--clips 6] [--out FOLDER] [--follow]

Each clip is ten seconds of 960 x 540 at 25 frames a second, made from three London photographs: two faces cross, the
nearer one in front of the other, a third leaves the picture and returns after 0.5 s and again after 3 s. All sway, turn
and grow a little, and every frame has noise. Faces are found once; then each rule follows them. Printed per minute in
which a face is found: id switches (its number is another than when it was found last) and label flips (its label is).
``--out`` writes the clips as films. With ``--follow`` faces are found as in the browser (``web/following.js``): by a
search every 200 ms, and by a close look at each known face in between.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from framing import labeled_london
from machine import machine
from numpy.typing import NDArray
from PIL import Image

from pyojeong.analysis.annotate import Annotator
from pyojeong.analysis.films import Frame
from pyojeong.analysis.sources import Source
from pyojeong.analysis.tracking import FORGET, HALF_LIFE, Tracker
from pyojeong.analyzer import Analyzer
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Box, iou
from pyojeong.core.images import ImageError, Pixels
from pyojeong.detection.detector import Detector
from pyojeong.detection.network import SAME, Detection

WIDTH, HEIGHT, RATE, SECONDS = 960, 540, 25, 10
GRAY = (120, 120, 120)
NOISE = 10
"""Standard deviation of the noise, in levels of 255."""

SEARCH_EVERY = 0.2
"""Seconds, as in ``web/following.js``."""

HALF_LIVES = (0.0, 0.1, 0.2, HALF_LIFE, 0.5, 1.0)


@dataclass(frozen=True)
class Actor:
    """A photograph that moves.

    Attributes:
        image: the photograph.
        center: of its face in pixels.
        side: of its face's box in pixels.
        hidden: from second to second, when it is out of the picture.
    """

    image: Pixels
    center: tuple[float, float]
    side: float
    start: float
    end: float
    share: float
    hidden: tuple[tuple[float, float], ...] = ()

    def place(self, time: float) -> tuple[float, float, float, float] | None:
        """Return center x and y, size in pixels and angle in radians of the face; None where it is hidden."""
        if any(low <= time < high for low, high in self.hidden):
            return None
        phase = self.start * 7
        x = WIDTH * (self.start + (self.end - self.start) * time / SECONDS) + 6 * math.sin(5 * time + phase)
        y = HEIGHT * 0.5 + 8 * math.sin(3 * time + phase)
        size = self.share * HEIGHT * (1 + 0.06 * math.sin(2 * time + phase))
        return x, y, size, math.radians(5 * math.sin(2.5 * time + phase))


class Follower(Detector):
    """Follows the faces of one clip, frame after frame, as ``Follower`` of ``web/following.js`` does."""

    _faces: Sequence[Detection] = ()
    _age = 0

    def detect(self, image: Pixels) -> list[Detection]:
        followed = self._followed(image) if self._age < SEARCH_EVERY * RATE else []
        self._age = self._age + 1 if followed else 1
        self._faces = followed or super().detect(image)
        return [*self._faces]

    def _followed(self, image: Pixels) -> list[Detection]:
        faces: list[Detection] = []
        for known in self._faces:
            face = self.look_at(image, known.box)
            if (
                face is None
                or face.box[2] - face.box[0] < self.min_face * WIDTH
                or any(iou(other.box, face.box) > SAME for other in faces)
            ):
                return []
            faces.append(replace(face, score=max(face.score, known.score)))
        return sorted(faces, key=lambda face: -face.score)


@dataclass(frozen=True)
class Seen:
    """The faces that were found in a frame, and which actor each of them is (None: nobody)."""

    time: float
    boxes: list[Box]
    values: list[NDArray[np.float32]]
    actors: list[int | None]
    shown: int


def main() -> None:
    """Print a row for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--follow", action="store_true")
    given = parser.parse_args()
    print(machine("pyojeong", "onnxruntime", "numpy", "pillow"))
    try:
        images = [image for image, *_ in labeled_london(given.data)]
    except (InputError, ImageError, BadZipFile, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    analyzer = Analyzer(min_face=0.1, threads=1)
    chosen = images[:: max(1, len(images) // (3 * given.clips))][: 3 * given.clips]
    clips = []
    for number, some in enumerate(zip(*[iter(chosen)] * 3, strict=False)):
        if given.follow:
            analyzer._detector = Follower(min_face=0.1, threads=1)
        clips.append([*watched(cast(some), analyzer, number, given.out)])
    shown, found = (sum(count(clip)[part] for clip in clips) for part in (0, 1))
    print(f"{len(clips)} clips, {shown} faces shown, {found} found")
    print("| half-life, s | remembered, s | id switches a minute | label flips a minute |\n|---|---|---|---|")
    for half_life in HALF_LIVES:
        switches, flips, minutes = np.sum([counted(clip, half_life) for clip in clips], axis=0)
        name = f"{half_life:g}" if half_life else "no averages"
        memory = FORGET * (half_life or HALF_LIFE)
        print(f"| {name} | {memory:g} | {switches / minutes:.2f} | {flips / minutes:.2f} |")


def cast(images: tuple[Pixels, ...]) -> list[Actor]:
    """Return two actors that cross, the second in front, and one that leaves and returns."""
    ways = (
        {"start": 0.2, "end": 0.62, "share": 0.34},
        {"start": 0.62, "end": 0.2, "share": 0.40},
        {"start": 0.84, "end": 0.84, "share": 0.36, "hidden": ((3.0, 3.5), (5.0, 8.0))},
    )
    detector = Detector(threads=1)
    actors = []
    for image, way in zip(images, ways, strict=True):
        left, top, right, bottom = detector.detect(image)[0].box
        actors.append(Actor(image, ((left + right) / 2, (top + bottom) / 2), right - left, **way))  # type: ignore[arg-type]
    return actors


def watched(actors: list[Actor], analyzer: Analyzer, seed: int, out: Path | None) -> Iterator[Seen]:
    """Yield what the analyzer finds in each frame of a clip."""
    random = np.random.default_rng(seed)
    colors = dict.fromkeys(analyzer.classifier.classes, "#1c8a94")
    name = f"clip{seed}.mp4"
    film = Annotator(out, colors).film(Source(name, "film", name), RATE) if out else nullcontext(None)
    with film as draw:
        for number in range(RATE * SECONDS):
            time = number / RATE
            places = [actor.place(time) for actor in actors]
            frame = painted(actors, places, random)
            faces = analyzer.analyze(frame)
            if draw:
                draw(Frame(number, time, frame), faces)
            values = [np.array([*face.emotions.values()], np.float32) for face in faces]
            boxes = [face.box for face in faces]
            yield Seen(time, boxes, values, owners(boxes, places), sum(place is not None for place in places))


def painted(
    actors: list[Actor], places: list[tuple[float, float, float, float] | None], random: np.random.Generator
) -> Pixels:
    """Return a frame: each actor's head in an oval, the later ones in front, and noise."""
    frame = Image.new("RGB", (WIDTH, HEIGHT), GRAY)
    for actor, place in zip(actors, places, strict=True):
        if place is None:
            continue
        x, y, size, angle = place
        scale = size / actor.side
        photograph = Image.fromarray(actor.image)
        small = photograph.resize((max(1, round(photograph.width * scale)), max(1, round(photograph.height * scale))))
        cos, sin = math.cos(angle), math.sin(angle)
        from_x, from_y = actor.center[0] * scale, actor.center[1] * scale
        turn = (cos, sin, from_x - cos * x - sin * y, -sin, cos, from_y + sin * x - cos * y)
        moved = small.transform(
            (WIDTH, HEIGHT), Image.Transform.AFFINE, turn, Image.Resampling.BILINEAR, fillcolor=GRAY
        )
        rows, columns = np.ogrid[:HEIGHT, :WIDTH]
        inside = ((columns - x) / (0.75 * size)) ** 2 + ((rows - y + 0.1 * size) / (0.95 * size)) ** 2 <= 1
        frame.paste(moved, (0, 0), Image.fromarray((255 * inside).astype(np.uint8)))
    noisy = np.asarray(frame) + random.normal(0, NOISE, (HEIGHT, WIDTH, 1))
    return noisy.clip(0, 255).astype(np.uint8)


def owners(boxes: list[Box], places: list[tuple[float, float, float, float] | None]) -> list[int | None]:
    """Return the actor whose center is nearest to each box's, if it is within a third of the face."""
    found: list[int | None] = []
    for left, top, right, bottom in boxes:
        x, y = (left + right) / 2, (top + bottom) / 2
        away = [math.hypot(place[0] - x, place[1] - y) / place[2] if place else math.inf for place in places]
        nearest = int(np.argmin(away))
        found.append(nearest if away[nearest] < 1 / 3 and nearest not in found else None)
    return found


def count(clip: list[Seen]) -> tuple[int, int]:
    """Return how many faces a clip shows, and how many of them were found."""
    return sum(seen.shown for seen in clip), sum(actor is not None for seen in clip for actor in seen.actors)


def counted(clip: list[Seen], half_life: float) -> tuple[int, int, float]:
    """Follow the faces of a clip; return id switches, label flips and the minutes for which actors were found."""
    tracker = Tracker(half_life)
    known: dict[int, list[tuple[int, int]]] = {}
    for seen in clip:
        tracks = tracker.next(seen.boxes, seen.values, seen.time)
        for track, actor in zip(tracks, seen.actors, strict=True):
            if actor is not None:
                known.setdefault(actor, []).append((track.id, int(track.values.argmax())))
    steps = [step for moments in known.values() for step in pairwise(moments)]
    switches, flips = (sum(before[part] != after[part] for before, after in steps) for part in (0, 1))
    return switches, flips, sum(map(len, known.values())) / RATE / 60


if __name__ == "__main__":
    main()
