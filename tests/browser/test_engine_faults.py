"""What the package's own engine says where it cannot compute, and that it frees what it takes."""

import random
import subprocess
from pathlib import Path
from typing import Any

import onnx
import pytest

from pyojeong.analyzer import MODEL
from pyojeong.detection.graph import graph_path
from tests.browser.pages import EMOTION_API

pytestmark = pytest.mark.browser

REPOSITORY = Path(__file__).resolve().parents[2]
PRELUDE = EMOTION_API.replace("provider: 'wasm',", "engine: 'pyojeong',")


def test_it_is_the_default_and_says_so(page: Any) -> None:
    infos = page.evaluate(
        """async () => {
          const { EmotionAPI } = await import('/web/onnx_emotion_api.js');
          const infos = [];
          for (const more of [{}, { engine: 'pyojeong' }, { engine: 'onnxruntime' }, { provider: 'wasm' }]) {
            const api = new EmotionAPI({ modelUrl: run + 'k7_mnv3s_160.onnx', ...more });
            await api.init();
            infos.push(api.info());
          }
          return infos;
        }"""
    )
    assert [info["engine"] for info in infos] == ["pyojeong", "pyojeong", "onnxruntime", "onnxruntime"]
    assert (infos[0]["runtimeVersion"], infos[0]["threads"]) == (None, 1)


def test_it_asks_for_nothing_but_the_model(tab: Any, page: Any, site: Any) -> None:
    page.evaluate("async () => { await makeApi({ classesUrl: undefined }).init(); }")
    assert not [url for url in tab.requests if "onnxruntime" in url or url.endswith(".wasm")]
    tab.assert_clean(site.origin)


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("WebAssembly.validate = () => false", "engine_unsupported", "SIMD"),
        (
            "WebAssembly.compile = async () => { throw new WebAssembly.CompileError('no') }",
            "runtime_failed",
            "unsafe-eval",
        ),
        ("WebAssembly.Memory = class { constructor() { throw new RangeError('no') } }", "out_of_memory", "MB"),
    ],
)
def test_what_the_browser_lacks_is_named(fault: str, code: str, words: str, page: Any) -> None:
    name, got, message = page.evaluate(f"async () => {{ {fault}; return codeOf(() => makeApi().init()); }}")
    assert (name, got) == ("EmotionError", code)
    assert words in message


def test_a_policy_without_wasm_is_named(tab: Any, site: Any) -> None:
    body = f"""<!doctype html><link rel="icon" href="data:,"><script type="module">
    await ({PRELUDE})();
    window.found = await codeOf(() => makeApi().init());</script>"""
    headers = {"Content-Security-Policy": "script-src 'self' 'unsafe-inline'"}
    tab.page.route("**/strict.html", lambda route: route.fulfill(body=body, content_type="text/html", headers=headers))
    tab.page.goto(f"{site.origin}/strict.html")
    tab.page.wait_for_function("() => window.found")
    _, code, message = tab.page.evaluate("() => found")
    assert code == "runtime_failed"
    assert "'wasm-unsafe-eval'" in message


def test_options_of_two_engines_exclude_each_other(page: Any) -> None:
    for option in ("provider: 'wasm'", "wasmBasePath: '/'", "ort: {}"):
        _, code, message = page.evaluate(f"() => codeOf(() => makeApi({{ {option} }}))")
        assert code == "bad_option"
        assert option.split(":")[0] in message
    _, code, _ = page.evaluate("() => codeOf(() => makeApi({ engine: 'tfjs' }))")
    assert code == "bad_option"


def test_a_foreign_network_is_named_and_runs_on_the_other_engine(page: Any, site: Any) -> None:
    model = onnx.load(site.root / "models/mobilenetv3_classifier/runs/finetune_K7_160/k7_mnv3s_160.onnx")
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Elu"
    onnx.save(model, site.root / "models/foreign.onnx")
    (_, code, message), answer = page.evaluate(
        """async () => {
          const foreign = { modelUrl: '/models/foreign.onnx' };
          const code = await codeOf(() => makeApi(foreign).init());
          const api = makeApi({ ...foreign, engine: 'onnxruntime' });
          await api.init();
          return [code, await api.predictFromImage(new ImageData(8, 8))];
        }"""
    )
    assert code == "model_unsupported"
    assert "Elu" in message
    assert "engine: 'onnxruntime'" in message
    assert sum(answer.values()) == pytest.approx(1, abs=1e-5)


