"""What a browser's or a page's own protection does to the package."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.browsers import answer_of, firefox

pytestmark = pytest.mark.browser

READS_A_CANVAS = """<!doctype html><link rel="icon" href="data:,"><script type="module">
import { PixelReader } from '/web/source.js';
const canvas = Object.assign(document.createElement('canvas'), { width: 40, height: 30 });
const context = canvas.getContext('2d');
context.fillStyle = 'rgb(200, 100, 50)';
context.fillRect(0, 0, 40, 30);
let answer;
try {
  answer = { pixel: [...new PixelReader().frame(canvas).data.subarray(0, 4)] };
} catch ({ code, message }) { answer = { code, message }; }
await fetch('/answers', { method: 'POST', body: JSON.stringify(answer) });
</script>"""


@pytest.mark.slow
@pytest.mark.parametrize("resists", [False, True])
def test_noise_against_fingerprinting_is_refused_by_name(resists: bool, tmp_path: Path) -> None:
    command = firefox(tmp_path / "profile")
    (tmp_path / "profile/user.js").write_text(f'user_pref("privacy.resistFingerprinting", {str(resists).lower()});')
    found = answer_of(command, tmp_path, READS_A_CANVAS)
    if resists:
        assert found["code"] == "bad_source"
        assert "privacy.resistFingerprinting" in found["message"]
    else:
        assert found == {"pixel": [200, 100, 50, 255]}


def test_a_worker_starts_under_a_policy_of_trusted_types(tab: Any, site: Any) -> None:
    (site.root / "trusted.html").write_text(
        '<!doctype html><link rel="icon" href="data:,">'
        '<meta http-equiv="Content-Security-Policy" content="require-trusted-types-for \'script\'">'
    )
    tab.page.goto(f"{site.origin}/trusted.html")
    keys, codes = tab.page.evaluate(
        """async () => {
          const { EmotionAnalyzer } = await import('/web/analyzer.js');
          const models = { modelUrl: '/models/mobilenetv3_classifier/runs/finetune_K7_160/k7_mnv3s_160.onnx',
            detectorUrl: '/models/detector.onnx' };
          const policy = trustedTypes.createPolicy('page', { createScriptURL: (url) => url });
          const workerUrl = policy.createScriptURL('/web/worker.js');
          const analyzer = await EmotionAnalyzer.create({ ...models, workerUrl });
          const codeOf = (options) => EmotionAnalyzer.create({ ...models, ...options }).catch(({ code }) => code);
          return [analyzer.outputKeys, [await codeOf({ workerUrl: '/web/worker.js' }), await codeOf({ worker: true })]];
        }"""
    )
    assert len(keys) == 7
    assert codes == ["worker_not_found"] * 2
