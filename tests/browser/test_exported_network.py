"""The real network, exported, answers in the browser as it does in Python."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyojeong import crops
from pyojeong.crops import MARGIN
from pyojeong.drawing import draw_face
from pyojeong.labels import KOREAN
from pyojeong.runtime import Classifier

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FACES = 14


@pytest.fixture(scope="module")
def faces() -> list[tuple[np.ndarray[Any, Any], tuple[float, float, float, float]]]:
    sizes = ((480, 640), (360, 300), (900, 700))
    return [draw_face(KOREAN[seed % 7], seed, sizes[seed % 3]) for seed in range(FACES)]


@pytest.fixture(scope="module")
def model(site: Any, faces: Any) -> Path:
    torch = pytest.importorskip("torch")
    from pyojeong.batches import normalise
    from pyojeong.checkpoint import Checkpoint
    from pyojeong.export import export
    from pyojeong.network import MobileNetV3Small

    torch.manual_seed(0)
    patches = np.stack([crops.face_crop(pixels, box) for pixels, box in faces])
    inputs = normalise(torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 255)
    network = MobileNetV3Small(len(KOREAN))
    with torch.no_grad():
        # Weights that nobody trained answer nearly the same for every face; statistics of the faces themselves
        # and a head that is scaled up part them.
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        network.train()(inputs)
        head = network.classifier[3]
        logits = network.eval()(inputs)
        head.weight *= 2 / logits.std(0).mean()
        head.bias -= network(inputs).mean(0)
    folder: Path = site.root / "models/real"
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach() for name, value in network.state_dict().items()}
    Checkpoint(state, KOREAN, "K7", {}, MARGIN, 1.0).save(folder / "best.pt")
    return export(folder / "best.pt", folder)


def test_drawn_faces_get_the_probabilities_that_python_gives(tab: Any, site: Any, model: Path, faces: Any) -> None:
    classifier = Classifier(model)
    jobs, expected = [], []
    for index, (pixels, box) in enumerate(faces):
        image = Image.fromarray(pixels)
        name = f"face{index}.png"
        (site.root / "pictures").mkdir(exist_ok=True)
        image.save(site.root / "pictures" / name)
        min_x, min_y, max_x, max_y = box
        moved = (min_x - 200, min_y - 150, max_x - 200, max_y - 150)
        for given in (box, moved, None):
            jobs.append((f"/pictures/{name}", given))
            expected.append(classifier.predict(pixels, given))
    tab.page.goto(f"{site.origin}/blank.html")
    answers = tab.page.evaluate(
        """async ({ jobs }) => {
          const { EmotionAPI } = await import('/web/onnx_emotion_api.js');
          const folder = '/models/real/';
          const api = new EmotionAPI({
            modelUrl: folder + 'k7_mnv3s_160.onnx', classesUrl: folder + 'classes.json', provider: 'wasm' });
          await api.init();
          const answers = [];
          for (const [url, box] of jobs) {
            const image = new Image();
            image.src = url;
            const at = box && { x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1] };
            answers.push(await api.predictFromImage(image, at));
          }
          return answers;
        }""",
        {"jobs": jobs},
    )
    ours = np.array([[answer[name] for name in KOREAN] for answer in answers])
    python = np.array([[answer[name] for name in KOREAN] for answer in expected])
    # The check means something only where answers differ from face to face.
    assert python.std(0).min() > 0.02
    assert len(set(python.argmax(1))) > 3
    assert np.abs(ours - python).max() <= 1e-4
    assert [list(answer) for answer in answers] == [list(KOREAN)] * len(jobs)
    tab.assert_clean(site.origin)


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
