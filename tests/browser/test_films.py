"""A film that a phone recorded on its side is read upright, on the page and in a worker, in every browser."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pyojeong.analyzer import MODEL
from pyojeong.detection.graph import graph_path
from tests.browser.browsers import BROWSERS, answer_of

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><link rel="icon" href="data:,"><video muted></video><script type="module">
let answer;
try {
  const { EmotionAnalyzer } = await import('/web/analyzer.js');
  const video = document.querySelector('video');
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new Error(`no codec: ${video.error.message}`));
    video.src = '/film.mp4';
  });
  const answers = [];
  for (const worker of [false, true]) {
    const analyzer = await EmotionAnalyzer.create({ modelUrl: '/model.onnx', detectorUrl: '/faces.onnx', worker });
    answers.push(await analyzer.analyze(video));
    await analyzer.dispose();
  }
  answer = { runtime: navigator.userAgent, size: [video.videoWidth, video.videoHeight], answers };
} catch (error) { answer = { problem: String(error) }; }
await fetch('/answers', { method: 'POST', body: JSON.stringify(answer) });
</script>"""


@pytest.mark.parametrize(("launch", "name"), BROWSERS)
def test_a_turned_film_is_read_upright(launch: Any, name: str, shared: Path, tmp_path: Path) -> None:
    shutil.copy(shared / "cases/rot270.mp4", tmp_path / "film.mp4")
    shutil.copy(MODEL, tmp_path / "model.onnx")
    shutil.copy(graph_path(), tmp_path / "faces.onnx")
    found = answer_of(launch(tmp_path / "profile"), tmp_path, PAGE)
    if "no codec" in found.get("problem", ""):
        pytest.skip(f"this browser cannot play H.264: {found['problem']}")
    assert "problem" not in found, found
    assert name in found["runtime"]
    assert found["size"] == [480, 640]
    (on_page,), (in_worker,) = found["answers"]
    # One woman who smiles.
    assert on_page["label"] == "happy"
    assert on_page["emotions"]["happy"] > 0.9
    assert in_worker["emotions"] == pytest.approx(on_page["emotions"], abs=1e-3)
    assert list(in_worker["box"].values()) == pytest.approx(list(on_page["box"].values()), abs=0.5)
