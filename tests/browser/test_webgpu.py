"""The shipped network and the detector on WebGPU, computed by Chromium's own software device."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Playwright

from tests.browser.conftest import launched
from tests.browser.faces import draw_group

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DEVICE = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
PATIENCE = 300_000  # ms; a processor that plays the graphics card takes its time

PRELUDE = """
async () => {
  const { EmotionAnalyzer, FaceDetector } = await import('/web/index.js');
  const models = { modelUrl: '/models/basic7.onnx', detectorUrl: '/models/detector.onnx' };
  window.makeAnalyzer = (provider) => new EmotionAnalyzer({ ...models, minFace: 0.1, provider });
  const search = { modelUrl: models.detectorUrl, minFace: 0.1 };
  window.makeDetector = (provider) => new FaceDetector({ ...search, provider });
  window.picture = async (url) => { const img = new Image(); img.src = url; await img.decode(); return img; };
}
"""


@pytest.fixture(scope="module")
def gpu_page(playwright: Playwright, site: Any) -> Iterator[Page]:
    with launched(playwright, *DEVICE) as chromium:
        page = chromium.new_page()
        page.goto(f"{site.origin}/blank.html")
        if not page.evaluate("async () => !!(await navigator.gpu?.requestAdapter())"):
            pytest.skip("this Chromium has no software device for WebGPU")
        page.set_default_timeout(PATIENCE)
        page.evaluate(PRELUDE)
        yield page


def test_faces_are_found_and_read_as_on_wasm(gpu_page: Page, site: Any) -> None:
    address = site.put("gpu_group.png", draw_group(500, 260, people=2, seed=6))
    expected, found, info = gpu_page.evaluate(
        """async (address) => {
          const image = await picture(address);
          const answers = [];
          for (const provider of ['wasm', 'webgpu']) {
            const analyzer = makeAnalyzer(provider);
            await analyzer.init();
            answers.push(await analyzer.analyze(image));
            if (provider === 'webgpu') answers.push(analyzer.info());
            await analyzer.dispose();
          }
          return answers;
        }""",
        address,
    )
    assert (info["provider"], info["providerWhy"]) == ("webgpu", "WebGPU is offered")
    assert len(found) == len(expected) == 2
    for face, other in zip(found, expected, strict=True):
        assert face["box"] == pytest.approx(other["box"], abs=0.01)
        assert face["emotions"] == pytest.approx(other["emotions"], abs=1e-3)


def test_calls_that_overlap_do_not_disturb_each_other(gpu_page: Page, site: Any) -> None:
    address = site.put("gpu_face.png", draw_group(300, 200, people=1, seed=5))
    expected, answers, used = gpu_page.evaluate(
        """async (address) => {
          const image = await picture(address);
          const plain = makeDetector('wasm');
          await plain.init();
          const expected = await plain.detect(image);
          const both = [makeDetector('webgpu'), makeDetector('webgpu')];
          await Promise.all(both.map((detector) => detector.init()));
          const used = both.map((detector) => detector.info().providerWhy);
          const answers = await Promise.all([0, 1, 0].map((at) => both[at].detect(image)));
          const last = both[1].detect(image);
          await both[0].dispose();
          return [expected, [...answers, await last], used];
        }""",
        address,
    )
    assert used == ["WebGPU is offered"] * 2
    assert len(expected) == 1
    assert len(answers) == 4
    for [face] in answers:
        assert face["box"] == pytest.approx(expected[0]["box"], abs=0.01)
        assert face["score"] == pytest.approx(expected[0]["score"], abs=1e-4)
