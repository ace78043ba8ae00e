"""What computes: WebGPU where it works, wasm elsewhere, and memory that stays as it is."""

from typing import Any

import pytest

pytestmark = pytest.mark.browser

PRELUDE = """
async () => {
  const { EmotionAPI } = await import('/web/onnx_emotion_api.js');
  const run = '/models/mobilenetv3_classifier/runs/finetune_K7_160/';
  window.makeApi = (more) => new EmotionAPI({ modelUrl: run + 'k7_mnv3s_160.onnx', ...more });
  // onnxruntime-web as it is, except that it writes down what it is asked for, and may fail or err on a provider.
  window.recording = async (broken) => {
    const ort = await import('/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs');
    const asked = [];
    const left = new Set();
    const busy = { now: 0, most: 0 };
    const device = { lost: false };
    const alone = async (ask) => {
      busy.most = Math.max(busy.most, ++busy.now);
      await new Promise((resolve) => setTimeout(resolve));
      try { return await ask(); } finally { busy.now--; }
    };
    const open = async (bytes, options) => {
      asked.push(options);
      const [provider] = options.executionProviders;
      if (provider === broken) throw new Error('no such device');
      const session = await ort.InferenceSession.create(bytes, { ...options, executionProviders: ['wasm'] });
      const [kind] = session.outputNames;
      const fails = [`${provider} run`, `${provider} ${kind}`].includes(broken);
      const errs = provider === 'webgpu' && broken === 'webgpu errs';
      left.add(session);
      return {
        run: (feeds) => alone(async () => {
          if (fails || device.lost) throw new Error('device lost');
          const answer = await session.run(feeds);
          if (errs) answer[kind].data[0] += 0.02;
          return answer;
        }),
        release: async () => {
          left.delete(session);
          await session.release();
          if (fails) throw new Error('lost as well');
        },
      };
    };
    const create = (bytes, options) => alone(() => open(bytes, options));
    const module = { ...ort, env: ort.env, Tensor: ort.Tensor, InferenceSession: { create } };
    return { asked, left, busy, device, ort: module };
  };
  window.offerGpu = (requestAdapter) =>
    Object.defineProperty(navigator, 'gpu', { value: requestAdapter && { requestAdapter }, configurable: true });
}
"""


@pytest.mark.parametrize(
    ("adapter", "broken", "providers", "used", "why"),
    [
        ("async () => ({})", "none", ["webgpu", "wasm"], "webgpu", "offered"),
        ("async () => ({})", "webgpu", ["webgpu", "wasm"], "wasm", "no such device"),
        ("async () => ({})", "webgpu run", ["webgpu", "wasm"], "wasm", "WebGPU failed: device lost"),
        ("async () => ({})", "webgpu errs", ["webgpu", "wasm"], "wasm", "other values"),
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
    # One session answers, the other is freed.
    assert (info["provider"], left) == (used, 1)
    assert why in info["providerWhy"]
    assert sum(answer) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("broken", ["wasm", "wasm run"])
def test_nothing_stays_open_where_wasm_fails(page: Any, broken: str) -> None:
    asked, got, left = page.evaluate(
        """async (broken) => {
          offerGpu(async () => ({}));
          const { asked, left, ort } = await recording(broken);
          const got = await makeApi({ ort, provider: 'webgpu' }).init().catch((error) => error.code);
          return [asked.length, got, left.size];
        }""",
        broken,
    )
    assert (asked, got, left) == (2, "model_invalid", 0)


@pytest.mark.parametrize(
    ("broken", "used"), [("none", "webgpu"), ("webgpu boxes", "wasm"), ("webgpu probabilities", "wasm")]
)
def test_an_analyzer_reports_the_slower_provider_of_its_networks(page: Any, broken: str, used: str) -> None:
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


@pytest.mark.parametrize("provider", ["wasm", "webgpu"])
def test_the_runtime_runs_one_call_at_a_time(page: Any, provider: str) -> None:
    most, answers = page.evaluate(
        """async (provider) => {
          offerGpu(async () => ({}));
          const { busy, ort } = await recording('none');
          const apis = [makeApi({ ort, provider }), makeApi({ ort, provider })];
          await Promise.all(apis.map((api) => api.init()));
          const answers = await Promise.all([0, 1, 0, 1].map((at) => apis[at].predictFromImage(new ImageData(8, 8))));
          return [busy.most, answers];
        }""",
        provider,
    )
    assert most == 1
    assert len(answers) == 4
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    ("kind", "provider", "code", "advice"),
    [
        ("EmotionAPI", "webgpu", "runtime_failed", "make a new object"),
        ("EmotionAPI", "wasm", "bad_source", "make the picture smaller"),
        ("FaceDetector", "webgpu", "runtime_failed", "make a new object"),
        ("FaceDetector", "wasm", "runtime_failed", "reload the page"),
    ],
)
def test_a_network_that_fails_later_says_what_to_do(
    page: Any, kind: str, provider: str, code: str, advice: str
) -> None:
    error = page.evaluate(
        """async ([kind, provider]) => {
          const { FaceDetector } = await import('/web/index.js');
          offerGpu(async () => ({}));
          const { device, ort } = await recording('none');
          const detector = () => new FaceDetector({ modelUrl: '/models/detector.onnx', ort, provider });
          const made = kind === 'FaceDetector' ? detector() : makeApi({ ort, provider });
          await made.init();
          device.lost = true;
          const image = new ImageData(8, 8);
          try { await (made.detect ?? made.predictFromImage).call(made, image); } catch (error) {
            return [error.name, error.code, error.message]; }
        }""",
        [kind, provider],
    )
    assert error[:2] == ["EmotionError", code]
    assert "device lost" in error[2]
    assert advice in error[2]


def test_webgpu_is_not_touched_by_default(page: Any) -> None:
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
    assert before[1] > 500_000
    assert after[1] == before[1]
    assert after[0] - before[0] < 1_000_000
