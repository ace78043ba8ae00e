"""The browser finds the faces that Python finds, and turns them upright into the same pixels."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyojeong.analyzer import Analyzer
from pyojeong.core import alignment, images
from pyojeong.core.alignment import LANDMARKS
from pyojeong.core.images import Pixels
from pyojeong.detection.detector import Detector
from pyojeong.detection.network import Detection, View
from tests.browser.faces import draw_group, draw_tight, pixels_of

pytestmark = pytest.mark.browser

PRELUDE = """
async () => {
  const { FaceDetector } = await import('/web/detector.js');
  window.makeDetector = (more) => new FaceDetector({ modelUrl: '/models/detector.onnx', ...more });
  window.picture = async (url) => {
    const img = new Image(); img.src = url; await img.decode(); return img; };
  window.frameOf = async (url) => {
    const { PixelReader } = await import('/web/source.js');
    return new PixelReader().frame(await picture(url)); };
  window.codeOf = async (make) => { try { await make(); } catch (error) { return [error.code, error.message]; }
    return ['no error', '']; };
}
"""


def turned(pixels: Pixels, degrees: float) -> Pixels:
    return np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC, expand=True))


def crowd() -> Pixels:
    """48 drawn people in a picture whose faces are too small for the first look."""
    rows = [draw_group(1600, 250, people=8, seed=seed) for seed in range(6)]
    return np.concatenate([pixels_of(row) for row in rows])


def scenes() -> dict[str, Pixels]:
    portrait = pixels_of(draw_group(480, 640, people=1, seed=4))
    near = Image.fromarray(draw_tight(6, 1.3)).resize((540, 540), Image.Resampling.BICUBIC)
    mixed = draw_group(1280, 640, people=8, seed=5)
    mixed.paste(near, (-60, 40))
    return {
        "portrait": portrait,
        "wide": pixels_of(draw_group(1280, 333, people=4, seed=4)),
        "tight": draw_tight(1),
        "tilted": turned(portrait, 45),
        "large": np.asarray(Image.fromarray(portrait).resize((2403, 3071), Image.Resampling.BICUBIC)),
        "near and far": pixels_of(mixed),
        "crowd": crowd(),
        "nobody": np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8),
        "strip": np.full((3, 2000, 3), 90, np.uint8),
    }


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


def numbers(face: dict[str, Any]) -> list[float]:
    box = face["box"]
    points = [face["landmarks"][name] for name in LANDMARKS]
    corners = [box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]]
    return [*corners, *(point[axis] for point in points for axis in "xy")]


def assert_same(found: list[dict[str, Any]], expected: list[Detection], share: float = 1e-3) -> None:
    """Boxes and landmarks agree within ``share`` of the face's size."""
    assert len(found) == len(expected)
    # Scores of a crowd may be equal, so the order says nothing.
    pairs = zip(
        sorted(found, key=lambda face: (face["box"]["y"] // 9, face["box"]["x"])),
        sorted(expected, key=lambda face: (face.box[1] // 9, face.box[0])),
        strict=True,
    )
    for face, other in pairs:
        values = [*other.box, *np.ravel(other.landmarks)]
        size = other.box[2] - other.box[0]
        assert max(abs(a - b) for a, b in zip(numbers(face), values, strict=True)) <= share * size
        assert abs(face["score"] - other.score) <= 1e-4


@pytest.mark.parametrize("options", [{}, {"minFace": 0.1, "scoreThreshold": 0.85}], ids=["default", "near"])
def test_faces_are_those_of_python(tab: Any, page: Any, site: Any, options: dict[str, Any]) -> None:
    frames = scenes()
    addresses = [site.put(f"{name}.png", Image.fromarray(pixels)) for name, pixels in frames.items()]
    found = detect(page, addresses, options)
    python = Detector(options.get("minFace", 0.02), options.get("scoreThreshold", 0.75), threads=1)
    for faces, pixels in zip(found, frames.values(), strict=True):
        assert_same(faces, python.detect(pixels))
    if not options:
        counts = dict(zip(frames, map(len, found), strict=True))
        assert counts == {
            "portrait": 1,
            "wide": 4,
            "tight": 1,
            "tilted": 1,
            "large": 1,
            "near and far": counts["near and far"],
            "crowd": 48,
            "nobody": 0,
            "strip": 0,
        }
        assert counts["near and far"] > 3
    tab.assert_clean(site.origin)


def test_photographs_too(page: Any, site: Any, shared: Path) -> None:
    archive = next((shared / "data/london_as_aihub").glob("*기쁨*01.zip"))
    with zipfile.ZipFile(archive) as photographs:
        members = [name for name in photographs.namelist() if name.lower().endswith(".jpg")][:4]
        originals = [photographs.read(name) for name in members]
    python = Detector(threads=1)
    for index, data in enumerate(originals):
        pixels = images.decode(data)
        # Lossless, so that the two sides start from equal pixels.
        (found,) = detect(page, [site.put(f"photograph{index}.png", Image.fromarray(pixels))], {})
        assert len(found) == 1
        assert_same(found, python.detect(pixels))


def test_views_have_the_levels_of_python(page: Any, site: Any) -> None:
    random = np.random.default_rng(3)
    for number, (width, height) in enumerate([(300, 200), (97, 311), (1403, 60), (40, 30)]):
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        address = site.put(f"view{number}.png", Image.fromarray(pixels))
        regions = [None, (-20, 10, 90, 90), (width // 3, -5, 61, 61)]
        for side in (128, 384):
            for region in regions:
                view = View.of(pixels, side, region)
                found = page.evaluate(
                    """async ({ address, side, region }) => {
                      const { pixelsOf, viewOf } = await import('/web/view.js');
                      const [x, y, width, height] = region ?? [];
                      const frame = await frameOf(address);
                      const view = viewOf(frame, side, region ? { x, y, width, height } : undefined);
                      const place = [view.scaleX, view.scaleY, view.originX, view.originY];
                      return [view.width, view.height, place, [...pixelsOf(frame, view).data]];
                    }""",
                    {"address": address, "side": side, "region": region},
                )
                levels = np.reshape(found[3], (found[1], found[0], 4))[..., :3]
                # Pillow 13 resizes some pictures down before across, which rounds other values in between.
                assert np.abs(levels - view.pixels.astype(int)).max() <= 1
                assert found[2] == pytest.approx([*view.scale, *view.origin])


def points(center: tuple[float, float], size: float, degrees: float) -> list[tuple[float, float]]:
    """Right eye, left eye and mouth of a face at a place, of a size, turned clockwise."""
    cos, sin = size * math.cos(math.radians(degrees)), size * math.sin(math.radians(degrees))
    return [
        (center[0] + x * cos - y * sin, center[1] + x * sin + y * cos)
        for x, y in ((-0.2, -0.15), (0.2, -0.15), (0, 0.25))
    ]


@pytest.mark.parametrize(
    ("center", "size", "degrees"),
    [((150, 100), 60, 0), ((150, 100), 61.7, 33), ((20, 15), 90, -45), ((290, 190), 40, 170), ((150, 100), 800, 12)],
)
def test_turned_patches_have_the_pixels_of_python(
    page: Any, site: Any, painter: Any, center: tuple[float, float], size: float, degrees: float
) -> None:
    image = painter(300, 200, seed=8)
    face = points(center, size, degrees)
    patch = alignment.cut_turned(np.asarray(image), alignment.turned_region(face))
    found = page.evaluate(
        """async ({ address, points }) => {
          const { PixelReader } = await import('/web/source.js');
          const { cutTurned, turnedRegion } = await import('/web/alignment.js');
          const [rightEye, leftEye, mouth] = points.map(([x, y]) => ({ x, y }));
          const landmarks = { rightEye, leftEye, mouth };
          const whole = cutTurned(await frameOf(address), turnedRegion(landmarks));
          const part = new PixelReader().turned(await picture(address), landmarks);
          return [whole.width, whole.height, [...whole.data], [...part.data]];
        }""",
        {"address": site.put("turned.png", image), "points": face},
    )
    width, height, whole, part = found
    assert (height, width) == patch.shape[:2]
    assert whole == part
    difference = np.abs(np.reshape(whole, (height, width, 4))[..., :3] - patch.astype(int))
    # Where a value lies on a whole level, the last bit of a sine decides.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


def test_a_turned_face_is_classified_as_in_python(page: Any, site: Any) -> None:
    analyzer = Analyzer(threads=1)
    for degrees in (0, 30, -45):
        pixels = turned(pixels_of(draw_group(480, 640, people=1, seed=4)), degrees)
        address = site.put(f"tilt{degrees}.png", Image.fromarray(pixels))
        (face,) = analyzer.analyze(pixels)
        found = page.evaluate(
            """async (address) => {
              const { EmotionAnalyzer, EmotionAPI } = await import('/web/index.js');
              const options = { modelUrl: '/models/basic7.onnx', detectorUrl: '/models/detector.onnx' };
              const analyzer = new EmotionAnalyzer(options);
              await analyzer.init();
              const api = new EmotionAPI(options);
              await api.init();
              const image = await picture(address);
              const [face] = await analyzer.analyze(image);
              const { landmarks } = face;
              const alone = await api.predictFromImage(image, face.box, { boxKind: 'blazeface', landmarks });
              const [known] = await analyzer.analyze(image, [face.box], { boxKind: 'blazeface' });
              return { face, alone, known, alignedBy: api.info().alignedBy };
            }""",
            address,
        )
        assert found["alignedBy"] == "landmarks"
        assert found["face"]["label"] == face.label
        for emotions in (found["face"]["emotions"], found["alone"]):
            assert emotions == pytest.approx(face.emotions, abs=2e-3)
        # From its box alone the face is looked for again, a little elsewhere.
        again = analyzer.classify(pixels, face.box, "blazeface")
        assert [*found["known"]["emotions"].values()] == pytest.approx(again, abs=2e-3)


def test_every_kind_of_source_is_read(page: Any, site: Any) -> None:
    address = site.put("sources.png", draw_group(480, 640, people=1))
    boxes = page.evaluate(
        """async (address) => {
          const detector = makeDetector();
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
    assert "rightEar" in boxes[0]


def test_misuse_and_broken_models_have_a_name(page: Any, site: Any) -> None:
    (site.root / "models/half.onnx").write_bytes((site.root / "models/detector.onnx").read_bytes()[:100_000])
    run = "/models/mobilenetv3_classifier/runs/finetune_K7_160/"
    faults = {
        "() => makeDetector({ modelUrl: undefined })": ("bad_option", "modelUrl"),
        "() => makeDetector({ minface: 0.1 })": ("bad_option", "did you mean minFace?"),
        "() => makeDetector({ minFace: 0 })": ("bad_option", "minFace"),
        "() => makeDetector({ minFace: 2 })": ("bad_option", "minFace"),
        "() => makeDetector({ scoreThreshold: 1 })": ("bad_option", "scoreThreshold"),
        "() => makeDetector({ scoreThreshold: 0.1 })": ("bad_option", "scoreThreshold"),
        "() => makeDetector({ provider: 'cuda' })": ("bad_option", "provider"),
        "() => makeDetector().detect(new ImageData(4, 4))": ("not_initialized", "init()"),
        "() => makeDetector({ modelUrl: '/none.onnx' }).init()": ("model_not_found", "modelUrl"),
        "() => makeDetector({ modelUrl: '/blank.html' }).init()": ("model_is_html", "modelUrl"),
        "() => makeDetector({ modelUrl: '/models/half.onnx' }).init()": ("model_truncated", "modelUrl"),
        "() => makeDetector({ modelUrl: '/models/tiny.onnx' }).init()": ("model_invalid", "pyojeong.detection"),
        f"() => makeDetector({{ modelUrl: '{run}k7_mnv3s_160.onnx' }}).init()": ("model_invalid", "pyojeong.detection"),
    }
    found = page.evaluate(
        "async (faults) => Promise.all(faults.map((fault) => codeOf(new Function(`return (${fault})()`))))",
        list(faults),
    )
    for (fault, (code, words)), (got, message) in zip(faults.items(), found, strict=True):
        assert got == code, f"{fault}: {message}"
        assert words in message


def test_landmarks_that_span_no_face_have_a_name(page: Any) -> None:
    faults = [
        {"rightEye": {"x": 1, "y": 1}, "leftEye": {"x": 1, "y": 1}, "mouth": {"x": 1, "y": 1}},
        {"rightEye": {"x": 1, "y": 1}, "leftEye": {"x": 9, "y": 1}},
        {"rightEye": {"x": 901, "y": 1}, "leftEye": {"x": 909, "y": 1}, "mouth": {"x": 905, "y": 9}},
        {},
    ]
    codes = page.evaluate(
        """async (faults) => {
          const { PixelReader } = await import('/web/source.js');
          const source = new ImageData(40, 30);
          const codes = [];
          for (const landmarks of faults) codes.push(await codeOf(() => new PixelReader().turned(source, landmarks)));
          return codes;
        }""",
        faults,
    )
    assert [code for code, _ in codes] == ["bad_landmarks"] * 4
    assert "outside" in codes[2][1]


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
            const detector = makeDetector({ minFace: 0.2 });
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
