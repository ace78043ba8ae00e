"""TinyFaceDetector in the browser: its boxes are Python's, and Python's are face-api's."""

import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest
from PIL import Image

from pyojeong.core import images
from pyojeong.faceapi.detector import Detection, FaceApi
from tests.browser.faces import draw_group, pixels_of

pytestmark = pytest.mark.browser

FRAMES = {
    # name: width, height, people
    "one": (480, 640, 1),
    "three": (900, 400, 3),
    "wide": (1280, 333, 4),
    "small": (160, 200, 1),
    "large": (1403, 1871, 1),
}


PRELUDE = """
async () => {
  const { TinyFaceDetector } = await import('/web/tiny-face-detector.js');
  window.makeDetector = (more) => new TinyFaceDetector({ modelUrl: '/models/tiny.onnx', ...more });
  window.picture = async (url) => {
    const img = new Image(); img.src = url; await img.decode(); return img; };
  window.codeOf = async (make) => { try { await make(); } catch (error) { return [error.code, error.message]; }
    return ['no error', '']; };
}
"""


def detect(page: Any, addresses: list[str], options: dict[str, Any]) -> list[list[dict[str, Any]]]:
    found: list[list[dict[str, Any]]] = page.evaluate(
        """async ({ addresses, options }) => {
          const detector = makeDetector(options);
          await detector.init();
          const found = [];
          for (const address of addresses) found.push(await detector.detect(await picture(address)));
          await detector.dispose();
          return found;
        }""",
        {"addresses": addresses, "options": options},
    )
    return found


def assert_same(found: list[dict[str, Any]], expected: list[Detection], pixels: float = 1e-3) -> None:
    assert len(found) == len(expected)
    for face, other in zip(found, expected, strict=True):
        box = face["box"]
        corners = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
        assert max(abs(a - b) for a, b in zip(corners, other.box, strict=True)) <= pixels
        assert abs(face["score"] - other.score) <= 1e-5


@pytest.mark.parametrize("options", [{}, {"inputSize": 224, "scoreThreshold": 0.05}], ids=["default", "weak"])
def test_boxes_are_those_of_python(tab: Any, page: Any, site: Any, options: dict[str, Any]) -> None:
    images = {name: draw_group(*size, people=people, seed=4) for name, (*size, people) in FRAMES.items()}
    addresses = [site.put(f"{name}.png", image) for name, image in images.items()]
    found = detect(page, addresses, options)
    python = FaceApi(
        input_size=options.get("inputSize", 416), score_threshold=options.get("scoreThreshold", 0.5), threads=1
    )
    for faces, image in zip(found, images.values(), strict=True):
        assert_same(faces, python.detect(pixels_of(image)))
    if not options:
        # Small faces of the widest frame may be missed, by both alike.
        assert all(found)
        assert sum(map(len, found)) >= 8
    tab.assert_clean(site.origin)


def test_photographs_too(page: Any, site: Any, shared: Path) -> None:
    archive = next((shared / "data/london_as_aihub").glob("*기쁨*01.zip"))
    with zipfile.ZipFile(archive) as photographs:
        members = [name for name in photographs.namelist() if name.lower().endswith(".jpg")][:4]
        originals = [photographs.read(name) for name in members]
    python = FaceApi(threads=1)
    for index, data in enumerate(originals):
        pixels = images.decode(data)
        # Lossless, so that the two sides start from equal pixels.
        (found,) = detect(page, [site.put(f"photograph{index}.png", Image.fromarray(pixels))], {})
        assert found
        assert_same(found, python.detect(pixels))


def test_every_kind_of_source_is_read(page: Any, site: Any) -> None:
    address = site.put("sources.png", draw_group(480, 640, people=1))
    boxes = page.evaluate(
        """async (address) => {
          const detector = makeDetector({ inputSize: 224 });
          await detector.init();
          const img = await picture(address);
          const canvas = new OffscreenCanvas(img.width, img.height);
          const context = canvas.getContext('2d');
          context.drawImage(img, 0, 0);
          const frame = new VideoFrame(canvas, { timestamp: 0 });
          const sources = [img, canvas, context.getImageData(0, 0, img.width, img.height),
            await createImageBitmap(img), frame];
          const boxes = [];
          for (const source of sources) boxes.push(JSON.stringify(await detector.detect(source)));
          frame.close();
          return boxes;
        }""",
        address,
    )
    assert len(boxes) == 5
    assert len(set(boxes)) == 1
    assert "score" in boxes[0]


