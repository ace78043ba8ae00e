"""Several faces, found and classified in one call, as Python does it in two."""

from collections.abc import Callable
from typing import Any

import onnx
import pytest
from PIL import Image

from pyojeong.analyzer import Analyzer
from pyojeong.core.labels import KOREAN
from pyojeong.detection.detector import Detector
from tests.browser.conftest import FACTS, RUN
from tests.browser.faces import draw_group, draw_tight, pixels_of

pytestmark = pytest.mark.browser

PRELUDE = """
async () => {
  const { EmotionAnalyzer } = await import('/web/analyzer.js');
  window.run = '/models/mobilenetv3_classifier/runs/finetune_K7_160/';
  window.makeAnalyzer = (more) => new EmotionAnalyzer({ modelUrl: run + 'k7_mnv3s_160.onnx',
    classesUrl: run + 'classes.json', detectorUrl: '/models/detector.onnx', minFace: 0.1, ...more });
  window.picture = async (url) => { const img = new Image(); img.src = url; await img.decode(); return img; };
  window.codeOf = async (make) => { try { await make(); } catch (error) { return [error.code, error.message]; }
    return ['no error', '']; };
}
"""


def test_each_face_gets_the_answer_of_its_own_box(tab: Any, page: Any, site: Any, oracle: Any) -> None:
    image = draw_group(900, 400, people=3, seed=4)
    faces, keys, info, timings = page.evaluate(
        """async (address) => {
          const analyzer = makeAnalyzer({ minFace: 0.02 });
          await analyzer.init();
          const faces = await analyzer.analyze(await picture(address));
          return [faces, analyzer.outputKeys, analyzer.info(), analyzer.timings];
        }""",
        site.put("group.png", image),
    )
    expected = Detector(threads=1).detect(pixels_of(image))
    assert len(faces) == len(expected) == 3
    for face, detection in zip(faces, expected, strict=True):
        box = face["box"]
        min_x, min_y, max_x, max_y = detection.box
        assert box == pytest.approx({"x": min_x, "y": min_y, "width": max_x - min_x, "height": max_y - min_y}, abs=0.1)
        assert face["landmarks"]["mouth"]["y"] > face["landmarks"]["leftEye"]["y"]
        answer = oracle(image, (box["x"], box["y"], box["width"], box["height"]), "blazeface")
        assert face["emotions"] == pytest.approx(answer, abs=1e-4)
        assert face["label"] == max(answer, key=answer.__getitem__)
        assert face["score"] == pytest.approx(detection.score, abs=1e-4)
    assert tuple(keys) == KOREAN
    assert (info["minFace"], info["scoreThreshold"], info["scheme"]) == (0.02, 0.75, "K7")
    assert 0 < info["modelBytes"] < info["detectorBytes"]
    assert timings.keys() == {"read", "detect", "classify"}
    assert min(timings.values()) >= 0
    tab.assert_clean(site.origin)


def test_a_tight_portrait_gets_the_answer_that_python_gives(page: Any, site: Any) -> None:
    pixels = draw_tight(12)
    python = Analyzer(site.root / RUN / "k7_mnv3s_160.onnx", threads=1)
    found = page.evaluate(
        """async (address) => {
          const analyzer = makeAnalyzer();
          await analyzer.init();
          return analyzer.analyze(await picture(address));
        }""",
        site.put("tight.png", Image.fromarray(pixels)),
    )
    (expected,) = python.analyze(pixels)
    (face,) = found
    min_x, min_y, max_x, max_y = expected.box
    box = {"x": min_x, "y": min_y, "width": max_x - min_x, "height": max_y - min_y}
    # A thousandth of the face; its crop then begins at the same pixel or the next.
    assert face["box"] == pytest.approx(box, abs=1e-3 * (max_x - min_x))
    assert face["score"] == pytest.approx(expected.score, abs=1e-4)
    assert face["emotions"] == pytest.approx(expected.emotions, abs=0.01)
    assert face["label"] == expected.label


def test_a_model_of_another_aspect_gets_the_answers_that_python_gives(
    page: Any, site: Any, model_writer: Callable[..., None]
) -> None:
    model = site.root / "models/narrow.onnx"
    model_writer(model, metadata=FACTS | {"box_kind": "detector", "margin": "0.1", "aspect": "0.6"})
    image = draw_group(900, 400, people=3, seed=4)
    found = page.evaluate(
        """async (address) => {
          const { EmotionAnalyzer } = await import('/web/analyzer.js');
          const options = { modelUrl: '/models/narrow.onnx', detectorUrl: '/models/detector.onnx' };
          const here = new EmotionAnalyzer(options);
          await here.init();
          const there = await EmotionAnalyzer.create({ ...options, worker: true });
          const img = await picture(address);
          const answers = [];
          for (const analyzer of [here, there])
            answers.push([await analyzer.analyze(img), analyzer.info().aspect]);
          await there.dispose();
          return answers;
        }""",
        site.put("narrow.png", image),
    )
    expected = Analyzer(model, threads=1).analyze(pixels_of(image))
    assert len(expected) == 3
    for faces, aspect in found:
        assert aspect == 0.6
        for face, python in zip(faces, expected, strict=True):
            assert face["emotions"] == pytest.approx(python.emotions, abs=0.01)
    square = Analyzer(site.root / RUN / "k7_mnv3s_160.onnx", threads=1).analyze(pixels_of(image))
    assert square[0].emotions != pytest.approx(expected[0].emotions, abs=0.02)


