"""The exported demo page in Chromium, Firefox and WebKitGTK: the same answers, and every part at work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pyojeong import analyze
from pyojeong.analysis.table import FaceTable
from pyojeong.core.labels import korean_word
from pyojeong.demo.site import export_site
from tests.browser.browsers import BROWSERS, answer_of
from tests.browser.conftest import REPOSITORY

pytestmark = pytest.mark.browser

USES_THE_DEMO = """<!doctype html><link rel="icon" href="data:,">
<iframe src="/site/web/demo/?lang=ko" style="width: 360px; height: 800px"></iframe>
<script type="module">
const frame = document.querySelector('iframe');
const at = (id) => frame.contentDocument?.getElementById(id);
const text = (id) => at(id).innerText;
async function until(what, holds) {
  for (let turn = 0; turn < 1200; turn++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited for ${what}; problem: ${at('problem')?.textContent}`);
}
async function saved() {
  const blobs = [];
  const { URL, HTMLAnchorElement } = frame.contentWindow;
  const make = URL.createObjectURL;
  URL.createObjectURL = (blob) => { blobs.push(blob); return make.call(URL, blob); };
  let name;
  HTMLAnchorElement.prototype.click = function () { name = this.download; };
  at('save').click();
  URL.createObjectURL = make;
  return { name, text: await blobs[0].text() };
}
const answer = { agent: navigator.userAgent };
try {
  await until('the model', () => frame.contentWindow.api);
  at('sample-picture').click();
  await until('three faces', () => at('faces').childElementCount === 3);
  answer.lead = text('lead');
  answer.korean = text('answer');
  answer.table = await saved();
  at('truths').querySelector('[value=happy]').click();
  answer.score = text('score');
  frame.contentDocument.querySelector('#languages [value=en]').click();
  answer.english = text('answer');
  at('rival').click();
  at('sample-film').click();
  await until('face-api.js', () => text('rival-figures').includes('Same answer'));
  await until('the timeline', () => at('shares').childElementCount === 2 && at('video').currentTime > 3);
  answer.shares = [...at('shares').children].map((line) => line.textContent);
  const { width, height } = at('timeline');
  const { data } = at('timeline').getContext('2d').getImageData(0, 0, width, height);
  answer.painted = data.filter((level, index) => index % 4 === 3 && level === 255).length / (width * height);
  answer.scroll = frame.contentDocument.documentElement.scrollWidth;
  answer.problem = at('problem').textContent;
} catch (error) { answer.error = `${error}`; }
await fetch('/answers', { method: 'POST', body: JSON.stringify(answer) });
</script>"""


@pytest.mark.parametrize(("command", "agent"), BROWSERS)
def test_the_demo_works(command: Callable[[Path], list[str]], agent: str, tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    export_site(tmp_path / "workspace", tmp_path / "site")
    found: dict[str, Any] = answer_of(command(tmp_path / "profile"), tmp_path, USES_THE_DEMO)
    assert agent in found["agent"]
    assert found["lead"] == "얼굴을 찾아 일곱 가지 감정의 확률을 보여 줍니다."
    assert found["table"]["name"].endswith(".csv")
    (tmp_path / "saved.csv").write_text(found["table"]["text"], encoding="utf-8")
    ours = FaceTable.read(tmp_path / "saved.csv").to_polars().sort("minX")
    expected = analyze([REPOSITORY / "web/demo/sample.jpg"]).to_polars().sort("minX")
    assert ours["label"].to_list() == expected["label"].to_list()
    # Browsers decode JPEG to slightly other pixels.
    chances = pl.selectors.starts_with("p_")
    assert ours.select(chances).to_numpy() == pytest.approx(expected.select(chances).to_numpy(), abs=0.02)
    (happy,) = expected.filter(pl.col("label") == "happy")["p_happy"]
    assert found["korean"].split()[0] == korean_word("happy")
    assert float(found["korean"].split()[1].removesuffix("%")) == pytest.approx(100 * happy, abs=2.5)
    assert found["english"] == found["korean"].replace(korean_word("happy"), "happy")
    assert found["score"] == "pyojeong 1 / 1 맞음"
    assert [line.split(":")[0] for line in found["shares"]] == ["Face 1", "Face 2"]
    assert found["painted"] > 0.005
    assert found["scroll"] <= 360
    assert found["problem"] == ""