def test_twenty_instances_answer_alike_and_free_their_memory(page: Any) -> None:
    session = page.context.new_cdp_session(page)
    page.evaluate(
        """async () => {
          window.registry = new FinalizationRegistry(() => window.freed++);
          window.freed = 0;
          const Memory = WebAssembly.Memory;
          WebAssembly.Memory = new Proxy(Memory, { construct: (target, given) => {
            const memory = new target(...given);
            registry.register(memory, 0);
            return memory;
          } });
        }"""
    )
    answers = page.evaluate(
        """async () => {
          const apis = Array.from({ length: 20 }, () => makeApi());
          await Promise.all(apis.map((api) => api.init()));
          const bytes = Uint8ClampedArray.from({ length: 40 * 30 * 4 }, (_, at) => (at * 7) % 256);
          const image = new ImageData(bytes, 40, 30);
          const answers = await Promise.all(apis.map((api) => api.predictFromImage(image)));
          await Promise.all(apis.map((api) => api.dispose()));
          return answers;
        }"""
    )
    assert len(answers) == 20
    assert all(answer == answers[0] for answer in answers)
    for _ in range(20):
        session.send("HeapProfiler.collectGarbage")
        if page.evaluate("() => new Promise((resolve) => setTimeout(() => resolve(freed), 100))") == 20:
            return
    pytest.fail(f"{page.evaluate('() => freed')} of 20 memories were freed")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    """Cut or changed anywhere, a file either works or gives an error with a code; nothing crashes or hangs."""
    data = MODEL.read_bytes()
    randomly = random.Random(0)
    (tmp_path / "empty.onnx").write_bytes(b"")
    for index in range(30):
        # Most of a file is weights; its structure lies at the beginning.
        length = randomly.choice((randomly.randrange(20_000), randomly.randrange(len(data))))
        (tmp_path / f"cut{index}.onnx").write_bytes(data[:length])
        damaged = bytearray(data)
        for _ in range(5):
            damaged[randomly.randrange(12_000)] = randomly.randrange(256)
        (tmp_path / f"changed{index}.onnx").write_bytes(damaged)
    program = """
      import { readdir, readFile } from 'node:fs/promises';
      const { EmotionAPI } = await import(process.argv[1]);
      const counts = {};
      for (const name of await readdir('.')) {
        const api = new EmotionAPI({ modelUrl: name, fetch: async (path) => new Response(await readFile(path)) });
        let code = 'works';
        try { await api.init(); } catch (error) { code = error.code ?? String(error); }
        (counts[`${name.replace(/[0-9.].*/, '')} ${code}`] ??= 0, counts[`${name.replace(/[0-9.].*/, '')} ${code}`]++);
      }
      console.log(Object.keys(counts).join('\\n'));
    """
    command = ["node", "--input-type=module", "-e", program, (REPOSITORY / "web/index.js").as_uri()]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    kinds = {tuple(line.split(" ", 1)) for line in ran.stdout.splitlines()}
    named = {"model_truncated", "model_invalid", "model_unsupported", "classes_not_found", "class_mismatch"}
    assert {code for kind, code in kinds if kind in ("cut", "empty")} <= named
    assert {code for kind, code in kinds if kind == "changed"} <= {*named, "works", "out_of_memory"}
    assert ("cut", "model_truncated") in kinds


def test_a_size_that_found_no_memory_is_tried_again() -> None:
    program = """
      import { readFile } from 'node:fs/promises';
      const [web, graph] = process.argv.slice(1);
      const { FaceDetector } = await import(web);
      const detector = new FaceDetector({ modelUrl: graph, fetch: async (path) => new Response(await readFile(path)) });
      await detector.init();
      const frame = { data: new Uint8Array(640 * 480 * 4).fill(255), width: 640, height: 480 };
      const { Memory } = WebAssembly;
      WebAssembly.Memory = class { constructor() { throw new RangeError('no'); } };
      console.log(await detector.detect(frame).catch((error) => error.code));
      WebAssembly.Memory = Memory;
      console.log((await detector.detect(frame)).length);
    """
    command = ["node", "--input-type=module", "-e", program, (REPOSITORY / "web/index.js").as_uri(), str(graph_path())]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split() == ["out_of_memory", "0"]
