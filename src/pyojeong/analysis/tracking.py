"""Follow each face from frame to frame and average its probabilities; the same rule as ``web/smoothing.js``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Box, iou

HALF_LIFE = 0.3
"""Default half-life in seconds of the weights that average a face's probabilities."""

SAME_FACE = 0.3
"""Least overlap (IoU) of a face's boxes in consecutive frames."""

FORGET = 4
"""Half-lives after which a lost face is forgotten."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Track:
    """A face that is followed.

    Attributes:
        id: its number, from 1 on.
        box: minX, minY, maxX, maxY where it was seen last.
        values: its averaged probabilities.
        seen: time in seconds at which it was seen last.
    """

    id: int
    box: Box
    values: Values
    seen: float


class Tracker:
    """Numbers the faces of a film and averages each one's probabilities with weights that halve every half-life.

    Args:
        half_life: in seconds; 0 leaves the probabilities as they are and follows faces as with ``HALF_LIFE``.

    Raises:
        InputError: the half-life is negative or not finite.
    """

    def __init__(self, half_life: float = HALF_LIFE) -> None:
        if not (np.isfinite(half_life) and half_life >= 0):
            raise InputError(
                f"the half-life is {half_life}; it must be a number of seconds from 0, such as {HALF_LIFE}"
            )
        self._half_life = half_life
        self._tracks: list[Track] = []
        self._count = 0

    def next(self, boxes: Sequence[Box], values: Sequence[Values], time: float) -> list[Track]:
        """Return the track of each face of the next frame, with its averaged probabilities.

        Args:
            boxes: of the faces of one frame, best detector score first.
            values: their probabilities, float32 [K] each.
            time: of the frame in seconds.
        """
        left = self._tracks
        now = []
        for box, own in zip(boxes, values, strict=True):
            track = _take_nearest(left, box)
            if track is None:
                self._count += 1
                now.append(Track(self._count, box, np.asarray(own, np.float32), time))
            else:
                now.append(Track(track.id, box, self._averaged(track, own, time), time))
        forget = FORGET * (self._half_life or HALF_LIFE)
        self._tracks = [*now, *(track for track in left if time - track.seen <= forget)]
        return now

    def _averaged(self, track: Track, values: Values, time: float) -> Values:
        if not self._half_life:
            return np.asarray(values, np.float32)
        keep = 2 ** (-max(0.0, time - track.seen) / self._half_life)
        # In double precision, as JavaScript computes.
        new = values.astype(np.float64)
        return (new + keep * (track.values - new)).astype(np.float32)

    def state(self) -> dict[str, Any]:
        """Return what ``resume`` needs as JSON values."""
        tracks = [[track.id, [*track.box], track.values.tolist(), track.seen] for track in self._tracks]
        return {"count": self._count, "tracks": tracks}

    def resume(self, count: int, tracks: Sequence[tuple[int, Box, list[float], float]]) -> None:
        """Go on from a state that ``state`` returned."""
        self._count = count
        self._tracks = [
            Track(number, (box[0], box[1], box[2], box[3]), np.array(values, np.float32), seen)
            for number, box, values, seen in tracks
        ]


def _take_nearest(tracks: list[Track], box: Box) -> Track | None:
    """Remove the track that overlaps a box most from the list, and return it."""
    shares = [iou(track.box, box) for track in tracks]
    best = max(shares, default=0.0)
    return tracks.pop(shares.index(best)) if best > SAME_FACE else None
