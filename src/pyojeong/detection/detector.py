"""Finds faces of every size: a coarse look at the whole image, finer ones where needed, a close look at each face."""

import math
from collections.abc import Sequence

import numpy as np

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Box, Region, iou
from pyojeong.core.images import Pixels
from pyojeong.detection.network import SAME, SIDE, Detection, Network, View, merged

FINER = 3
"""Each further look at the whole image has this many times the pixels on a side."""

SMALLEST = 22
"""Side in pixels of the network's input of the smallest box that it finds reliably."""

MIN_FACE = 0.02
"""Default of the smallest face to look for, as a share of the image's longer side."""

THRESHOLD = 0.75
"""Default score above which a find is a face, in the first or in the close look."""

FINER_THRESHOLD = 0.85
"""Least threshold of faces that only a finer look finds; it sees far more places that might look like one.

The faintest of 295 faces in crowds of London photographs scores 0.91 there.
"""

CANDIDATE = 0.4
"""Score above which a find is looked at closely."""

HINT = 0.1
"""Score above which a find that is no part of a face calls for a finer look."""

CLOSE = 2
"""Side of the square of a close look, in longer sides of the candidate's box."""

_LARGEST = 0.5  # longest box of a finer look, relative to the image; the look before it finds larger faces
_PART = 0.05  # IoU above which a find belongs to a face
_MAX_FACE = 1.4  # longest box, relative to the image's longer side; the square around it must suit geometry.cut
_BATCH = 32  # close looks that go through the network together


class Detector:
    """BlazeFace's short-range network, applied at several scales.

    Args:
        min_face: smallest face to return, as a share of the image's longer side, above 0 and at most 1. It limits the
            work: a look of 128 pixels finds faces of 0.17 of the longer side and more, one of 384 pixels those of
            0.057, one of 1152 those of 0.019. Finer looks run only where no face, or something
            faint, was found, and end where a look confirms nothing faint; see ``thorough``.
        threshold: lowest score of a face, from 0.4 to 1; of one that only a finer look finds at least 0.85.
        thorough: whether to take every look. Otherwise a near face may end the search before faces behind it of less
            than about 0.06 of the longer side are found.
        threads: number of onnxruntime threads; 0 lets onnxruntime decide.

    Raises:
        InputError: an argument is out of range, or the weights are not installed.
    """

    def __init__(
        self, min_face: float = MIN_FACE, threshold: float = THRESHOLD, *, thorough: bool = False, threads: int = 0
    ) -> None:
        if not 0 < min_face <= 1:
            raise InputError(f"the smallest face is {min_face}; it must be a share of the image above 0, such as 0.02")
        if not CANDIDATE <= threshold < 1:
            raise InputError(
                f"the score threshold is {threshold}; it must be from {CANDIDATE} to 1, such as {THRESHOLD}"
            )
        self.min_face, self.threshold, self.thorough = min_face, threshold, thorough
        self._network = Network(threads)

    def detect(self, image: Pixels) -> list[Detection]:
        """Find the faces in an upright RGB image, uint8 [H, W, 3], best score first.

        Raises ValueError for an array of another shape or type, or without pixels.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"an image is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        longer = max(image.shape[:2])
        faces: list[Detection] = []
        for side in self._sides(longer):
            (finds,) = self._network.finds([View.of(image, side)], HINT)
            largest = (_MAX_FACE if side == SIDE else _LARGEST) * longer
            finds = [find for find in finds if _longer_side(find.box) <= largest]
            threshold = self.threshold if side == SIDE else max(self.threshold, FINER_THRESHOLD)
            before, faces = faces, self._with_faces_of(finds, threshold, image, faces)
            # A hint that a finer look does not confirm is none: portraits should not cost the finest look.
            hopeful = side == SIDE or len(faces) > len(before)
            faint = hopeful and any(not _is_part(find, faces) for find in finds)
            # A face at the limit of a look suggests others that are too small for it.
            at_limit = any(_longer_side(face.box) * side < SMALLEST * longer for face in faces)
            if faces and not faint and not at_limit and not self.thorough:
                break
        return [face for face in faces if _longer_side(face.box) >= self.min_face * longer]

    def look_at(self, image: Pixels, box: Box) -> Detection | None:
        """Look closely at a known face, whose box may be anybody's, and return it; None where it is not found.

        Args:
            image: upright RGB, uint8 [H, W, 3].
            box: minX, minY, maxX, maxY in pixels, as ``geometry.can_be_face`` accepts them.
        """
        longest = _MAX_FACE * max(image.shape[:2])
        if not (np.isfinite(box).all() and 0 < _longer_side(box) <= longest):
            return None
        unknown = Detection(box, 0.0, ())
        (face,) = self._closer(image, [unknown])
        return None if face is unknown else face

    def _sides(self, longer: int) -> list[int]:
        """Return the inputs' longer sides of the looks at the whole image."""
        sides = [SIDE]
        while SMALLEST / sides[-1] > self.min_face and FINER * sides[-1] <= 2 * longer:
            sides.append(FINER * sides[-1])
        return sides

    def _with_faces_of(
        self, finds: Sequence[Detection], threshold: float, image: Pixels, known: Sequence[Detection]
    ) -> list[Detection]:
        """Return the known faces and those among the finds of a look, best score first."""
        strong = merged([find for find in finds if find.score > CANDIDATE])
        new = [find for find in strong if not _is_among(known, find)]
        faces = [*known]
        for face in sorted(self._closer(image, new), key=lambda face: -face.score):
            # Two finds of one face may become the same in the close look.
            if face.score > threshold and not _is_among(faces, face):
                faces.append(face)
        return sorted(faces, key=lambda face: -face.score)

    def _closer(self, image: Pixels, candidates: Sequence[Detection]) -> list[Detection]:
        """Return each candidate as a close look sees it, with the better of both scores.

        It places box and landmarks better, above all of small faces, and tells a face from something like it: a face
        scores higher there (``benchmarks/jitter.py``, ``benchmarks/detector.py empty``).
        """
        result = []
        for start in range(0, len(candidates), _BATCH):
            some = candidates[start : start + _BATCH]
            views = [View.of(image, SIDE, _square(one.box)) for one in some]
            for one, finds in zip(some, self._network.finds(views, CANDIDATE), strict=True):
                again = [face for face in merged(finds) if iou(face.box, one.box) > SAME]
                best = max(again, key=lambda face: face.score, default=one)
                result.append(best if best.score >= one.score else Detection(best.box, one.score, best.landmarks))
        return result


def _is_among(faces: Sequence[Detection], find: Detection) -> bool:
    return any(iou(face.box, find.box) > SAME for face in faces)


def _is_part(find: Detection, faces: Sequence[Detection]) -> bool:
    return any(iou(face.box, find.box) > _PART for face in faces)


def _longer_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _square(box: Box) -> Region:
    """Return the region of a close look, x, y, side and side in whole pixels."""
    side = max(1, math.floor(CLOSE * _longer_side(box) + 0.5))
    x, y = ((low + high - side) / 2 for low, high in ((box[0], box[2]), (box[1], box[3])))
    return math.floor(x + 0.5), math.floor(y + 0.5), side, side
