"""Two ways to run face-api on the bytes of a photograph, with one answer: the port, and the real library under Node."""

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
from pyojeong.core.errors import InputError
from pyojeong.core.images import ImageError, decode, decode_reduced, measure
from pyojeong.core.labels import FACEAPI
from pyojeong.evaluation.contenders import Analysis, Engine, Face
from pyojeong.faceapi.detector import EXPRESSION_SIZE, Box, FaceApi, check_options
from pyojeong.faceapi.sampling import Raster
from pyojeong.faceapi.weights import find_package

ENGINES = ("onnx", "node")
DECODINGS = ("exact", "scaled")

REFEREE = Path(__file__).parent / "node" / "referee.mjs"


@dataclass(frozen=True)
class Settings:
    """face-api as a contender: engine, library, the detector's options, and how photographs are decoded.

    Raises InputError when an option is not one that exists or that the library accepts.
    """

    engine: str = "onnx"
    library: str = "vladmandic"
    input_size: int = 416
    score_threshold: float = 0.5
    decode: str = "exact"

    def __post_init__(self) -> None:
        check_options(self.library, self.input_size, self.score_threshold)
        if self.engine not in ENGINES:
            raise InputError(f"there is no engine {self.engine!r}; choose {' or '.join(ENGINES)}")
        if self.decode not in DECODINGS:
            raise InputError(f"there is no decoding {self.decode!r}; choose {' or '.join(DECODINGS)}")
        if self.engine == "node" and self.decode == "scaled":
            raise InputError("the node engine decodes in full; leave out --decode scaled, or use --engine onnx")

    @property
    def in_reports(self) -> bool:
        """Whether its answers are those of the contender in the reports; both engines give the same."""
        return replace(self, engine="onnx") == Settings()

    @property
    def title(self) -> str:
        return "face-api"

    @property
    def classes(self) -> tuple[str, ...]:
        return FACEAPI

    def facts(self) -> dict[str, Any]:
        # As for our own models: another version may read or decode otherwise.
        return {**asdict(self), "version": __version__}

    def open(self, threads: int = 0) -> Engine:
        return NodeEngine(self) if self.engine == "node" else OnnxEngine(self, threads)


class OnnxEngine:
    """The port of ``detector`` in this process; safe to share between threads."""

    def __init__(self, settings: Settings, threads: int = 0) -> None:
        self._api = FaceApi(settings.library, settings.input_size, settings.score_threshold, threads)
        self._scaled = settings.decode == "scaled"

    def analyze(self, data: bytes, given: Sequence[Box | None] = ()) -> Analysis:
        width, height, _ = measure(data)
        boxes = [_whole(box, width, height) for box in given]
        frame = self._raster(data, max(width, height) / self._api.input_size, boxes)
        found = self._api.detect(frame)
        close = frame
        if frame.divisor > _finest(face.box for face in found):
            close = self._raster(data, frame.divisor, [face.box for face in found])
        rows = [*self._express(close, [face.box for face in found]), *self._express(frame, boxes)]
        faces = [Face(face.box, face.score, row) for face, row in zip(found, rows, strict=False)]
        return Analysis(width, height, faces, rows[len(found) :])

    def _raster(self, data: bytes, coarsest: float, boxes: Sequence[Box]) -> Raster:
        """Decode; when scaled, by the largest divisor up to ``coarsest`` that leaves enough pixels of every box."""
        width, height, _ = measure(data)
        if not self._scaled:
            return Raster(decode(data), width, height)
        divisor = min(coarsest, _finest(boxes))
        reduced = decode_reduced(data, (math.ceil(width / divisor), math.ceil(height / divisor)))
        return Raster(reduced.pixels, width, height, *reduced[1:])

    def _express(self, raster: Raster, boxes: Sequence[Box]) -> list[list[float] | None]:
        rows = self._api.expressions(raster, boxes)
        return [None if np.isnan(row[0]) else row.tolist() for row in rows]

    def close(self) -> None:
        """Nothing stays open."""


class NodeEngine:
    """The published library in a Node process of its own: wasm backend (vladmandic) or JS backend (original).

    Raises InputError when Node or an npm package is missing.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._start()

    def analyze(self, data: bytes, given: Sequence[Box | None] = ()) -> Analysis:
        width, height, _ = measure(data)
        boxes = [_whole(box, width, height) for box in given]
        request = {"data": base64.b64encode(data).decode(), "boxes": boxes}
        answer = self.ask(request)
        if "error" in answer:
            raise ImageError("corrupt", answer["error"])
        faces = [Face(tuple(face["box"]), face["score"], face["probabilities"]) for face in answer["faces"]]
        return Analysis(answer["width"], answer["height"], faces, answer["given"])

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request of ``node/referee.mjs`` and return its answer."""
        with self._lock:
            return self._ask(request)

    def close(self) -> None:
        """End the Node process."""
        self._process.communicate()
        self._log.close()

    def _start(self) -> None:
        modules = find_package().parents[2]
        library = "face-api.js" if self._settings.library == "original" else "@tensorflow/tfjs-backend-wasm"
        find_package(library)
        options = {
            "--modules": str(modules),
            "--library": self._settings.library,
            "--input-size": str(self._settings.input_size),
            "--score-threshold": str(self._settings.score_threshold),
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
            raise InputError(f"the library did not start under Node: {error}; run `npm ci`") from None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            return self._read()
        except (BrokenPipeError, EOFError):
            # One photograph too much for the library (memory, as a rule) must not end the run.
            self._process.wait()
            self._log.close()
            self._start()
            return {"error": "the library's process ended"}

    def _read(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            self._log.seek(0)
            raise EOFError(" ".join(self._log.read().split())[-500:])
        answer: dict[str, Any] = json.loads(line)
        return answer


def _finest(boxes: Iterable[Box]) -> float:
    """Return by how much an image can be reduced so that every box keeps the pixels that the expression net samples."""
    sides = [max(box[2] - box[0], box[3] - box[1]) for box in boxes]
    return max(1.0, min((side / EXPRESSION_SIZE for side in sides), default=math.inf))


def _whole(box: Box | None, width: int, height: int) -> Box:
    return (0.0, 0.0, float(width), float(height)) if box is None else box
