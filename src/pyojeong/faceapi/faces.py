"""Every face in a few images, without tables: needs nothing beyond the small installation."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pyojeong.core.images import ImageError, read_anywhere
from pyojeong.core.labels import FACEAPI
from pyojeong.evaluation.contenders import Analysis, opened_engine
from pyojeong.faceapi.engines import Settings


def faces(
    paths: Iterable[str | Path],
    *,
    engine: str = "onnx",
    library: str = "vladmandic",
    input_size: int = 416,
    score_threshold: float = 0.5,
    decode: str = "exact",
) -> Iterator[dict[str, Any]]:
    """Find every face in image files (or ``archive.zip!/member``), one result at a time.

    Args:
        paths: the images.
        engine: ``onnx`` (this package's port) or ``node`` (the real library).
        library: ``vladmandic`` (@vladmandic/face-api) or ``original`` (face-api.js 0.22.2).
        input_size: side of the detector's input, a multiple of 32.
        score_threshold: detections must score above it.
        decode: ``exact`` or ``scaled``, see ``engines.Settings``.

    Yields:
        ``{"image", "width", "height", "faces": [{"box": {"minX", ...}, "score", "expressions": {class: p}}]}`` with
        boxes in pixels of the upright image and the best score first, or ``{"image", "error": reason}``. A face
        whose box lies wholly outside the image has None for its expressions.

    Raises:
        InputError: an option is out of range or the engine is missing.
    """
    with opened_engine(Settings(engine, library, input_size, score_threshold, decode)) as opened:
        for path in paths:
            try:
                found = opened.analyze(read_anywhere(str(path)))
            except ImageError as error:
                yield {"image": str(path), "error": error.reason}
                continue
            yield {"image": str(path), "width": found.width, "height": found.height, "faces": _spelled(found)}


def _spelled(found: Analysis) -> list[dict[str, Any]]:
    return [
        {
            "box": dict(zip(("minX", "minY", "maxX", "maxY"), face.box, strict=True)),
            "score": face.score,
            "expressions": face.probabilities and dict(zip(FACEAPI, face.probabilities, strict=True)),
        }
        for face in found.faces
    ]
