"""Who is asked about photographs, face-api.js or a model of ours, and what the answer looks like."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from pyojeong.core.geometry import Box


class Contender(Protocol):
    """Who is asked about photographs; can be sent to other processes and compared.

    Attributes:
        title: what a person calls it.
        classes: what it answers with, in the order of its probabilities.
    """

    def __hash__(self) -> int: ...

    @property
    def title(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def facts(self) -> dict[str, Any]:
        """Return what its answers depend on, as JSON values."""

    def open(self, threads: int = 0) -> "Engine":
        """Return what analyzes; ``threads`` is for onnxruntime (0: its own choice)."""


@dataclass(frozen=True)
class Face:
    """A detected face: box in pixels of the upright image, detector score, probabilities.

    ``probabilities`` follow the contender's classes; None when the box lies outside the image.
    """

    box: Box
    score: float
    probabilities: list[float] | None


@dataclass(frozen=True)
class Analysis:
    """What a contender says about one photograph: its upright size, faces, best score first, and the given boxes."""

    width: int
    height: int
    faces: list[Face]
    given: list[list[float] | None]


class Engine(Protocol):
    """Analyzes photographs. A given box of None means the whole image; ImageError says why there is no answer."""

    def analyze(self, data: bytes, given: Sequence[Box | None] = ()) -> Analysis: ...

    def close(self) -> None: ...


@contextmanager
def opened_engine(contender: Contender) -> Iterator[Engine]:
    """Open the engine of ``contender`` for a ``with`` block."""
    engine = contender.open()
    try:
        yield engine
    finally:
        engine.close()


@lru_cache(maxsize=1)
def shared_engine(contender: Contender, threads: int) -> Engine:
    """Return this process's engine of ``contender``, opened at the first call."""
    return contender.open(threads)
