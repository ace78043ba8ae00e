"""The interface that a face-expression system implements to be evaluated, and the answers it returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from pyojeong.core.geometry import Box


class Contender(Protocol):
    """A system to evaluate, such as face-api.js; hashable, and picklable for other processes.

    Attributes:
        title: its name in messages and file names.
        classes: the classes it predicts, in the order of its probabilities.
    """

    def __hash__(self) -> int: ...

    @property
    def title(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def facts(self) -> dict[str, Any]:
        """Return every setting that its answers depend on, as JSON values."""

    def open(self, threads: int = 0) -> "Engine":
        """Load its networks; ``threads`` is the number of onnxruntime threads (0: onnxruntime decides)."""


@dataclass(frozen=True)
class FaceAnswer:
    """A detected face.

    Attributes:
        box: minX, minY, maxX, maxY in pixels of the upright image.
        score: of the detector, 0..1.
        probabilities: in the order of the contender's classes; None when the box lies outside the image.
    """

    box: Box
    score: float
    probabilities: list[float] | None


@dataclass(frozen=True)
class PhotographAnswer:
    """The answer to one photograph.

    Attributes:
        width: of the upright image in pixels.
        height: of the upright image in pixels.
        faces: the detected faces, best score first.
        given: probabilities for each given box, in the order of the contender's classes; None when there are none.
    """

    width: int
    height: int
    faces: list[FaceAnswer]
    given: list[list[float] | None]


class Engine(Protocol):
    """A contender with its networks loaded."""

    def analyze(self, data: bytes, boxes: Sequence[Box | None] = ()) -> PhotographAnswer:
        """Find the faces in an image file and classify them and the given boxes; a box of None is the whole image.

        Raises ImageError when the image cannot be read.
        """

    def close(self) -> None:
        """Release what the engine holds."""


@lru_cache(maxsize=1)
def process_engine(contender: Contender, threads: int) -> Engine:
    """Return this process's engine of ``contender``, opened at the first call."""
    return contender.open(threads)
