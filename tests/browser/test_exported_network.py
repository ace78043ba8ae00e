"""The real network, exported, answers in the browser as it does in Python."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyojeong.classifier import Classifier
from pyojeong.core import images
from pyojeong.core.geometry import MARGIN
from pyojeong.core.labels import KOREAN
from pyojeong.sample.drawing import draw_face

Box = tuple[float, float, float, float]

pytestmark = pytest.mark.browser

FACES = 200
SIZES = ((480, 640), (360, 300), (200, 260), (900, 700))


@pytest.fixture(scope="module")
def faces() -> list[tuple[np.ndarray[Any, Any], tuple[float, float, float, float]]]:
    return [draw_face(KOREAN[seed % 7], seed, SIZES[seed % 4]) for seed in range(FACES)]


@pytest.fixture(scope="module")
def model(site: Any, exported: Path) -> Path:
    folder: Path = site.root / "models/real"
    shutil.copytree(exported, folder)
    return folder / "k7_mnv3s_160.onnx"


def variants(box: Box, size: tuple[int, int], index: int) -> Box | None:
    """One of the kinds of box: inside, over each border, tiny, huge, none."""
    min_x, min_y, max_x, max_y = box
    width, height = size
    across, down = max_x - min_x, max_y - min_y
    kinds: list[Box | None] = [
        box,
        (-across / 3, min_y, across * 2 / 3, max_y),
        (min_x, -down / 3, max_x, down * 2 / 3),
        (width - across * 0.6, min_y, width + across * 0.4, max_y),
        (min_x, height - down * 0.6, max_x, height + down * 0.4),
        (min_x + across / 2, min_y + down / 2, min_x + across / 2 + 9, min_y + down / 2 + 7),
        (-width * 0.4, -height * 0.3, width * 1.3, height * 1.2),
        None,
    ]
    return kinds[index % len(kinds)]


def ask(tab: Any, site: Any, jobs: list[tuple[str, Box | None]]) -> np.ndarray[Any, Any]:
    """The page's answers, [job, class]."""
    tab.page.goto(f"{site.origin}/blank.html")
    answers = tab.page.evaluate(
        """async ({ jobs }) => {
          const { EmotionAPI } = await import('/web/onnx_emotion_api.js');
          const api = new EmotionAPI({ modelUrl: '/models/real/k7_mnv3s_160.onnx' });
          await api.init();
          const answers = [];
          for (const [url, box] of jobs) {
            const image = new Image();
            image.src = url;
            const at = box && { x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1] };
            answers.push(Object.values(await api.predictFromImage(image, at)));
          }
          return answers;
        }""",
        {"jobs": jobs},
    )
    return np.array(answers)


def assert_no_flips(ours: np.ndarray[Any, Any], python: np.ndarray[Any, Any]) -> None:
    """The most probable class is the same, or as probable as Python's within 0.02."""
    best = python.argmax(1)
    assert (ours.max(1) - ours[np.arange(len(ours)), best]).max() <= 0.02


@pytest.mark.parametrize(("kind", "tolerance"), [pytest.param("png", 1e-4, marks=pytest.mark.slow), ("jpg", 0.02)])
def test_drawn_faces_get_the_probabilities_that_python_gives(
    kind: str, tolerance: float, tab: Any, site: Any, model: Path, faces: Any
) -> None:
    classifier = Classifier(model)
    jobs: list[tuple[str, Box | None]] = []
    expected = []
    for index, (pixels, box) in enumerate(faces):
        address = site.put(f"face{index}.{kind}", Image.fromarray(pixels), quality=88)
        given = variants(box, (pixels.shape[1], pixels.shape[0]), index)
        jobs.append((address, given))
        expected.append(classifier.predict(images.decode((site.root / address[1:]).read_bytes()), given))
    ours = ask(tab, site, jobs)
    python = np.array([list(answer.values()) for answer in expected])
    # The check means something only where answers differ from face to face.
    assert python.std(0).min() > 0.02
    assert len(set(python.argmax(1))) > 3
    assert np.abs(ours - python).max() <= tolerance
    assert_no_flips(ours, python)
    tab.assert_clean(site.origin)


def test_photographs_get_the_probabilities_that_python_gives(tab: Any, site: Any, model: Path, shared: Path) -> None:
    """From the files themselves: JPEG, EXIF orientation, color as two decoders see it."""
    classifier = Classifier(model)
    jobs: list[tuple[str, Box | None]] = []
    expected = []
    for archive in sorted((shared / "data/london_as_aihub").glob("*01.zip")):
        with zipfile.ZipFile(archive) as photographs:
            for name in [name for name in photographs.namelist() if name.lower().endswith(("jpg", "jpeg"))]:
                data = photographs.read(name)
                try:
                    pixels = images.decode(data)
                except images.ImageError:
                    continue
                path = site.root / f"pictures/london{len(jobs)}.jpg"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
                height, width, _ = pixels.shape
                box = (width * 0.3, height * 0.25, width * 0.7, height * 0.75)
                jobs.append((f"/pictures/{path.name}", box))
                expected.append(list(classifier.predict(pixels, box).values()))
    ours, python = ask(tab, site, jobs), np.array(expected)
    assert len(jobs) > 50
    assert np.abs(ours - python).max() <= 0.02
    assert_no_flips(ours, python)


def test_the_small_model_runs_and_answers_as_in_python(tab: Any, site: Any, model: Path, faces: Any) -> None:
    small = Classifier(model.with_name("k7_mnv3s_160_8bit.onnx"))
    found = []
    tab.page.goto(f"{site.origin}/blank.html")
    for index, (pixels, _) in enumerate(faces[:6]):
        address = site.put(f"small{index}.png", Image.fromarray(pixels))
        found.append(
            tab.page.evaluate(
                """async (address) => {
                  const { EmotionAPI } = await import('/web/onnx_emotion_api.js');
                  window.api ??= new EmotionAPI({ modelUrl: '/models/real/k7_mnv3s_160_8bit.onnx' });
                  await api.init();
                  const image = new Image();
                  image.src = address;
                  return Object.values(await api.predictFromImage(image));
                }""",
                address,
            )
        )
    python = np.array([list(small.predict(pixels).values()) for pixels, _ in faces[:6]])
    assert np.abs(np.array(found) - python).max() <= 1e-4


def test_the_exported_files_are_what_the_page_reads(tab: Any, site: Any, model: Path) -> None:
    tab.page.goto(f"{site.origin}/blank.html")
    info, keys = tab.page.evaluate(
        """async () => {
          const { EmotionAPI } = await import('/web/onnx_emotion_api.js');
          const api = new EmotionAPI({ modelUrl: '/models/real/k7_mnv3s_160.onnx' });
          await api.init();
          return [api.info(), api.outputKeys];
        }"""
    )
    assert keys == json.loads((model.parent / "classes.json").read_text(encoding="utf-8"))["classes"]
    assert info["modelBytes"] == model.stat().st_size
    assert (info["scheme"], info["margin"], info["size"]) == ("K7", MARGIN, 160)