def test_given_boxes_are_classified_without_searching(page: Any, site: Any, oracle: Any, painter: Any) -> None:
    image = painter(320, 240, seed=6)
    found, given, detected, wrong = page.evaluate(
        """async (address) => {
          const analyzer = makeAnalyzer();
          await analyzer.init();
          const img = await picture(address);
          const boxes = [{ x: -30, y: 60, width: 90, height: 120 }, null];
          const wrong = [[[{ x: NaN, y: 0, width: 9, height: 9 }], {}], [[], { boxKind: 'mesh' }]];
          return [await analyzer.analyze(img), await analyzer.analyze(img, boxes),
            await analyzer.analyze(img, [boxes[0], undefined], { boxKind: 'detector' }),
            await Promise.all(wrong.map((asked) => analyzer.analyze(img, ...asked).catch((error) => error.code)))];
        }""",
        site.put("given.png", image),
    )
    assert found == []
    assert wrong == ["bad_box", "bad_option"]
    for face, box in zip(given, [(-30, 60, 90, 120), None], strict=True):
        assert face["emotions"] == pytest.approx(oracle(image, box), abs=1e-4)
        assert face["score"] is None
        assert face["id"] is None, "nothing is followed without a half-life"
    assert given[1]["box"] is None
    assert detected[0]["emotions"] == pytest.approx(oracle(image, (-30, 60, 90, 120), "detector"), abs=1e-4)
    assert detected[0]["emotions"] != pytest.approx(given[0]["emotions"], abs=1e-3)
    assert detected[1] == given[1]


def test_averages_follow_the_half_life(page: Any, site: Any, oracle: Any, painter: Any) -> None:
    image = painter(320, 240, seed=7)
    boxes = [(40, 40, 100, 100), (60, 50, 100, 100), (200, 90, 100, 100)]
    answers = page.evaluate(
        """async ({ address, boxes }) => {
          const analyzer = makeAnalyzer({ halfLife: 100 });
          await analyzer.init();
          const img = await picture(address);
          const [a, b, c] = boxes.map(([x, y, width, height]) => ({ x, y, width, height }));
          const at = async (time, ...given) =>
            (await analyzer.analyze(img, given, { time })).map((face) => [face.id, face.emotions]);
          const frames = { first: await at(1000, a), moved: await at(1100, b), later: await at(1300, b),
            two: await at(1300, c, b), gone: await at(1500), back: await at(1600, b), forgotten: await at(9000, b) };
          return frames;
        }""",
        {"address": site.put("averages.png", image), "boxes": boxes},
    )
    a, b, c = (oracle(image, box) for box in boxes)

    def mix(old: dict[str, float], new: dict[str, float], keep: float) -> dict[str, float]:
        return {name: keep * old[name] + (1 - keep) * new[name] for name in new}

    moved = mix(a, b, 0.5)
    later = mix(moved, b, 0.25)
    expected = {
        "first": [(1, a)],
        "moved": [(1, moved)],
        "later": [(1, later)],
        "two": [(2, c), (1, later)],
        "gone": [],
        "back": [(1, mix(later, b, 0.125))],
        # Its weight is gone. Its number stays, because no frame showed that the face was missing.
        "forgotten": [(1, b)],
    }
    for name, faces in expected.items():
        assert len(answers[name]) == len(faces)
        for (number, answer), (expected_number, face) in zip(answers[name], faces, strict=True):
            assert number == expected_number, name
            assert answer == pytest.approx(face, abs=1e-4), name
    assert max(abs(a[name] - b[name]) for name in KOREAN) > 0.01


@pytest.mark.parametrize(("threshold", "unsure"), [(None, False), ("0.0", False), ("1.0", True)])
def test_an_answer_below_the_model_s_threshold_is_unsure_as_in_python(
    page: Any, site: Any, threshold: str | None, unsure: bool
) -> None:
    model = onnx.load(site.root / RUN / "k7_mnv3s_160.onnx")
    facts = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, facts | ({"unsure_below": threshold} if threshold else {}))
    onnx.save(model, site.root / "models/unsure.onnx")
    pixels = draw_tight(12)
    (python,) = Analyzer(site.root / "models/unsure.onnx", threads=1).analyze(pixels)
    (face,), info = page.evaluate(
        """async (address) => {
          const analyzer = makeAnalyzer({ modelUrl: '/models/unsure.onnx' });
          await analyzer.init();
          return [await analyzer.analyze(await picture(address)), analyzer.info()];
        }""",
        site.put("unsure.png", Image.fromarray(pixels)),
    )
    assert info["unsureBelow"] == float(threshold or 0)
    assert face["unsure"] is python.unsure is unsure


