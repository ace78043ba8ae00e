"""Compare the speed of the browser package with face-api.js and onnxruntime-web, in Chromium, on one thread each.

All contenders run in one page and take turns, one call each, so that a busy machine slows all of them; the ratio is
that of the medians. Each reads the same canvas and does all its own work: reading pixels, resizing, network, decoding.
A frame of a film is the mean of six, 33 ms apart on the analyzer's clock: faces are searched for in one of them and
followed in five. The cold start is the time from opening a page with an empty cache to its first answer; the pages take
turns too. Both packages come in one file there, ours as ``npm pack`` makes it.

    python benchmarks/browser.py [--rounds 100] [--starts 10] [--layers] [--model k7_mnv3s_160.onnx]

Without --model the benchmark exports a network with random weights, which is equally fast. --layers prints the speed of
each step of the engine.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import processor
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from pyojeong.core.files import read_json
from pyojeong.detection import graph as blazeface
from pyojeong.export.eight_bit import quantize_weights
from pyojeong.faceapi.nets import graph_path
from pyojeong.sample.drawing import draw_face

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.browser.chromium import find_chromium  # noqa: E402 - needs the path set above

COMPARISONS = {
    # name: contender, reference, goal for the ratio
    "expression_vs_faceapi": ("our head", "face-api's head", 0.38),
    "expression_vs_onnxruntime": ("our head", "our head on onnxruntime-web", 0.5),
    "expression_8bit_vs_fp32": ("our head, 8-bit weights", "our head", 1.05),
    "tiny_detector_vs_faceapi": ("TinyFaceDetector on our engine", "face-api's detector", 0.27),
    "tiny_detector_vs_onnxruntime": ("TinyFaceDetector on our engine", "TinyFaceDetector on onnxruntime-web", 0.61),
    "frame_vs_faceapi": ("our frame", "face-api's frame", 0.12),
    "film_frame_vs_faceapi": ("a frame of a film", "face-api's frame", 0.12),
    "tiny_frame_vs_faceapi": ("a frame with TinyFaceDetector", "face-api's frame", 0.3),
    "detector_vs_faceapi": ("our detector", "face-api's detector", 0.12),
    "detector_vs_onnxruntime": ("our detector", "our detector on onnxruntime-web", 0.5),
    "cold_start_vs_faceapi": ("our first answer", "face-api's first answer", 0.4),
    "cold_start_unbundled_vs_faceapi": ("our first answer, unbundled", "face-api's first answer", 0.4),
}
FRAME = (640, 480)

PAGE = """
async (rounds) => {
  const faceapi = await import('/node_modules/@vladmandic/face-api/dist/face-api.esm.js');
  const { EmotionAPI, EmotionAnalyzer, FaceDetector, TinyFaceDetector } = await import('/web/index.js');
  faceapi.tf.setWasmPaths('/node_modules/@tensorflow/tfjs-backend-wasm/dist/');
  await faceapi.tf.setBackend('wasm');
  await faceapi.tf.ready();
  await faceapi.nets.tinyFaceDetector.loadFromUri('/node_modules/@vladmandic/face-api/model');
  await faceapi.nets.faceExpressionNet.loadFromUri('/node_modules/@vladmandic/face-api/model');

  const models = { modelUrl: '/fp32.onnx', detectorUrl: '/blazeface.onnx' };
  const head = new EmotionAPI(models);
  const small = new EmotionAPI({ modelUrl: '/8bit.onnx' });
  const foreign = new EmotionAPI({ ...models, engine: 'onnxruntime' });
  const detector = new FaceDetector({ modelUrl: '/blazeface.onnx' });
  const foreignDetector = new FaceDetector({ modelUrl: '/blazeface.onnx', engine: 'onnxruntime' });
  const tiny = new TinyFaceDetector({ modelUrl: '/tiny.onnx' });
  const foreignTiny = new TinyFaceDetector({ modelUrl: '/tiny.onnx', engine: 'onnxruntime' });
  const analyzer = new EmotionAnalyzer(models);
  const film = new EmotionAnalyzer({ ...models, halfLife: 300 });
  const parts = [head, small, foreign, detector, foreignDetector, tiny, foreignTiny, analyzer, film];
  for (const part of parts) await part.init();

  const image = new Image();
  image.src = '/frame.png';
  await image.decode();
  const canvasOf = (x, y, width, height) => {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    canvas.getContext('2d', { willReadFrequently: true }).drawImage(image, -x, -y);
    return canvas;
  };
  const frame = canvasOf(0, 0, image.width, image.height);
  const [{ box }] = await detector.detect(frame);
  const face = canvasOf(Math.round(box.x), Math.round(box.y), Math.round(box.width), Math.round(box.height));
  const options = new faceapi.TinyFaceDetectorOptions({ inputSize: 416, scoreThreshold: 0.5 });
  const filmFrames = 6;
  let time = 0;
  const contenders = {
    'our head': () => head.predictFromCanvas(face),
    'our head, 8-bit weights': () => small.predictFromCanvas(face),
    'our head on onnxruntime-web': () => foreign.predictFromCanvas(face),
    "face-api's head": () => faceapi.nets.faceExpressionNet.predictExpressions(face),
    'our detector': () => detector.detect(frame),
    'our detector on onnxruntime-web': () => foreignDetector.detect(frame),
    'TinyFaceDetector on our engine': () => tiny.detect(frame),
    'TinyFaceDetector on onnxruntime-web': () => foreignTiny.detect(frame),
    "face-api's detector": () => faceapi.detectAllFaces(frame, options).run(),
    'our frame': () => analyzer.analyze(frame),
    'a frame of a film': async () => {
      for (let frames = filmFrames; frames--; time += 200 / filmFrames) await film.analyze(frame, undefined, { time });
    },
    "a frame with TinyFaceDetector": async () => {
      for (const { box } of await tiny.detect(frame)) await head.predictFromCanvas(frame, box, { boxKind: 'detector' });
    },
    "face-api's frame": async () => faceapi.detectAllFaces(frame, options).withFaceExpressions(),
  };
  const times = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
  const faces = (await contenders["face-api's frame"]()).length;
  if (faces !== (await analyzer.analyze(frame)).length) throw new Error('the contenders differ in faces');
  for (let round = -5; round < rounds; round++) {
    for (const [name, run] of Object.entries(contenders)) {
      // Lets garbage and timers of the previous contender run outside of the measurement.
      await new Promise((resolve) => setTimeout(resolve));
      const start = performance.now();
      await run();
      const frames = name === 'a frame of a film' ? filmFrames : 1;
      if (round >= 0) times[name].push((performance.now() - start) / frames);
    }
  }
  return { times, faces, info: analyzer.info(), backend: faceapi.tf.getBackend(), tfjs: faceapi.tf.version_core,
    threads: await faceapi.tf.env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT') };
}
"""


COLD = {
    name: f"""
  const {{ EmotionAnalyzer }} = await import('/web/{module}');
  const analyzer = await EmotionAnalyzer.create({{ modelUrl: '/8bit.onnx', detectorUrl: '/blazeface.onnx' }});
  return (await analyzer.analyze(frame)).length;"""
    for name, module in (("our first answer", "dist/pyojeong.min.js"), ("our first answer, unbundled", "analyzer.js"))
} | {
    "face-api's first answer": """
  const faceapi = await import('/node_modules/@vladmandic/face-api/dist/face-api.esm.js');
  faceapi.tf.setWasmPaths('/node_modules/@tensorflow/tfjs-backend-wasm/dist/');
  await faceapi.tf.setBackend('wasm');
  await faceapi.tf.ready();
  await faceapi.nets.tinyFaceDetector.loadFromUri('/node_modules/@vladmandic/face-api/model');
  await faceapi.nets.faceExpressionNet.loadFromUri('/node_modules/@vladmandic/face-api/model');
  const options = new faceapi.TinyFaceDetectorOptions({ inputSize: 416, scoreThreshold: 0.5 });
  return (await faceapi.detectAllFaces(frame, options).withFaceExpressions()).length;""",
}

LAYERS = """
async () => {
  const { readGraph } = await import('/web/graph.js');
  const { planOf } = await import('/web/plan.js');
  const { Engine } = await import('/web/engine.js');
  const { kernelsModule } = await import('/web/kernels.js');
  const rows = [];
  for (const [name, side] of [['fp32', 160], ['tiny', 416], ['blazeface', 128]]) {
    const bytes = new Uint8Array(await (await fetch(`/${name}.onnx`)).arrayBuffer());
    const plan = planOf(readGraph(bytes, name), { height: side, width: side });
    const engine = await Engine.start(await kernelsModule(), plan, () => {});
    for (let round = 0; round < 50; round++) engine.run();
    for (const { label, ms, products } of engine.profile(200)) rows.push([name, label, ms, products / ms / 1e6]);
  }
  return rows;
}
"""


def main() -> None:
    """Run the benchmark and print table and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--starts", type=int, default=10, help="pages opened for the cold start, per contender")
    parser.add_argument("--layers", action="store_true", help="print the speed of each step of the engine")
    parser.add_argument("--model", type=Path, help="exported ONNX file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        fill_site(site, options.model)
        with opened(site) as (chromium, origin):
            results = evaluate(chromium, origin, PAGE, options.rounds)
            starts = cold_starts(chromium, origin, options.starts)
            layers = evaluate(chromium, origin, LAYERS, None) if options.layers else []
            version = chromium.version
    versions = {name: read_json(REPOSITORY / "node_modules" / name / "package.json")["version"] for name in PACKAGES}
    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Chromium {version}; one thread each")
    print(", ".join(f"{name} {number}" for name, number in versions.items()) + f" ({results['backend']})")
    print(
        f"{FRAME[0]} x {FRAME[1]} canvas, {results['faces']} face, {options.rounds} rounds, {options.starts} starts\n"
    )
    times: dict[str, list[float]] = {**results["times"], **starts}
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("| what | median ms | fastest ms |\n|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {medians[name]:.1f} | {min(values):.1f} |")
    print()
    for name, (ours, theirs, goal) in COMPARISONS.items():
        fastest = min(times[ours]) / min(times[theirs])
        print(f"RATIO {name} {medians[ours] / medians[theirs]:.3f} goal {goal} (of the fastest {fastest:.3f})")
    for network, label, milliseconds, speed in layers:
        print(f"{network}: {label}: {milliseconds:.3f} ms, {speed:.1f} G multiply-adds a second")


PACKAGES = ("@vladmandic/face-api", "@tensorflow/tfjs-backend-wasm", "onnxruntime-web")


def fill_site(site: Path, model: Path | None) -> None:
    """Put a frame, the models and links to the packages into ``site``."""
    for name in ("web", "node_modules"):
        (site / name).symlink_to(REPOSITORY / name)
    (site / "blank.html").write_text("<!doctype html><link rel=icon href=data:,>")
    subprocess.run(
        ["node", "pack.mjs"], cwd=REPOSITORY / "web", env=os.environ | {"PYTHON": sys.executable}, check=True
    )
    full = model.read_bytes() if model else random_model(site)
    (site / "fp32.onnx").write_bytes(full)
    (site / "8bit.onnx").write_bytes(quantize_weights(full))
    (site / "tiny.onnx").write_bytes(graph_path("tiny_face_detector").read_bytes())
    (site / "blazeface.onnx").write_bytes(blazeface.graph_path().read_bytes())
    frame = Image.new("RGB", FRAME, (110, 120, 130))
    portrait, _ = draw_face("기쁨", 3, (360, 480))
    frame.paste(Image.fromarray(portrait), (140, 0))
    frame.save(site / "frame.png")


def random_model(folder: Path) -> bytes:
    """Export a K7 network with random weights."""
    import torch

    from pyojeong.core.geometry import AIHUB_FRAMING
    from pyojeong.core.labels import KOREAN
    from pyojeong.export.onnx_file import build
    from pyojeong.model.checkpoint import Checkpoint
    from pyojeong.model.network import MobileNetV3Small

    torch.manual_seed(0)
    state = {name: value.detach() for name, value in MobileNetV3Small(len(KOREAN)).state_dict().items()}
    checkpoint = Checkpoint(
        state_dict=state, classes=KOREAN, scheme="K7", recipe={}, framing=AIHUB_FRAMING, temperature=1.0
    )
    return build(checkpoint)


@contextmanager
def opened(site: Path) -> Iterator[tuple[Browser, str]]:
    """A Chromium and the address of ``site``."""
    with serving(site) as origin, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--disable-gpu"], chromium_sandbox=os.geteuid() != 0
        )
        yield chromium, origin
        chromium.close()


def evaluate(chromium: Browser, origin: str, script: str, argument: Any) -> Any:
    """Run a script in a page of its own, whose caches are empty."""
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(0)
    page.goto(f"{origin}/blank.html")
    result = page.evaluate(script, argument)
    context.close()
    return result


def cold_starts(chromium: Browser, origin: str, count: int) -> dict[str, list[float]]:
    """Return milliseconds from the start of a script to the first answer, in pages with empty caches."""
    times: dict[str, list[float]] = {name: [] for name in COLD}
    for _ in range(count):
        for name, script in COLD.items():
            milliseconds, faces = evaluate(
                chromium,
                origin,
                f"""async () => {{
                  const image = new Image();
                  image.src = '/frame.png';
                  await image.decode();
                  const {{ width, height }} = image;
                  const frame = Object.assign(document.createElement('canvas'), {{ width, height }});
                  frame.getContext('2d', {{ willReadFrequently: true }}).drawImage(image, 0, 0);
                  const start = performance.now();
                  const faces = await (async () => {{ {script} }})();
                  return [performance.now() - start, faces];
                }}""",
                None,
            )
            if faces != 1:
                raise SystemExit(f"{name}: {faces} faces instead of 1")
            times[name].append(milliseconds)
    return times


@contextmanager
def serving(site: Path) -> Iterator[str]:
    """Serve a folder on loopback, without the headers that allow threads."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(site)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = re.search(r"port (\d+)", server.stdout.readline())
        assert port is not None
        try:
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
