"""Measure how decoding and resizing change the results of face-api.js, on real photographs.

Three paths lead to the same networks: ``exact`` (full decode and face-api.js's own sampling, as on its tensor path),
``scaled`` (a JPEG decoded no larger than needed) and ``canvas`` (@vladmandic/face-api in Chromium with an <img>, which
the browser decodes and resizes).

    python benchmarks/faceapi_paths.py --data ../shared/data

The data are the London faces in AI Hub's layout (london_as_aihub/) and the East Asian portraits (scut_asian.zip).
"""

import argparse
import base64
import csv
import io
import shutil
import statistics
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Route, sync_playwright

from pyojeong.core.geometry import MATCHED_IOU, Box, iou
from pyojeong.core.images import read_bytes
from pyojeong.core.labels import FACEAPI
from pyojeong.core.npm import find_package
from pyojeong.core.table import BOX_COLUMNS, read_csv
from pyojeong.data.prepare import prepare
from pyojeong.evaluation.contenders import FaceAnswer, PhotographAnswer
from pyojeong.faceapi.engines import FaceApiContender, OnnxEngine
from pyojeong.faceapi.weights import PACKAGE

Photograph = tuple[bytes, Box]
SITE = "https://faceapi.test"
TYPES = {".wasm": "application/wasm", ".json": "application/json", ".js": "text/javascript"}

PAGE = """
async ({ size }) => {
  faceapi.tf.setWasmPaths('/wasm/');
  await faceapi.tf.setBackend('wasm');
  await faceapi.tf.ready();
  await faceapi.nets.tinyFaceDetector.loadFromUri('/model');
  await faceapi.nets.faceExpressionNet.loadFromUri('/model');
  const options = new faceapi.TinyFaceDetectorOptions({ inputSize: size, scoreThreshold: 0.5 });
  const inOrder = (expressions, labels) => labels.map((label) => expressions[label]);
  window.analyze = async ({ url, box, labels }) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    const detected = await faceapi.detectAllFaces(image, options).withFaceExpressions();
    const [x0, y0, x1, y1] = box;
    const [crop] = await faceapi.extractFaces(image, [new faceapi.Rect(x0, y0, x1 - x0, y1 - y0)]);
    return {
      width: image.naturalWidth,
      height: image.naturalHeight,
      faces: detected.map(({ detection, expressions }) => ({
        box: [detection.box.left, detection.box.top, detection.box.right, detection.box.bottom],
        score: detection.score,
        probabilities: inOrder(expressions, labels),
      })),
      given: inOrder(await faceapi.nets.faceExpressionNet.predictExpressions(crop), labels),
    };
  };
}
"""