def write_old_graph(graph: Path, out: Path) -> None:
    """Take out of a detector's graph what completes a frame to a square, as it was before format 3."""
    model = onnx.load(graph)
    (pad,) = (node for node in model.graph.node if node.op_type == "Pad")
    (rows,) = (node for node in model.graph.node if any(one.name == "axis" and one.i == 2 for one in node.attribute))
    past = {node.output[0]: node.input[0] for node in (pad, rows)}
    for node in model.graph.node:
        node.input[:] = [past.get(name, name) for name in node.input]
    for node in (pad, rows):
        model.graph.node.remove(node)
    onnx.save(model, out)


def test_misuse_and_broken_models_have_a_name(page: Any, site: Any) -> None:
    (site.root / "models/half.onnx").write_bytes((site.root / "models/tiny.onnx").read_bytes()[:300_000])
    write_old_graph(site.root / "models/tiny.onnx", site.root / "models/old.onnx")
    run = "/models/mobilenetv3_classifier/runs/finetune_K7_160/"
    faults = {
        "() => makeDetector({ modelUrl: undefined })": ("bad_option", "modelUrl"),
        "() => makeDetector({ inputSize: 400 })": ("bad_option", "multiple of 32"),
        "() => makeDetector({ scoreThreshold: 1 })": ("bad_option", "scoreThreshold"),
        "() => makeDetector({ provider: 'cuda' })": ("bad_option", "provider"),
        "() => makeDetector().detect(new ImageData(4, 4))": ("not_initialized", "init()"),
        "() => makeDetector({ modelUrl: '/none.onnx' }).init()": ("model_not_found", "modelUrl"),
        "() => makeDetector({ modelUrl: '/blank.html' }).init()": ("model_is_html", "modelUrl"),
        "() => makeDetector({ modelUrl: '/models/half.onnx' }).init()": ("model_truncated", "modelUrl"),
        "() => makeDetector({ modelUrl: '/models/old.onnx', engine: 'onnxruntime' }).init()": (
            "model_invalid",
            "pyojeong.faceapi",
        ),
        f"() => makeDetector({{ modelUrl: '{run}k7_mnv3s_160.onnx' }}).init()": ("model_invalid", "pyojeong.faceapi"),
    }
    found = page.evaluate(
        "async (faults) => Promise.all(faults.map((fault) => codeOf(new Function(`return (${fault})()`))))",
        list(faults),
    )
    for (fault, (code, words)), (got, message) in zip(faults.items(), found, strict=True):
        assert got == code, f"{fault}: {message}"
        assert words in message


def test_dispose_waits_for_searches_and_ends_what_waits_for_its_image(page: Any, site: Any) -> None:
    codes = page.evaluate(
        """async (address) => {
          const late = await picture(address);
          let complete = false;
          Object.defineProperty(late, 'complete', { get: () => complete });
          late.decode = async () => {
            await new Promise((resolve) => setTimeout(resolve, 200));
            complete = true;
          };
          return Promise.all([new ImageData(300, 200), late].map(async (source) => {
            const detector = makeDetector({ inputSize: 224 });
            await detector.init();
            const asked = codeOf(() => detector.detect(source));
            await new Promise((resolve) => setTimeout(resolve));
            await detector.dispose();
            return (await asked)[0];
          }));
        }""",
        site.put("late.png", draw_group(160, 200, people=1)),
    )
    assert codes == ["no error", "disposed"]


def test_a_strip_that_is_nothing_across_shows_no_face(page: Any) -> None:
    # Every cell claims a face. In a frame of 2000 x 1 pixels the detector's own frame has no row left.
    found = page.evaluate(
        """async () => {
          const real = await import('/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs');
          const cells = { data: new Float32Array(13 * 13 * 25).fill(3) };
          const create = async () => ({ run: async () => ({ cells }), release: async () => {} });
          const ort = { ...real, env: real.env, Tensor: real.Tensor, InferenceSession: { create } };
          const detector = makeDetector({ ort });
          await detector.init();
          const sizes = [[200, 100], [2000, 1], [1, 2000]];
          const faces = [];
          for (const [width, height] of sizes) faces.push((await detector.detect(new ImageData(width, height))).length);
          return faces;
        }"""
    )
    assert found[0] > 0
    assert found[1:] == [0, 0]
