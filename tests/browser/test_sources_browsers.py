"""Every kind of source, on the page and in a worker, and the adapter for face-api.js: alike in all browsers."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pyojeong.analyzer import MODEL, Analyzer
from pyojeong.detection.graph import graph_path
from tests.browser.browsers import BROWSERS, REPOSITORY, answer_of
from tests.browser.faces import draw_group, pixels_of

pytestmark = pytest.mark.browser

FACE = draw_group(360, 480, people=1)
SOURCES = ("image", "turned", "lazy", "canvas", "offscreen", "bitmap", "data", "transferred")
PAGE = """<!doctype html><link rel="icon" href="data:,"><script type="module">
const answer = { agent: navigator.userAgent, answers: {} };
async function loaded(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}
function drawn(canvas, image) {
  canvas.getContext('2d').drawImage(image, 0, 0);
  return canvas;
}
try {
  const { EmotionAnalyzer } = await import('/web/analyzer.js');
  const image = await loaded('/face.png');
  const size = { width: image.width, height: image.height };
  const canvas = drawn(Object.assign(document.createElement('canvas'), size), image);
  const sources = {
    image: async () => image,
    turned: async () => loaded('/turned.jpg'),
    lazy: async () => Object.assign(new Image(), { loading: 'lazy', src: '/face.png?lazy' }),
    canvas: async () => canvas,
    offscreen: async () => drawn(new OffscreenCanvas(size.width, size.height), image),
    bitmap: async () => createImageBitmap(canvas),
    data: async () => canvas.getContext('2d').getImageData(0, 0, size.width, size.height),
    transferred: async () => drawn(new OffscreenCanvas(size.width, size.height), image).transferToImageBitmap(),
  };
  for (const worker of [false, true]) {
    const options = { modelUrl: '/model.onnx', detectorUrl: '/faces.onnx', worker };
    const analyzer = await EmotionAnalyzer.create(options);
    for (const [name, source] of Object.entries(sources)) {
      answer.answers[`${name} ${worker ? 'in a worker' : 'on the page'}`] = await analyzer.analyze(await source());
    }
    await analyzer.dispose();
  }
  const faceapi = await import('/face-api/dist/face-api.esm.js');
  faceapi.tf.setWasmPaths('/tfjs-wasm/');
  await faceapi.tf.setBackend('wasm');
  await faceapi.tf.ready();
  const { install } = await import('/web/face-api.js');
  await faceapi.nets.tinyFaceDetector.loadFromUri('/face-api/model');
  await install(faceapi, { modelUrl: '/model.onnx' });
  const options = new faceapi.TinyFaceDetectorOptions({ inputSize: 416 });
  const [face] = await faceapi.detectAllFaces(canvas, options).withFaceExpressions();
  answer.adapted = { box: face.detection.box, expressions: { ...face.expressions } };
} catch (error) { answer.problem = `${error} ${error.stack}`; }
await fetch('/answers', { method: 'POST', body: JSON.stringify(answer) });
</script>"""


@pytest.mark.parametrize(("launch", "name"), BROWSERS)
def test_all_sources_give_the_answers_of_python(launch: Any, name: str, tmp_path: Path) -> None:
    FACE.save(tmp_path / "face.png")
    # A phone stores the picture on its side and says so.
    exif = Image.Exif()
    exif[0x0112] = 6
    FACE.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=100, subsampling=0)
    shutil.copy(MODEL, tmp_path / "model.onnx")
    shutil.copy(graph_path(), tmp_path / "faces.onnx")
    (tmp_path / "face-api").symlink_to(REPOSITORY / "node_modules/@vladmandic/face-api")
    (tmp_path / "tfjs-wasm").symlink_to(REPOSITORY / "node_modules/@tensorflow/tfjs-backend-wasm/dist")
    found = answer_of(launch(tmp_path / "profile"), tmp_path, PAGE)
    assert "problem" not in found, found["problem"]
    assert name in found["agent"]
    model = Analyzer(MODEL, threads=1)
    (expected,) = model.analyze(pixels_of(FACE))
    places = ("on the page", "in a worker")
    assert set(found["answers"]) == {f"{source} {place}" for source in SOURCES for place in places}
    for source, faces in found["answers"].items():
        (face,) = faces
        # Another JPEG decoder gives other pixels.
        within = 0.02 if source.startswith("turned") else 1e-3
        assert face["emotions"] == pytest.approx(expected.emotions, abs=within), source
        x, y, width, height = (face["box"][side] for side in ("x", "y", "width", "height"))
        assert (x, y, x + width, y + height) == pytest.approx(expected.box, abs=1), source
    adapted = found["adapted"]
    x, y, width, height = (adapted["box"][f"_{side}"] for side in ("x", "y", "width", "height"))
    named = model.classifier.predict(pixels_of(FACE), (x, y, x + width, y + height), box_kind="detector")
    assert adapted["expressions"] == pytest.approx(named, abs=1e-3)
