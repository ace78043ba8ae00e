"""What computes: WebGPU where it works, wasm elsewhere, and memory that stays as it is."""

from typing import Any

import pytest

pytestmark = pytest.mark.browser

PRELUDE = """
async () => {
  const { EmotionAPI } = await import('/web/onnx_emotion_api.js');
  const run = '/models/mobilenetv3_classifier/runs/finetune_K7_160/';
  window.makeApi = (more) => new EmotionAPI({ modelUrl: run + 'k7_mnv3s_160.onnx', ...more });
  // onnxruntime-web as it is, except that it writes down what it is asked for and may fail on a provider.
  window.recording = async (broken) => {
    const ort = await import('/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs');
    const asked = [];
    const left = new Set();
    const create = async (bytes, options) => {
      asked.push(options);
      const [provider] = options.executionProviders;
      if (provider === broken) throw new Error('no such device');
      const session = await ort.InferenceSession.create(bytes, { ...options, executionProviders: ['wasm'] });
      const [kind] = session.outputNames;
      if (![`${provider} run`, `${provider} ${kind}`].includes(broken)) return session;
      left.add(session);
      return {
        run: async () => { throw new Error('device lost'); },
        release: async () => { left.delete(session); await session.release(); throw new Error('lost as well'); },
      };
    };
    return { asked, left, ort: { ...ort, env: ort.env, Tensor: ort.Tensor, InferenceSession: { create } } };
  };
  window.offerGpu = (requestAdapter) =>
    Object.defineProperty(navigator, 'gpu', { value: requestAdapter && { requestAdapter }, configurable: true });
}
"""


@pytest.mark.parametrize(
    ("adapter", "broken", "providers", "used", "why"),
    [
        ("async () => ({})", "none", ["webgpu"], "webgpu", "offered"),
        ("async () => ({})", "webgpu", ["webgpu", "wasm"], "wasm", "no such device"),
        ("async () => ({})", "webgpu run", ["webgpu", "wasm"], "wasm", "WebGPU failed: device lost"),
        ("async () => null", "none", ["wasm"], "wasm", "no graphics adapter"),
        ("async () => { throw new Error('lost'); }", "none", ["wasm"], "wasm", "no graphics adapter"),
        ("undefined", "none", ["wasm"], "wasm", "no WebGPU"),
    ],
)
def test_webgpu_is_used_where_it_works(
    page: Any, adapter: str, broken: str, providers: list[str], used: str, why: str
) -> None:
    asked, info, answer, left = page.evaluate(
        f"""async (broken) => {{
          offerGpu({adapter});
          const {{ asked, left, ort }} = await recording(broken);
          const api = makeApi({{ ort, provider: 'webgpu' }});
          await api.init();
          const answer = await api.predictFromImage(new ImageData(8, 8));
          return [asked, api.info(), Object.values(answer), left.size];
        }}""",
        broken,
    )
    assert [options["executionProviders"] for options in asked] == [[provider] for provider in providers]
    # Weights of 8 bits are expanded once.
    assert all(options["extra"]["session"]["disable_quant_qdq"] == "1" for options in asked)
    assert (info["provider"], left) == (used, 0)
    assert why in info["providerWhy"]
    assert sum(answer) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("broken", "used"), [("none", "webgpu"), ("webgpu cells", "wasm"), ("webgpu probabilities", "wasm")]
)
def test_an_analyzer_tells_the_slower_of_its_networks(page: Any, broken: str, used: str) -> None:
    info = page.evaluate(
        """async (broken) => {
          const { EmotionAnalyzer } = await import('/web/analyzer.js');
          offerGpu(async () => ({}));
          const { ort } = await recording(broken);
          const modelUrl = '/models/mobilenetv3_classifier/runs/finetune_K7_160/k7_mnv3s_160.onnx';
          const options = { modelUrl, detectorUrl: '/models/detector.onnx', ort, provider: 'webgpu' };
          const analyzer = new EmotionAnalyzer(options);
          await analyzer.init();
          return analyzer.info();
        }""",
        broken,
    )
    assert info["provider"] == used
    assert ("device lost" in info["providerWhy"]) == (used == "wasm")


def test_without_being_asked_webgpu_is_left_alone(page: Any) -> None:
    info, touched = page.evaluate(
        """async () => {
          let touched = false;
          offerGpu(async () => { touched = true; return {}; });
          const api = makeApi();
          await api.init();
          return [api.info(), touched];
        }"""
    )
    assert (info["provider"], touched) == ("wasm", False)


@pytest.mark.slow
def test_ten_thousand_predictions_do_not_grow_memory(page: Any) -> None:
    session = page.context.new_cdp_session(page)
    page.evaluate(
        """async () => {
          // The wasm heap is not part of the JavaScript heap; it is seen where it is made.
          window.heaps = [];
          const Memory = WebAssembly.Memory;
          WebAssembly.Memory = new Proxy(Memory, { construct: (target, given) => {
            const memory = new target(...given);
            heaps.push(memory);
            return memory;
          } });
          window.api = makeApi();
          await api.init();
          const canvas = new OffscreenCanvas(64, 64);
          const context = canvas.getContext('2d');
          window.predict = async (count) => {
            for (let index = 0; index < count; index++) {
              context.fillStyle = `hsl(${index % 360} 50% 50%)`;
              context.fillRect(0, 0, 64, 64);
              await api.predictFromCanvas(canvas, { x: 10, y: 10, width: 20 + (index % 30), height: 30 });
            }
          };
        }"""
    )

    def measure() -> tuple[int, int]:
        session.send("HeapProfiler.collectGarbage")
        used = session.send("Runtime.getHeapUsage")["usedSize"]
        return used, page.evaluate("() => heaps.reduce((sum, memory) => sum + memory.buffer.byteLength, 0)")

    page.evaluate("() => predict(1000)")
    before = measure()
    page.evaluate("() => predict(10_000)")
    after = measure()
    assert before[1] > 1_000_000
    assert after[1] == before[1]
    assert after[0] - before[0] < 1_000_000
