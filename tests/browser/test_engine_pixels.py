"""Frames that are wider or higher than a strip of the browser's engine, in Node."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyojeong.core.images import Pixels
from pyojeong.detection import graph as blazeface
from pyojeong.detection.network import SIDE
from pyojeong.faceapi.net_graphs import DETECTOR_MEAN
from pyojeong.faceapi.nets import graph_path
from pyojeong.faceapi.sampling import as_raster, sample
from tests.browser.test_engine import Cases, run_node

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE = 160
SAMPLE = """
import { readFile } from 'node:fs/promises';
import { Engine } from './web/engine.js';
import { FramePixels } from './web/engine-pixels.js';
import { readGraph } from './web/graph.js';
import { kernelsModule } from './web/kernels.js';
import { planOf } from './web/plan.js';
const [graph, size, ...frames] = JSON.parse(process.argv[1]);
const plan = planOf(readGraph(new Uint8Array(await readFile(graph)), 'modelUrl'), { height: size, width: size });
let pixels;
const engine = await Engine.start(await kernelsModule(), plan, (layout) => (pixels = new FramePixels(layout, plan)));
for (const [file, width, height] of frames) {
  pixels.write(engine, { data: new Uint8Array(await readFile(file)), width, height });
  process.stdout.write(new Uint8Array(engine.read(plan.input).buffer));
}
"""


def painted(width: int, height: int) -> Pixels:
    """Return pixels that differ everywhere."""
    coarse = np.random.default_rng(width).integers(0, 256, (9, 29, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


def test_the_detector_sees_long_frames_as_short_ones(tmp_path: Path) -> None:
    """Frames of equal pixels repeated, of which the detector takes one each."""
    shutil.copy(blazeface.graph_path(), tmp_path / "blazeface.onnx")
    cases = Cases(tmp_path)
    for width, height, times in ((2 * SIDE, 4, 67), (4, 2 * SIDE, 67), (2 * SIDE, 1, 550)):
        short = painted(width, height)
        for x in (0, -9):
            for factor in (1, times):
                place = [factor * side for side in (x, x, width, height)]
                region = dict(zip(("x", "y", "width", "height"), place, strict=True))
                cases.ask(short.repeat(factor, 0).repeat(factor, 1), [], side=SIDE, region=region)
    answers = run_node(cases)["answers"]
    assert answers[::2] == answers[1::2]
    assert answers[0] != answers[2]


def test_the_older_detector_sees_long_frames_as_in_python(tmp_path: Path) -> None:
    """From 65,537 pixels on the strip has no room for two rows."""
    sizes = ((640, 480), (65_536, 400), (65_537, 400), (140_000, 40), (640, 480), (90, 70_000))
    expected = []
    frames: list[tuple[str, int, int]] = []
    for width, height in sizes:
        pixels = painted(width, height)
        opaque = np.full((height, width, 1), 255, np.uint8)
        file = tmp_path / f"{len(frames)}.rgba"
        file.write_bytes(np.concatenate([pixels, opaque], -1).tobytes())
        frames.append((str(file), width, height))
        levels = sample(as_raster(pixels), (0, 0, width, height), SIZE, np.float32, centered=False)
        expected.append((levels - np.array(DETECTOR_MEAN, np.float32)) / np.float32(255))
    question = json.dumps([str(graph_path("tiny_face_detector")), SIZE, *frames])
    command = ["node", "--input-type=module", "-e", SAMPLE, question]
    seen = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True, timeout=100).stdout
    ours = np.frombuffer(seen, np.float32).reshape(len(sizes), SIZE, SIZE, 3)
    assert ours == pytest.approx(np.stack(expected), abs=1e-5)
