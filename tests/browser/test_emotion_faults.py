"""EmotionAPI at its end and in trouble: each fault has a name and a remedy."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyojeong.core.labels import KOREAN
from tests.browser.conftest import FACTS
from tests.browser.pages import EMOTION_API

pytestmark = pytest.mark.browser

PRELUDE = EMOTION_API


def test_after_dispose_nothing_answers(page: Any) -> None:
    codes = page.evaluate(
        """async () => {
          const api = makeApi();
          await api.init();
          await api.predictFromImage(new ImageData(4, 4));
          await api.dispose();
          await api.dispose();
          return [await codeOf(() => api.predictFromImage(new ImageData(4, 4))), await codeOf(() => api.init())];
        }"""
    )
    assert [code for _, code, _ in codes] == ["disposed", "disposed"]


def test_dispose_waits_for_predictions(page: Any) -> None:
    answers, after = page.evaluate(
        """async () => {
          const api = makeApi();
          await api.init();
          const asked = [1, 2, 3].map((side) => api.predictFromVideo(new ImageData(side, side)));
          await api.dispose();
          const answers = await Promise.all(asked.map((one) => one.then(Object.keys, String)));
          return [answers, await codeOf(() => api.predictFromVideo(new ImageData(4, 4)))];
        }"""
    )
    assert [tuple(answer) for answer in answers] == [KOREAN] * 3
    assert after[1] == "disposed"


def test_dispose_during_init_frees_the_model_and_init_says_so(page: Any) -> None:
    released, code = page.evaluate(
        """async () => {
          const ort = await import('/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs');
          let released = 0;
          const counting = { ...ort, env: ort.env, Tensor: ort.Tensor, InferenceSession: {
            create: async (...given) => {
              const session = await ort.InferenceSession.create(...given);
              const release = session.release.bind(session);
              session.release = async () => { released += 1; return release(); };
              return session;
            } } };
          const api = makeApi({ ort: counting });
          const starting = api.init();
          await api.dispose();
          const [, code] = await codeOf(() => starting);
          return [released, code];
        }"""
    )
    assert (released, code) == (1, "disposed")


SOURCE_FAULTS = {
    "() => makeApi().predictFromImage(new ImageData(4, 4))": ("not_initialized", "init()"),
    "() => makeApi().info()": ("not_initialized", "init()"),
    "() => makeApi({ modelUrl: '' })": ("bad_option", "modelUrl"),
    "() => makeApi({ wasmbasePath: '/dist/' })": ("bad_option", "did you mean wasmBasePath?"),
    "() => api.predictFromImage(new ImageData(4, 4), null, { Landmarks: {} })": (
        "bad_option",
        "did you mean landmarks?",
    ),
    "() => makeApi({ provider: 'cuda' })": ("bad_option", "provider"),
    "() => api.predictFromImage(null)": ("bad_source", "ImageBitmap"),
    "() => api.predictFromImage('face.png')": ("bad_source", "ImageBitmap"),
    "() => api.predictFromImage(new Image())": ("empty_source", "0 x 0"),
    "() => api.predictFromCanvas(new OffscreenCanvas(0, 10))": ("empty_source", "0 x 10"),
    "() => api.predictFromImage({ width: 4, height: 4 })": ("bad_source", "ImageBitmap"),
    "() => api.predictFromImage({ width: 4, height: 4, data: [] })": ("bad_source", "Uint8Array"),
    "() => { structuredClone(0, { transfer: [data.data.buffer] }); return api.predictFromImage(data); }": (
        "bad_source",
        "detached",
    ),
    "() => api.predictFromCanvas(new OffscreenCanvas(40000, 2))": ("bad_source", "40000 x 40000"),
    "() => api.predictFromCanvas(new OffscreenCanvas(20000, 2))": ("bad_source", "smaller"),
    "() => api.predictFromVideo(document.createElement('video'))": ("source_not_ready", "loadeddata"),
    "() => api.predictFromImage(Object.assign(new Image(), { src: '/blank.html' }))": ("empty_source", "0 x 0"),
    "() => api.predictFromImage(data, { x: 0, y: 0, width: 0, height: 5 })": ("bad_box", "width and height"),
    "() => api.predictFromImage(data, { x: NaN, y: 0, width: 5, height: 5 })": ("bad_box", "width and height"),
    "() => api.predictFromImage(data, [0, 0, 5, 5])": ("bad_box", "width and height"),
    "() => api.predictFromImage(data, { x: 90, y: 90, width: 5, height: 5 })": ("bad_box", "outside"),
    "() => api.predictFromImage(data, { x: 0, y: 0, width: 1e9, height: 5 })": ("bad_box", "far more"),
}


def test_each_misuse_has_a_name_and_a_remedy(page: Any) -> None:
    found = page.evaluate(
        """async (faults) => {
          const api = makeApi();
          await api.init();
          const found = {};
          for (const fault of faults) {
            const data = new ImageData(40, 40);
            found[fault] = await codeOf(new Function('api', 'data', `return (${fault})()`).bind(null, api, data));
          }
          return found;
        }""",
        list(SOURCE_FAULTS),
    )
    for fault, (code, words) in SOURCE_FAULTS.items():
        name, got, message = found[fault]
        assert (name, got) == ("EmotionError", code), f"{fault}: {message}"
        assert words in message


def test_pixels_of_another_site_are_refused_by_name(page: Any, site: Any, painter: Any) -> None:
    address = site.put("foreign.png", painter(40, 40))
    foreign = site.origin.replace("127.0.0.1", "localhost") + address
    (_, code, message), after = page.evaluate(
        """async ([own, foreign]) => {
          const api = makeApi();
          await api.init();
          const [ours, theirs] = [await picture(own), await picture(foreign)];
          const first = await codeOf(() => api.predictFromImage(theirs));
          // One refusal must not spoil what follows, not even what is as large.
          const after = [];
          for (const source of [ours, theirs, new ImageData(40, 40), new ImageData(4, 4)])
            after.push((await codeOf(() => api.predictFromImage(source)))[1]);
          return [first, after];
        }""",
        [address, foreign],
    )
    assert code == "tainted_source"
    assert "crossOrigin" in message
    assert after == ["no error", "tainted_source", "no error", "no error"]


def test_a_picture_replaced_while_loading_is_waited_for_again(page: Any, site: Any, oracle: Any, painter: Any) -> None:
    image = painter(40, 40, seed=9)
    page.route("**/never*.png", lambda _: None)
    answer, broken = page.evaluate(
        """async (address) => {
          const api = makeApi();
          await api.init();
          const moment = () => new Promise((resolve) => setTimeout(resolve, 50));
          const replaced = async (...last) => {
            const img = Object.assign(new Image(), { src: '/never.png' });
            const asked = codeOf(async () => { img.answer = await api.predictFromImage(img); });
            for (const url of ['/never-again.png', ...last]) {
              await moment();
              img.src = url;
            }
            const [, code] = await asked;
            return img.answer ?? code;
          };
          return [await replaced(address + '?replaced'), await replaced('/blank.html')];
        }""",
        site.put("replaced.png", image),
    )
    assert answer == pytest.approx(oracle(image, None), abs=1e-4)
    assert broken == "empty_source"


def test_each_broken_model_has_a_name_and_a_remedy(page: Any, site: Any, model_writer: Callable[..., None]) -> None:
    folder = site.root / "models/broken"
    model_writer(folder / "five.onnx", outputs=5)
    whole = (folder / "five.onnx").read_bytes()
    (folder / "truncated.onnx").write_bytes(whole[: len(whole) // 2])
    (folder / "page.onnx").write_text("<!doctype html><title>404</title>")
    (folder / "pointer.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "other.onnx").write_bytes(_identity_model())
    (folder / "english.json").write_text(json.dumps({"classes": ["joy", "anger"]}))
    (folder / "twice.json").write_text(json.dumps({"classes": ["joy", "joy"]}))
    (folder / "text.json").write_text("기쁨, 당황", encoding="utf-8")
    faults = {
        "modelUrl: '/models/broken/none.onnx'": ("model_not_found", "modelUrl"),
        "modelUrl: 'http://127.0.0.1:1/model.onnx'": ("model_not_found", "modelUrl"),
        "modelUrl: '/models/broken/page.onnx'": ("model_is_html", "HTML"),
        "modelUrl: '/models/broken/truncated.onnx'": ("model_truncated", "ends too early"),
        "modelUrl: '/models/broken/pointer.onnx'": ("model_invalid", "modelUrl"),
        "modelUrl: '/models/broken/empty.onnx'": ("model_invalid", "modelUrl"),
        "modelUrl: '/models/broken/other.onnx', classesUrl: '/models/broken/english.json'": (
            "model_invalid",
            "pyojeong export",
        ),
        "modelUrl: '/models/broken/five.onnx'": ("class_mismatch", "5 outputs"),
        "classesUrl: '/models/broken/english.json'": ("class_mismatch", "same export"),
        "classesUrl: '/models/broken/text.json'": ("classes_invalid", "classesUrl"),
        "classesUrl: '/models/broken/twice.json'": ("classes_invalid", "each name once"),
        "classesUrl: '/models/broken/none.json'": ("classes_not_found", "classesUrl"),
    }
    found = page.evaluate(
        """async (faults) => {
          const found = {};
          for (const fault of faults)
            found[fault] = await codeOf(() => new Function('makeApi', `return makeApi({ ${fault} })`)(makeApi).init());
          return found;
        }""",
        list(faults),
    )
    for fault, (code, words) in faults.items():
        name, got, message = found[fault]
        assert (name, got) == ("EmotionError", code), f"{fault}: {message}"
        assert words in message


def _identity_model() -> bytes:
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def test_a_download_that_breaks_off_is_named(page: Any) -> None:
    found = page.evaluate(
        """async () => {
          const broken = () => new Response(new ReadableStream({ start(controller) {
            controller.enqueue(new Uint8Array(50));
            controller.error(new TypeError('network error'));
          } }));
          const without = (name) => (url) => (String(url).includes(name) ? broken() : fetch(url));
          return Promise.all(['onnx', 'json'].map((name) => codeOf(() => makeApi({ fetch: without(name) }).init())));
        }"""
    )
    assert [code for _, code, _ in found] == ["model_truncated", "classes_not_found"]
    assert ["Url" in message and "broke off" in message for _, _, message in found] == [True, True]


def test_an_invalid_address_is_reported(page: Any) -> None:
    _, code, message = page.evaluate("() => codeOf(() => makeApi({ wasmBasePath: 'http://[' }).init())")
    assert code == "bad_option"
    assert "wasmBasePath" in message


MAPPED = """<script type="importmap">
{"imports": {"onnxruntime-web/wasm": "/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs"}}</script>"""


@pytest.mark.parametrize("answer", [{"status": 404}, {"body": "<!doctype html>", "content_type": "text/html"}])
def test_a_wasm_file_that_a_bundler_lost_is_named(answer: dict[str, Any], tab: Any, site: Any) -> None:
    (site.root / "lost.html").write_text(f'<!doctype html><link rel="icon" href="data:,">{MAPPED}')
    tab.page.route("**/*.wasm", lambda route: route.fulfill(**answer))
    tab.page.goto(f"{site.origin}/lost.html")
    tab.page.evaluate(PRELUDE)
    _, code, message = tab.page.evaluate("() => codeOf(() => makeApi().init())")
    assert code == "wasm_not_found"
    assert "wasmBasePath" in message


ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("script-src 'self' 'unsafe-inline'", "wasm-unsafe-eval"),
        ("script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; worker-src 'none'", "worker-src"),
    ],
)
def test_a_policy_that_blocks_the_runtime_is_reported(policy: str, words: str, tab: Any, site: Any) -> None:
    (site.root / "policy.html").write_text(
        f"""<!doctype html><link rel="icon" href="data:,"><script type="module">
        await ({PRELUDE})();
        window.found = [await codeOf(() => makeApi().init()), await codeOf(() => makeApi().init())];
        </script>""",
        encoding="utf-8",
    )

    def isolate(route: Any) -> None:
        answer = route.fetch()
        headers = {**answer.headers, **ISOLATED, "Content-Security-Policy": policy}
        route.fulfill(response=answer, headers=headers)

    tab.page.route("**/policy.html", isolate)
    tab.page.goto(f"{site.origin}/policy.html")
    tab.page.wait_for_function("() => window.found", timeout=20_000)
    for _, code, message in tab.page.evaluate("() => found"):
        assert code == "runtime_failed"
        assert words in message


# A worker of another library that the page's policy forbids, again and again while ours starts.
REFUSED = f"""<!doctype html><link rel="icon" href="data:,"><script type="module">
await ({PRELUDE})();
const refused = [];
addEventListener('securitypolicyviolation', ({{ effectiveDirective }}) => refused.push(effectiveDirective));
const address = URL.createObjectURL(new Blob(['0']));
const ask = () => {{ try {{ new Worker(address).terminate(); }} catch {{ /* some browsers throw */ }} }};
const timer = setInterval(ask, 10);
const ort = await import('/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs');
ort.env.wasm.numThreads = Number(location.hash.slice(1));
const code = (await codeOf(() => makeApi({{ ort }}).init()))[1];
clearInterval(timer);
window.found = {{ code, refused: refused.includes('worker-src') }};
</script>"""


@pytest.mark.parametrize(
    ("threads", "headers"),
    [
        (2, {"Content-Security-Policy-Report-Only": "worker-src 'none'", **ISOLATED}),
        (2, {"Content-Security-Policy": "worker-src 'none'"}),
        (1, {"Content-Security-Policy": "worker-src 'none'", **ISOLATED}),
    ],
    ids=["only reported", "not isolated", "one thread"],
)
def test_what_a_policy_forbids_others_stops_nothing(
    threads: int, headers: dict[str, str], tab: Any, origin: str
) -> None:
    # From the demo's server, for threads start only from files that are isolated as well.
    tab.page.route(
        "**/refused.html", lambda route: route.fulfill(body=REFUSED, content_type="text/html", headers=headers)
    )
    tab.page.goto(f"{origin}/refused.html#{threads}")
    tab.page.wait_for_function("() => window.found", timeout=60_000)
    assert tab.page.evaluate("() => found") == {"code": "no error", "refused": True}


def test_a_runtime_in_the_wrong_place_is_named(page: Any) -> None:
    _, code, message = page.evaluate("() => codeOf(() => makeApi({ wasmBasePath: '/nowhere/' }).init())")
    assert code == "runtime_not_found"
    assert "wasmBasePath" in message


def test_a_missing_wasm_file_is_named(page: Any, site: Any) -> None:
    dist = Path(__file__).resolve().parents[2] / "node_modules/onnxruntime-web/dist"
    (site.root / "half").mkdir()
    shutil.copy(dist / "ort.wasm.bundle.min.mjs", site.root / "half")
    _, code, message = page.evaluate("() => codeOf(() => makeApi({ wasmBasePath: '/half/' }).init())")
    assert code == "wasm_not_found"
    assert "wasmBasePath" in message
    assert "404" in message


def test_init_can_be_tried_again_after_a_failure(page: Any, site: Any) -> None:
    late = site.root / "models/late.onnx"
    late.unlink(missing_ok=True)
    page.evaluate("() => { window.api = makeApi({ modelUrl: '/models/late.onnx' }); }")
    assert page.evaluate("() => codeOf(() => api.init())")[1] == "model_not_found"
    shutil.copy(site.root / "models/mobilenetv3_classifier/runs/finetune_K7_160/k7_mnv3s_160.onnx", late)
    assert page.evaluate("async () => { await api.init(); return api.outputKeys.length; }") == 7


@pytest.mark.parametrize(
    "lost",
    [
        {"margin": "wide"},
        {"offset": None},
        {"box_kind": None},
        {"box_kind": "mine"},
        *({"aspect": aspect} for aspect in ("wide", "", "0.49", "2.01", "NaN", "-1")),
    ],
)
def test_a_model_without_a_valid_crop_is_refused(
    lost: dict[str, str | None], page: Any, site: Any, model_writer: Callable[..., None]
) -> None:
    facts = {name: value for name, value in (FACTS | lost).items() if value is not None}
    model_writer(site.root / "models/unframed.onnx", metadata=facts)
    found = page.evaluate("() => codeOf(() => makeApi({ modelUrl: '/models/unframed.onnx' }).init())")
    assert found[:2] == ["EmotionError", "model_invalid"]
    assert "pyojeong export" in found[2]
