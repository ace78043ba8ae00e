"""Face detection and expressions for single image files; needs only the small installation."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyojeong.core.geometry import Box, box_dict
from pyojeong.core.images import ImageError, read_anywhere
from pyojeong.core.labels import FACEAPI
from pyojeong.evaluation.contenders import FaceAnswer
from pyojeong.faceapi.engines import FaceApiContender


@dataclass(frozen=True)
class FaceExpressions:
    """A face that face-api.js found.

    Attributes:
        box: minX, minY, maxX, maxY in pixels of the upright image.
        score: of the detector, 0..1.
        expressions: probability by class of ``labels.FACEAPI``; None if the box lies wholly outside the image.
    """

    box: Box
    score: float
    expressions: dict[str, float] | None


@dataclass(frozen=True)
class ImageFaces:
    """The faces in one image file, or the reason why it could not be read.

    Attributes:
        image: the path, as given.
        width: of the upright image in pixels; 0 with an error.
        height: of the upright image in pixels; 0 with an error.
        faces: best score first.
        error: reason of ``images.ImageError``; None if the image could be read.
    """

    image: str
    width: int = 0
    height: int = 0
    faces: tuple[FaceExpressions, ...] = ()
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that ``pyojeong faces --json`` prints.

        ``{"image", "width", "height", "faces": [{"box": {"minX", ...}, "score", "expressions": {class: p}}]}``, or
        ``{"image", "error"}``.
        """
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        faces = [
            {"box": box_dict(face.box), "score": face.score, "expressions": face.expressions} for face in self.faces
        ]
        return {"image": self.image, "width": self.width, "height": self.height, "faces": faces}


def faces(
    paths: Iterable[str | Path],
    *,
    engine: str = "onnx",
    library: str = "vladmandic",
    input_size: int = 416,
    score_threshold: float = 0.5,
    decode: str = "exact",
) -> Iterator[ImageFaces]:
    """Find every face in image files (or ``archive.zip!/member``), yielding one result per image.

    The options are those of ``engines.FaceApiContender``.

    Raises:
        InputError: an option is out of range or the engine is missing.
    """
    contender = FaceApiContender(engine, library, input_size, score_threshold, decode)
    with closing(contender.open()) as opened:
        for path in map(str, paths):
            try:
                answer = opened.analyze(read_anywhere(path))
            except ImageError as error:
                yield ImageFaces(path, error=error.reason)
                continue
            yield ImageFaces(path, answer.width, answer.height, tuple(map(_named, answer.faces)))


def _named(face: FaceAnswer) -> FaceExpressions:
    expressions = None if face.probabilities is None else dict(zip(FACEAPI, face.probabilities, strict=True))
    return FaceExpressions(face.box, face.score, expressions)
