"""Pixels in memory, the only source in Node.js."""

import json
import subprocess
from typing import Any

import pytest

from pyojeong.analyzer import MODEL
from pyojeong.classifier import Classifier
from pyojeong.detection.detector import Detector
from tests.browser.faces import draw_group, pixels_of
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.browser

PRELUDE = "() => {}"


def test_raw_pixels_are_turned_upright_in_the_browser_and_in_node(page: Any, site: Any) -> None:
    image = draw_group(480, 320, people=1, seed=2)
    (face,) = Detector(threads=1).detect(pixels_of(image))
    right_eye, left_eye, _, mouth, *_ = face.landmarks
    points = {
        name: {"x": float(x), "y": float(y)}
        for name, (x, y) in {"rightEye": right_eye, "leftEye": left_eye, "mouth": mouth}.items()
    }
    expected = Classifier(MODEL).predict(pixels_of(image), None, landmarks=face.landmarks)
    (site.root / "face.rgba").write_bytes(image.convert("RGBA").tobytes())
    ask = """async ([points, read, modules]) => {
      const { EmotionAPI } = await import(modules);
      const fetch = async (name) => new Response(await read(name));
      const api = new EmotionAPI({ modelUrl: 'models/basic7.onnx', fetch });
      await api.init();
      const raw = { data: new Uint8Array(await read('face.rgba')), width: 480, height: 320 };
      return api.predictFromImage(raw, undefined, { landmarks: points });
    }"""
    read = "async (name) => (await fetch(`/${name}`)).arrayBuffer()"
    answers = [page.evaluate(f"(points) => ({ask})([points, {read}, '/web/index.js'])", points)]
    modules = (REPOSITORY / "web/index.js").as_uri()
    script = (
        "import { readFile } from 'node:fs/promises';"
        f"const answer = await ({ask})([{json.dumps(points)}, readFile, '{modules}']);"
        "console.log(JSON.stringify(answer));"
    )
    command = ["node", "--input-type=module", "--eval", script]
    answers.append(json.loads(subprocess.run(command, cwd=site.root, capture_output=True, check=True).stdout))
    for answer in answers:
        assert answer == pytest.approx(expected, abs=2e-4)


def test_what_node_cannot_read_is_named() -> None:
    script = """
      import { readFile } from 'node:fs/promises';
      import { EmotionAPI, EmotionAnalyzer } from './web/index.js';
      const codeOf = (promise) => promise.then(() => 'no error', ({ code, message }) => `${code}: ${message}`);
      const fetch = async (name) => new Response(await readFile(name));
      const api = new EmotionAPI({ modelUrl: 'src/pyojeong/pretrained/basic7_mnv3s_160_8bit.onnx', fetch });
      await api.init();
      const site = 'http://127.0.0.1/';
      const models = { modelUrl: `${site}k7.onnx`, detectorUrl: `${site}blazeface.onnx`, worker: true };
      console.log(await codeOf(api.predictFromImage({ width: 4, height: 4 })));
      console.log(await codeOf(EmotionAnalyzer.create(models)));
      console.log(await codeOf(EmotionAnalyzer.create({ ...models, modelUrl: 'k7.onnx' })));
    """
    command = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    source, worker, address = done.stdout.splitlines()
    assert source.startswith("bad_source: there is no canvas here")
    assert worker.startswith("worker_not_found: ")
    assert address.startswith("bad_option: modelUrl must be a whole address")