def test_a_threshold_that_is_no_probability_is_named(page: Any, site: Any) -> None:
    model = onnx.load(site.root / RUN / "k7_mnv3s_160.onnx")
    facts = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, facts | {"unsure_below": "high"})
    onnx.save(model, site.root / "models/high.onnx")
    code, message = page.evaluate("() => codeOf(() => makeAnalyzer({ modelUrl: '/models/high.onnx' }).init())")
    assert (code, "unsure_below" in message) == ("model_invalid", True)


def test_misuse_has_a_name(page: Any) -> None:
    faults = {
        "() => makeAnalyzer({ detectorUrl: null })": ("bad_option", "detectorUrl"),
        "() => makeAnalyzer({ modelUrl: '' })": ("bad_option", "modelUrl"),
        "() => makeAnalyzer({ modelURL: '/mine.onnx' })": ("bad_option", "did you mean modelUrl?"),
        "() => ready.analyze(new ImageData(4, 4), [], { boxkind: 'detector' })": (
            "bad_option",
            "did you mean boxKind?",
        ),
        "() => makeAnalyzer({ halfLife: -1 })": ("bad_option", "halfLife"),
        "() => makeAnalyzer({ halfLife: '300' })": ("bad_option", '"300"'),
        "() => makeAnalyzer({ minFace: 3 })": ("bad_option", "minFace"),
        "() => makeAnalyzer({ scoreThreshold: 1 })": ("bad_option", "below 1"),
        "() => ready.analyze(new ImageData(4, 4), undefined, { time: 'now' })": ("bad_option", "time"),
        "() => ready.analyze({ data: null, width: 4, height: 4 })": ("bad_source", "Uint8Array"),
        "() => ready.analyze({ data: new Uint16Array(64), width: 4, height: 4 })": ("bad_source", "Uint8Array"),
        "() => ready.analyze({ data: new Uint8Array(42), width: 10.5, height: 1 })": ("bad_source", "10.5 x 1"),
        "() => makeAnalyzer({ detectorUrl: '/none.onnx' }).init()": ("model_not_found", "detectorUrl"),
        "() => makeAnalyzer({ modelUrl: '/none.onnx' }).init()": ("model_not_found", "modelUrl"),
        "() => makeAnalyzer().analyze(new ImageData(4, 4))": ("not_initialized", "init()"),
        "() => ready.analyze(document.createElement('video'))": ("source_not_ready", "loadeddata"),
        "() => ready.analyze(new OffscreenCanvas(0, 5))": ("empty_source", "0 x 5"),
        "() => ready.analyze(new ImageData(9, 9), [{ x: 2, y: 2, width: 5, height: 5 }], { boxKind: 'mine' })": (
            "bad_option",
            "boxKind",
        ),
        "() => ready.analyze(new ImageData(9, 9), { x: 2, y: 2, width: 5, height: 5 })": ("bad_box", "list"),
        "() => ready.analyze(new ImageData(9, 9), [{ x: 20, y: 0, width: 5, height: 5 }])": ("bad_box", "outside"),
    }
    found = page.evaluate(
        """async (faults) => {
          const ready = makeAnalyzer();
          await ready.init();
          const run = (fault) => new Function('ready', `return (${fault})()`);
          return Promise.all(faults.map((fault) => codeOf(() => run(fault)(ready))));
        }""",
        list(faults),
    )
    for (fault, (code, words)), (got, message) in zip(faults.items(), found, strict=True):
        assert got == code, f"{fault}: {message}"
        assert words in message


def test_pixels_are_those_at_the_time_of_the_call(page: Any, site: Any) -> None:
    image = draw_group(640, 360, people=1, seed=4)
    counts = page.evaluate(
        """async (address) => {
          const { FaceDetector } = await import('/web/detector.js');
          const analyzer = makeAnalyzer();
          const detector = new FaceDetector({ modelUrl: '/models/detector.onnx' });
          await analyzer.init();
          await detector.init();
          const canvas = new OffscreenCanvas(640, 360);
          const context = canvas.getContext('2d');
          context.drawImage(await picture(address), 0, 0);
          const { data } = context.getImageData(0, 0, 640, 360);
          const raw = { data: new Uint8Array(data), width: 640, height: 360 };
          const frame = new VideoFrame(canvas, { timestamp: 0 });
          const asked = [analyzer.analyze(canvas), detector.detect(canvas), analyzer.analyze(raw), detector.detect(raw),
            analyzer.analyze(frame)];
          context.clearRect(0, 0, 640, 360);
          raw.data.fill(0);
          frame.close();
          analyzer.dispose();
          detector.dispose();
          return (await Promise.all(asked)).map(({ length }) => length);
        }""",
        site.put("at_once.png", image),
    )
    assert counts == [1] * 5


def test_after_dispose_nothing_answers(page: Any) -> None:
    codes = page.evaluate(
        """async () => {
          const analyzer = makeAnalyzer();
          await analyzer.init();
          await analyzer.dispose();
          return [(await codeOf(() => analyzer.analyze(new ImageData(4, 4))))[0],
            (await codeOf(() => analyzer.init()))[0]];
        }"""
    )
    assert codes == ["disposed", "disposed"]
