"""face-api.js as a contender: the port in this process, or the original library under Node, with equal answers."""

import base64
import json
import math
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pyojeong import __version__
from pyojeong.core.errors import InputError, check_choice
from pyojeong.core.geometry import Box
from pyojeong.core.images import ImageError, decode_reduced, measure
from pyojeong.core.labels import FACEAPI
from pyojeong.core.npm import find_package
from pyojeong.evaluation.contenders import Engine, FaceAnswer, PhotographAnswer
from pyojeong.faceapi.detector import EXPRESSION_SIZE, FaceApi, check_options
from pyojeong.faceapi.sampling import Raster
from pyojeong.faceapi.weights import PACKAGE

ENGINES = ("onnx", "node")
DECODINGS = ("exact", "scaled")

REFEREE = Path(__file__).parent / "node" / "referee.mjs"


@dataclass(frozen=True)
class FaceApiContender:
    """face-api.js as a contender, see ``evaluation.contenders.Contender``.

    Attributes:
        engine: ``onnx`` (the port) or ``node`` (the original library under Node).
        library: ``vladmandic`` (@vladmandic/face-api) or ``original`` (face-api.js 0.22.2).
        input_size: side of the detector's input, a multiple of 32.
        score_threshold: detections must score above it, between 0 and 1.
        decode: ``exact`` (decode in full) or ``scaled`` (decode a JPEG no larger than the networks need).

    Raises:
        InputError: an option has a value that does not exist or that the library does not accept.
    """

    engine: str = "onnx"
    library: str = "vladmandic"
    input_size: int = 416
    score_threshold: float = 0.5
    decode: str = "exact"

    def __post_init__(self) -> None:
        check_options(self.library, self.input_size, self.score_threshold)
        check_choice("engine", self.engine, ENGINES)
        check_choice("decoding", self.decode, DECODINGS)
        if self.engine == "node" and self.decode == "scaled":
            raise InputError("the node engine decodes in full; leave out --decode scaled, or use --engine onnx")

    @property
    def in_reports(self) -> bool:
        """Whether it has the options of the reports; the engine does not matter, as both answer the same."""
        return replace(self, engine="onnx") == FaceApiContender()

    @property
    def title(self) -> str:
        return "face-api"

    @property
    def classes(self) -> tuple[str, ...]:
        return FACEAPI

    def facts(self) -> dict[str, Any]:
        # Another version may read or decode photographs differently.
        return {**asdict(self), "version": __version__}

    def open(self, threads: int = 0) -> Engine:
        return NodeEngine(self) if self.engine == "node" else OnnxEngine(self, threads)


class OnnxEngine:
    """The port (``detector``) in this process; safe to share between threads."""

    def __init__(self, contender: FaceApiContender, threads: int = 0) -> None:
        self._api = FaceApi(contender.library, contender.input_size, contender.score_threshold, threads)
        self._scaled = contender.decode == "scaled"

    def analyze(self, data: bytes, boxes: Sequence[Box | None] = ()) -> PhotographAnswer:
        width, height, _ = measure(data)
        given = [_or_whole_image(box, width, height) for box in boxes]
        frame = self._raster(data, max(width, height) / self._api.input_size, given)
        detections = self._api.detect(frame)
        detected = [face.box for face in detections]
        finer = frame
        if frame.divisor > _largest_divisor(detected):
            finer = self._raster(data, frame.divisor, detected)
        rows = self._express(finer, detected)
        faces = [FaceAnswer(face.box, face.score, row) for face, row in zip(detections, rows, strict=True)]
        return PhotographAnswer(width, height, faces, self._express(frame, given))

    def _raster(self, data: bytes, coarsest: float, boxes: Sequence[Box]) -> Raster:
        """Decode; if scaled, by the largest divisor up to ``coarsest`` that leaves enough pixels in every box."""
        width, height, _ = measure(data)
        if not self._scaled:
            return Raster(decode_reduced(data, None, keep_transparent=True).pixels, width, height)
        divisor = min(coarsest, _largest_divisor(boxes))
        enough = math.ceil(width / divisor), math.ceil(height / divisor)
        reduced = decode_reduced(data, enough, keep_transparent=True)
        return Raster(reduced.pixels, width, height, *reduced[1:])

    def _express(self, raster: Raster, boxes: Sequence[Box]) -> list[list[float] | None]:
        rows = self._api.expressions(raster, boxes)
        return [None if np.isnan(row[0]) else row.tolist() for row in rows]

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class NodeEngine:
    """The original library in a Node process of its own: wasm backend (vladmandic) or JS backend (original).

    Raises InputError when Node or an npm package is missing.
    """

    def __init__(self, contender: FaceApiContender) -> None:
        self._contender = contender
        self._lock = threading.Lock()
        self._start()

    def analyze(self, data: bytes, boxes: Sequence[Box | None] = ()) -> PhotographAnswer:
        width, height, _ = measure(data)
        given = [_or_whole_image(box, width, height) for box in boxes]
        answer = self.ask({"data": base64.b64encode(data).decode(), "boxes": given})
        if "error" in answer:
            raise ImageError("corrupt", answer["error"])
        faces = [FaceAnswer(tuple(face["box"]), face["score"], face["probabilities"]) for face in answer["faces"]]
        return PhotographAnswer(answer["width"], answer["height"], faces, answer["given"])

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request to ``node/referee.mjs``, which documents its form, and return the answer."""
        with self._lock:
            return self._ask(request)

    def close(self) -> None:
        """End the Node process."""
        self._process.communicate()
        self._log.close()

    def _start(self) -> None:
        modules = find_package(PACKAGE).parents[2]
        library = "face-api.js" if self._contender.library == "original" else "@tensorflow/tfjs-backend-wasm"
        find_package(library)
        options = {
            "--modules": str(modules),
            "--library": self._contender.library,
            "--input-size": str(self._contender.input_size),
            "--score-threshold": str(self._contender.score_threshold),
        }
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - lives as long as the process
        command = ["node", str(REFEREE), *(word for pair in options.items() for word in pair)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, encoding="utf-8"
            )
        except FileNotFoundError:
            raise InputError("the program node is not installed; install Node.js 20 or newer") from None
        try:
            self.versions: dict[str, str] = self._read()["ready"]
        except EOFError as error:
            raise InputError(f"face-api.js did not start under Node: {error}; run `npm ci`") from None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            return self._read()
        except (BrokenPipeError, EOFError):
            # One photograph that the library cannot handle (usually for want of memory) must not end the run.
            self._process.wait()
            self._log.close()
            self._start()
            return {"error": "the Node process ended"}

    def _read(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            self._log.seek(0)
            raise EOFError(" ".join(self._log.read().split())[-500:])
        answer: dict[str, Any] = json.loads(line)
        return answer


def _largest_divisor(boxes: Iterable[Box]) -> float:
    """Return how far an image can be reduced with every box keeping the pixels that the expression net samples."""
    sides = [max(box[2] - box[0], box[3] - box[1]) for box in boxes]
    return max(1.0, min((side / EXPRESSION_SIZE for side in sides), default=math.inf))


def _or_whole_image(box: Box | None, width: int, height: int) -> Box:
    return (0.0, 0.0, float(width), float(height)) if box is None else box
