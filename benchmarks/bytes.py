"""Count the bytes that a page downloads for each entry point, the runtime and the models, and for face-api.js.

Modules are counted as they are served, unbundled and unminified, with everything that they load with the package's own
engine. The last rows are all that a page loads to detect faces and to classify their expressions.

    python benchmarks/bytes.py [--model k7_mnv3s_160.onnx]

Without --model the benchmark exports a network with random weights, which compress least.
"""

import argparse
import gzip
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from pyojeong.detection import graph as blazeface
from pyojeong.export.eight_bit import quantize_weights
from pyojeong.faceapi.nets import graph_path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.browser import random_model  # noqa: E402 - needs the path set above

WEB = REPOSITORY / "web"
MODULES = REPOSITORY / "node_modules"
ORT = MODULES / "onnxruntime-web/dist"
FACEAPI = MODULES / "@vladmandic/face-api"
ENTRIES = {
    "`pyojeong/emotion` (EmotionAPI)": ["onnx_emotion_api.js"],
    "`pyojeong/detector` (FaceDetector)": ["detector.js"],
    "`pyojeong/analyzer` (EmotionAnalyzer, with its worker)": ["analyzer.js", "worker.js"],
    "`pyojeong/face-api` (adapter)": ["face-api.js"],
    "`pyojeong` (all but the adapter)": ["index.js", "worker.js"],
}
_IMPORT = re.compile(r"^(?:import|export) (?:[^'\"]* from )?'(\./[^']+)';|import\('(\./[^']+)'\)\)\.", re.MULTILINE)
_ONLY_ONNXRUNTIME = "onnxruntime.js"
_BUNDLE = """
  const { rolldown } = await import('rolldown');
  // What `npm pack` makes is loaded only without addresses, or where a bundler left the worker's file behind.
  const external = [/onnxruntime-web/, /weights\\.js$/, /worker-text\\.js$/];
  const bundle = await rolldown({ input: process.argv[1], external });
  const { output } = await bundle.generate({ format: 'esm', minify: true });
  // What loads onnxruntime-web is a chunk of its own, which other pages do not load.
  const needed = output.filter(({ name }) => name !== 'onnxruntime');
  console.log(JSON.stringify(needed.map(({ code }) => code)));
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="exported ONNX file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        full = options.model.read_bytes() if options.model else random_model(Path(folder))
    print("| what | bytes | gzip -9 |\n|---|---|---|")
    for name, entries in ENTRIES.items():
        row(name, [path.read_bytes() for path in imported_by([WEB / entry for entry in entries])])
    bundle = ["node", "--input-type=module", "-e", _BUNDLE, str(WEB / "analyzer.js")]
    chunks = json.loads(subprocess.run(bundle, cwd=REPOSITORY, capture_output=True, check=True).stdout)
    row("`pyojeong/analyzer`, bundled and minified by Vite's bundler", [chunk.encode() for chunk in chunks])
    row("of it the engine's WebAssembly in base64", read(WEB, "engine-wasm.js"))
    row("onnxruntime-web/wasm", read(ORT, "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"))
    row("onnxruntime-web/webgpu", read(ORT, "ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"))
    row("expression model, float32", [full])
    row("expression model, 8-bit variant", [quantize_weights(full)])
    row("face detector", [blazeface.graph_path().read_bytes()])
    row("TinyFaceDetector", [graph_path("tiny_face_detector").read_bytes()])
    row("@vladmandic/face-api (with tfjs)", read(FACEAPI, "dist/face-api.esm.js"))
    row("tfjs wasm backend (SIMD)", read(MODULES, "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm"))
    row("its expression model", weights("face_expression"))
    row("its face detector", weights("tiny_face_detector"))
    page = [path.read_bytes() for path in imported_by([WEB / "analyzer.js"])]
    row("**a page with EmotionAnalyzer**", [*page, blazeface.graph_path().read_bytes(), quantize_weights(full)])
    theirs = [*read(FACEAPI, "dist/face-api.esm.js"), *weights("face_expression"), *weights("tiny_face_detector")]
    wasm = read(MODULES, "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm")
    row("**a page with face-api.js**", [*theirs, *wasm])


def imported_by(entries: list[Path]) -> list[Path]:
    """Return entry modules and the modules of the package that they import, each once."""
    modules: list[Path] = []
    waiting = list(entries)
    while waiting:
        path = waiting.pop()
        if path not in modules:
            modules.append(path)
            names = (first or second for first, second in _IMPORT.findall(path.read_text(encoding="utf-8")))
            waiting += [(path.parent / name).resolve() for name in names if not name.endswith(_ONLY_ONNXRUNTIME)]
    return modules


def read(folder: Path, *names: str) -> list[bytes]:
    """Return the contents of files."""
    return [(folder / name).read_bytes() for name in names]


def weights(model: str) -> list[bytes]:
    """Return the files of a face-api.js model: weights and manifest."""
    return read(FACEAPI / "model", f"{model}_model.bin", f"{model}_model-weights_manifest.json")


def row(name: str, files: list[bytes]) -> None:
    """Print one row; each file is compressed separately, as servers do."""
    packed = sum(len(gzip.compress(data, 9)) for data in files)
    print(f"| {name} | {sum(map(len, files)):,} | {packed:,} |")


if __name__ == "__main__":
    main()