def london(data: Path) -> Iterator[Photograph]:
    """Yield the London photographs with the boxes of their records."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare(data / "london_as_aihub", root)
        for part in ("train", "val", "test"):
            for row in read_csv(root / "data_shared" / "splits_csv" / f"{part}_K7.csv").iter_rows(named=True):
                yield read_bytes(root, row["path"]), _box(row)


def scut(data: Path) -> Iterator[Photograph]:
    """Yield the East Asian portraits with their approximate boxes."""
    with zipfile.ZipFile(data / "scut_asian.zip") as archive, archive.open("scut_asian/boxes.csv") as file:
        for row in csv.DictReader(io.TextIOWrapper(file, "utf-8")):
            yield archive.read(row["path"]), _box(row)


@contextmanager
def browser(size: int, chromium: str | None) -> Iterator[Any]:
    """Open Chromium with face-api.js; yields a function from photograph and box to the results of face-api.js."""
    package = find_package(PACKAGE)
    folders = {
        "model": package / "model",
        "wasm": find_package("@tensorflow/tfjs-backend-wasm") / "dist",
    }

    def serve(route: Route) -> None:
        _, _, path = route.request.url.partition(SITE + "/")
        top, _, name = path.partition("/")
        if top in folders:
            file = folders[top] / Path(name).name
            route.fulfill(body=file.read_bytes(), content_type=TYPES.get(file.suffix, "application/octet-stream"))
        else:
            route.fulfill(body="<!doctype html>", content_type="text/html")

    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = window.new_page()
        page.route(SITE + "/**", serve)
        page.goto(SITE + "/")
        page.add_script_tag(path=package / "dist" / "face-api.js")
        page.evaluate(PAGE, {"size": size})

        def analyze(data: bytes, box: Box) -> PhotographAnswer:
            url = "data:image/jpeg;base64," + base64.b64encode(data).decode()
            result = page.evaluate("(photograph) => analyze(photograph)", {"url": url, "box": box, "labels": FACEAPI})
            faces = [FaceAnswer(tuple(face["box"]), face["score"], face["probabilities"]) for face in result["faces"]]
            return PhotographAnswer(result["width"], result["height"], faces, [result["given"]])

        yield analyze
        window.close()


def best(analysis: PhotographAnswer, box: Box) -> FaceAnswer | None:
    """Return the detected face that matches the annotated box best, if any."""
    faces = [face for face in analysis.faces if iou(face.box, box) >= MATCHED_IOU]
    return max(faces, key=lambda face: iou(face.box, box), default=None)


def compare(
    name: str, exact: Sequence[PhotographAnswer], other: Sequence[PhotographAnswer], boxes: Sequence[Box]
) -> str:
    """Return a table row with the differences between ``other`` and ``exact``."""
    faces = [(best(a, box), best(b, box)) for a, b, box in zip(exact, other, boxes, strict=True)]
    detected = sum(face is not None for _, face in faces)
    at_detections = [(a.probabilities, b.probabilities) for a, b in faces if a and b]
    at_boxes = [(a.given[0], b.given[0]) for a, b in zip(exact, other, strict=True)]
    cells = [f"{detected}/{len(faces)} ({detected / len(faces):.1%})"]
    for pairs in (at_detections, at_boxes):
        usable = [(a, b) for a, b in pairs if a and b]
        moved = sum(a.index(max(a)) != b.index(max(b)) for a, b in usable)
        gaps = [max(abs(x - y) for x, y in zip(a, b, strict=True)) for a, b in usable]
        cells += [f"{moved}/{len(usable)}", f"{statistics.mean(gaps):.3f}", f"{max(gaps):.2f}"]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print one table for each set."""
    parser = argparse.ArgumentParser(description="Compare the exact, scaled and canvas path of face-api.js")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--input-size", type=int, default=416)
    parser.add_argument(
        "--chromium", default=shutil.which("chromium"), help="default: the installed one, otherwise Playwright's"
    )
    options = parser.parse_args()
    engines = {
        name: OnnxEngine(FaceApiContender(input_size=options.input_size, decode=name)) for name in ("exact", "scaled")
    }
    with browser(options.input_size, options.chromium) as canvas:
        for name, photographs in (("London", london(options.data)), ("SCUT East Asian", scut(options.data))):
            boxes: list[Box] = []
            answers: dict[str, list[PhotographAnswer]] = {"exact": [], "scaled": [], "canvas": []}
            for data, box in photographs:
                boxes.append(box)
                for path, engine in engines.items():
                    answers[path].append(engine.analyze(data, [box]))
                answers["canvas"].append(canvas(data, box))
            print(f"\n{name}, n = {len(boxes)}, input size {options.input_size}\n")
            print(
                "| path | annotated face found | other label | mean change | largest | other label (given box) |",
                end="",
            )
            print(" mean change | largest |")
            print("|---|---|---|---|---|---|---|---|")
            for path, results in answers.items():
                print(compare(path, answers["exact"], results, boxes))


def _box(row: dict[str, Any]) -> Box:
    left, top, right, bottom = (float(row[name]) for name in BOX_COLUMNS)
    return left, top, right, bottom


if __name__ == "__main__":
    main()
