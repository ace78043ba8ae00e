"""What pages of several test modules know."""

from typing import Any

from pyojeong.core.labels import KOREAN

EMOTION_API = """
async () => {
  const { EmotionAPI } = await import('/web/onnx_emotion_api.js');
  window.run = '/models/mobilenetv3_classifier/runs/finetune_K7_160/';
  window.makeApi = (more) => new EmotionAPI({
    modelUrl: run + 'k7_mnv3s_160.onnx', classesUrl: run + 'classes.json', provider: 'wasm', ...more });
  window.picture = async (url) => { const img = new Image(); img.src = url; await img.decode(); return img; };
  window.boxOf = (box) => box && { x: box[0], y: box[1], width: box[2], height: box[3] };
  window.codeOf = async (make) => { try { await make(); } catch (error) {
    return [error.constructor.name, error.code, error.message]; } return ['', 'no error', '']; };
}
"""


def bars_of(page: Any) -> dict[str, float]:
    """What the bars say at one moment, in percent."""
    rows = page.locator("#bars li").evaluate_all("(rows) => rows.map((row) => row.innerText)")
    return {text.split()[0]: float(text.split()[-1].removesuffix("%")) for text in rows}


def assert_shows(page: Any, expected: dict[str, float]) -> None:
    """Wait until the bars are these probabilities, to the digit that is printed."""
    page.wait_for_function(
        """(expected) => {
          const cells = [...document.querySelectorAll('#bars .value')];
          return cells.length === expected.length && cells.every(
            (cell, index) => Math.abs(parseFloat(cell.textContent) - 100 * expected[index]) <= 0.0501);
        }""",
        arg=[expected[name] for name in KOREAN],
        timeout=10_000,
    )
    assert tuple(bars_of(page)) == KOREAN
