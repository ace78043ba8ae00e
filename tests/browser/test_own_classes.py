"""A model with the user's own classes, in the demo and in the place of face-api.js's."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyojeong.demo.files import DEMO
from pyojeong.demo.server import make_server
from tests.browser.conftest import FACTS, Oracle
from tests.browser.pages import bars_of

pytestmark = pytest.mark.browser

CLASSES = ("웃음", "その他", "grim-faced")
METADATA = FACTS | {
    "classes": json.dumps(CLASSES),
    "scheme": "mine",
    "faceapi": json.dumps({"웃음": "happy", "その他": "neutral", "grim-faced": "angry"}),
    "colors": json.dumps({"웃음": "#d99a1c", "その他": "url(https://example.org/x)"}),
}


def test_the_demo_shows_own_classes_in_their_colors(
    tab: Any, site: Any, face: Any, model_writer: Callable[..., None], tmp_path: Path
) -> None:
    model_writer(tmp_path / "mine.onnx", outputs=3, metadata=METADATA)
    (tmp_path / "classes.json").write_text(json.dumps({"classes": CLASSES}), encoding="utf-8")
    image, path = face
    expected = Oracle(tmp_path / "mine.onnx")(image, None)
    with make_server(site.root, 0, model_dir=tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        origin = f"http://127.0.0.1:{server.server_port}"
        page = tab.page
        page.goto(origin + DEMO)
        page.wait_for_function("() => window.api")
        page.get_by_label("사진·영상 고르기").set_input_files(path)
        page.wait_for_function("() => document.querySelector('#bars .value').textContent !== '–'")
        assert bars_of(page) == {name: pytest.approx(100 * value, abs=0.0501) for name, value in expected.items()}
        best = max(expected, key=expected.__getitem__)
        assert page.locator("#answer").inner_text().startswith(best)
        fills = "(fills) => fills.map((fill) => getComputedStyle(fill).backgroundColor)"
        first, second, third = page.locator("#bars .fill").evaluate_all(fills)
        assert first == "rgb(217, 154, 28)"
        assert first not in (second, third), "a value that is no color changes nothing, and loads nothing"
        tab.assert_clean(origin)
        page.goto("about:blank")
        server.shutdown()
        thread.join()


def test_the_model_brings_its_mapping_to_face_api_s_words(
    tab: Any, site: Any, face: Any, model_writer: Callable[..., None]
) -> None:
    model_writer(site.root / "models/mine.onnx", outputs=3, metadata=METADATA)
    expected = Oracle(site.root / "models/mine.onnx")(face[0], None, "detector")
    address = site.put("own.png", face[0])
    tab.page.goto(f"{site.origin}/blank.html")
    found = tab.page.evaluate(
        """async (address) => {
          const faceapi = await import('/node_modules/@vladmandic/face-api/dist/face-api.esm.js');
          const adapter = await import('/web/face-api.js');
          const img = new Image(); img.src = address; await img.decode();
          const api = await adapter.install(faceapi, { modelUrl: '/models/mine.onnx' });
          const words = { ...await faceapi.nets.faceExpressionNet.predictExpressions(img) };
          let code = '';
          try {
            await adapter.install(faceapi, { modelUrl: '/models/mine.onnx', mapping: { 웃음: 'happy' } });
          } catch (error) { code = error.code; }
          return { words, code, faceapi: api.info().faceapi };
        }""",
        address,
    )
    assert found["words"]["happy"] == pytest.approx(expected["웃음"], abs=1e-5)
    assert found["words"]["neutral"] == pytest.approx(expected["その他"], abs=1e-5)
    assert found["words"]["angry"] == pytest.approx(expected["grim-faced"], abs=1e-5)
    assert found["words"]["sad"] == 0
    assert found["faceapi"] == json.loads(METADATA["faceapi"])
    assert found["code"] == "bad_option", "an own mapping replaces the model's"
