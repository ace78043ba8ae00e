"""A page written for face-api.js keeps its code and gets our expressions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyojeong.analyzer import MODEL
from pyojeong.classifier import Classifier
from pyojeong.core.labels import FACEAPI, KOREAN
from tests.browser.conftest import FACTS, Oracle
from tests.browser.faces import draw_group, pixels_of

pytestmark = pytest.mark.browser

OURS = {
    "기쁨": "happy",
    "당황": "surprised",
    "분노": "angry",
    "불안": "fearful",
    "상처": "sad",
    "슬픔": "sad",
    "중립": "neutral",
}
EYE, OTHER_EYE, MOUTH = slice(36, 42), slice(42, 48), slice(48, 68)
"""Places of the person's right eye, left eye and mouth among face-api.js's 68 landmarks."""

MODELS = "/node_modules/@vladmandic/face-api/model"

# What such a page does; the weights of the two packages are the same bytes.
PAGES = {
    "vladmandic": """<script type="module">
      import * as faceapi from '/node_modules/@vladmandic/face-api/dist/face-api.esm.js';
      await faceapi.tf.setBackend('cpu');
      window.faceapi = faceapi;
    </script>""",
    "original": """<script src="/node_modules/face-api.js/dist/face-api.min.js"></script>
    <script type="module">await faceapi.tf.setBackend('cpu'); window.ready = true;</script>""",
}
PRELUDE = """
async (models) => {
  await faceapi.nets.tinyFaceDetector.loadFromUri(models);
  await faceapi.nets.faceLandmark68TinyNet.loadFromUri(models);
  await faceapi.nets.faceExpressionNet.loadFromUri(models);
  window.adapter = await import('/web/face-api.js');
  window.run = '/models/mobilenetv3_classifier/runs/finetune_K7_160/';
  window.installed = (more) => adapter.install(faceapi, { modelUrl: run + 'k7_mnv3s_160.onnx', ...more });
  window.options = new faceapi.TinyFaceDetectorOptions({ inputSize: 224, scoreThreshold: 0.3 });
  window.plain = (result) => ({ ...result.expressions });
  window.boxOf = ({ detection: { box: { x, y, width, height } } }) => [x, y, width, height];
  window.codeOf = async (make) => { try { await make(); } catch (error) { return [error.code, error.message]; }
    return ['no error', '']; };
  window.moment = () => new Promise((resolve) => setTimeout(resolve, 50));
  window.inTime = (asked) => Promise.race([asked, new Promise((resolve) => setTimeout(resolve, 30_000, 'hangs'))]);
}
"""


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] if name == "original" else []) for name in PAGES])
def page(request: Any, tab: Any, site: Any) -> Any:
    (site.root / f"{request.param}.html").write_text(
        f'<!doctype html><link rel="icon" href="data:,"><img id="photo" alt="">{PAGES[request.param]}'
    )
    tab.page.goto(f"{site.origin}/{request.param}.html")
    tab.page.wait_for_function("() => window.faceapi && (window.ready || faceapi.tf.getBackend() === 'cpu')")
    tab.page.evaluate(PRELUDE, MODELS)
    tab.page.evaluate(
        "(src) => { photo.src = src; return photo.decode(); }", site.put("pair.png", draw_group(480, 320, people=2))
    )
    return tab.page


def in_words(answer: dict[str, float], words: dict[str, str] | None = None) -> dict[str, float]:
    """Our probabilities under face-api's seven words."""
    sums = dict.fromkeys(FACEAPI, 0.0)
    for name, value in answer.items():
        sums[(words or OURS)[name]] += value
    return sums


def test_every_way_of_asking_gets_our_probabilities(tab: Any, page: Any, site: Any, oracle: Any) -> None:
    image = draw_group(480, 320, people=2)
    found = page.evaluate(
        """async () => {
          await installed();
          const all = await faceapi.detectAllFaces(photo, options).withFaceExpressions();
          const byId = await faceapi.detectAllFaces('photo', options).withFaceExpressions();
          const single = await faceapi.detectSingleFace(photo, options).withFaceExpressions();
          const landmarks = await faceapi.detectAllFaces(photo, options).withFaceLandmarks(true).withFaceExpressions();
          const tensor = faceapi.tf.browser.fromPixels(photo);
          const fromTensor = await faceapi.detectAllFaces(tensor, options).withFaceExpressions();
          const crop = await faceapi.recognizeFaceExpressions(photo);
          const empty = Object.assign(document.createElement('canvas'), { width: 64, height: 64 });
          empty.getContext('2d').fillRect(0, 0, 64, 64);
          const nobody = await faceapi.detectSingleFace(empty, options).withFaceExpressions();
          const sorted = all[0].expressions.asSortedArray();
          const canvas = document.createElement('canvas');
          canvas.width = 480; canvas.height = 320;
          faceapi.draw.drawDetections(canvas, all.map((face) => face.detection));
          const before = canvas.toDataURL();
          faceapi.draw.drawFaceExpressions(canvas, all, 0.05);
          return { all: all.map((face) => [boxOf(face), plain(face)]), byId: byId.map(plain), single: plain(single),
            landmarks: landmarks.map(plain), points: landmarks[0].landmarks.positions.length,
            fromTensor: fromTensor.map((face) => [boxOf(face), plain(face)]),
            crop: plain({ expressions: crop }), nobody: nobody === undefined,
            sorted, drawn: canvas.toDataURL() !== before,
            known: all.every((face) => face.expressions instanceof faceapi.FaceExpressions) };
        }"""
    )
    assert len(found["all"]) >= 2
    assert len(found["fromTensor"]) == len(found["all"])
    for box, answer in found["all"] + found["fromTensor"]:
        assert list(answer) == list(FACEAPI)
        # face-api hands out boxes that it has clipped and rounded in single precision.
        assert answer == pytest.approx(in_words(oracle(image, tuple(box), "detector")), abs=1e-4)
        assert answer["disgusted"] == 0
    answers = [answer for _, answer in found["all"]]
    for way in ("byId", "landmarks"):
        for answer, expected in zip(found[way], answers, strict=True):
            assert answer == pytest.approx(expected, abs=1e-3), way
    assert found["single"] in answers
    assert found["points"] == 68
    assert found["crop"] == pytest.approx(in_words(oracle(image, None)), abs=1e-4)
    assert (found["nobody"], found["drawn"], found["known"]) == (True, True, True)
    assert [entry["expression"] for entry in found["sorted"]] == sorted(answers[0], key=answers[0].get, reverse=True)
    assert tab.errors == [line for line in tab.errors if "willReadFrequently" in line]


def test_landmarks_of_the_page_turn_the_face_upright(page: Any, site: Any) -> None:
    image = draw_group(480, 320, people=2)
    found = page.evaluate(
        """async () => {
          await installed({ modelUrl: '/models/basic7.onnx' });
          const upright = await faceapi.detectAllFaces(photo, options).withFaceLandmarks(true).withFaceExpressions();
          const byBox = await faceapi.detectAllFaces(photo, options).withFaceExpressions();
          const points = ({ landmarks }) => landmarks.positions.map(({ x, y }) => [x, y]);
          return { upright: upright.map((face) => [points(face), plain(face)]), byBox: byBox.map(plain) };
        }"""
    )
    classifier = Classifier(MODEL)
    assert classifier.framing.aligned_by == "landmarks"
    for (positions, answer), by_box in zip(found["upright"], found["byBox"], strict=True):
        right_eye, left_eye, mouth = (
            (float(x), float(y)) for x, y in (np.mean(positions[part], 0) for part in (EYE, OTHER_EYE, MOUTH))
        )
        landmarks = [right_eye, left_eye, mouth, mouth, mouth, mouth]
        expected = classifier.predict(pixels_of(image), None, landmarks=landmarks)
        assert answer == pytest.approx(expected, abs=2e-3)
        assert answer != pytest.approx(by_box, abs=2e-3)


def test_batches_are_answered_with_lists(page: Any) -> None:
    found = page.evaluate(
        """async () => {
          const { NetInput } = faceapi;
          const small = Object.assign(document.createElement('canvas'), { width: 40, height: 40 });
          small.getContext('2d').fillRect(10, 10, 20, 20);
          const inputs = () => [photo, [photo], [photo, small], new NetInput([photo]), new NetInput([photo], true),
            new NetInput([photo, small])];
          const ask = async () => {
            const shapes = [];
            for (const input of inputs()) shapes.push(await faceapi.nets.faceExpressionNet.predictExpressions(input));
            return shapes;
          };
          const shapeOf = (answer) => (Array.isArray(answer) ? answer.length : 'one');
          const theirs = await ask();
          await installed();
          const ours = await ask();
          const values = ours.flat().map((expressions) => plain({ expressions }));
          return { theirs: theirs.map(shapeOf), ours: ours.map(shapeOf), values };
        }"""
    )
    assert found["ours"] == found["theirs"] == ["one", 1, 2, "one", 1, 2]
    of_photo, of_small = found["values"][0], found["values"][3]
    assert of_photo != of_small
    for answer, expected in zip(found["values"], [*[of_photo] * 3, of_small, *[of_photo] * 3, of_small], strict=True):
        # A NetInput holds a copy of the picture.
        assert answer == pytest.approx(expected, abs=1e-4)


def test_a_page_may_smooth_in_place(page: Any) -> None:
    first, known = page.evaluate(
        """async () => {
          await installed();
          const [{ expressions }] = await faceapi.detectAllFaces(photo, options).withFaceExpressions();
          expressions.fearful = 2;
          return [expressions.asSortedArray()[0], Object.keys(expressions).length];
        }"""
    )
    assert (first, known) == ({"expression": "fearful", "probability": 2}, 7)


def test_faces_are_cut_with_the_aspect_of_the_model(page: Any, site: Any, model_writer: Callable[..., None]) -> None:
    model = site.root / "models/wide.onnx"
    model_writer(model, metadata=FACTS | {"box_kind": "detector", "margin": "-0.1", "aspect": "1.5"})
    found = page.evaluate(
        """async () => {
          await installed({ modelUrl: '/models/wide.onnx' });
          const all = await faceapi.detectAllFaces(photo, options).withFaceExpressions();
          return all.map((face) => [boxOf(face), plain(face)]);
        }"""
    )
    image, oracle = draw_group(480, 320, people=2), Oracle(model)
    assert len(found) >= 2
    for box, answer in found:
        assert answer == pytest.approx(in_words(oracle(image, tuple(box), "detector")), abs=1e-4)


def test_words_can_be_chosen_and_the_old_ones_come_back(page: Any, oracle: Any) -> None:
    image = draw_group(480, 320, people=2)
    other = {**OURS, "당황": "disgusted"}
    found = page.evaluate(
        """async (mapping) => {
          const ask = async () => (await faceapi.detectAllFaces(photo, options).withFaceExpressions())
            .map((face) => [boxOf(face), plain(face)]);
          const before = await ask();
          await installed({ mapping });
          const mapped = await ask();
          await installed({ keys: 'own' });
          const korean = await ask();
          const [face] = await faceapi.detectAllFaces(photo, options).withFaceExpressions();
          const canvas = document.createElement('canvas');
          canvas.width = 480; canvas.height = 320;
          faceapi.draw.drawFaceExpressions(canvas, face, 0.01);
          const drawn = canvas.getContext('2d').getImageData(0, 0, 480, 320).data.some((value) => value > 0);
          await adapter.uninstall(faceapi);
          await adapter.uninstall(faceapi);
          return { before, mapped, korean, drawn, after: await ask(), top: face.expressions.asSortedArray()[0] };
        }""",
        other,
    )
    for box, answer in found["mapped"]:
        assert answer == pytest.approx(in_words(oracle(image, tuple(box), "detector"), other), abs=1e-4)
        assert answer["surprised"] == 0 < answer["disgusted"]
    for box, answer in found["korean"]:
        assert list(answer) == list(KOREAN)
        assert answer == pytest.approx(oracle(image, tuple(box), "detector"), abs=1e-4)
    first = found["korean"][0][1]
    assert found["top"]["expression"] == max(first, key=first.get)
    assert found["drawn"] is True
    assert found["after"] == found["before"]
    assert found["before"][0][1] != pytest.approx(found["mapped"][0][1], abs=1e-3)


def test_of_two_simultaneous_installations_one_remains(page: Any) -> None:
    """As where a framework runs an effect twice."""
    before, after, codes = page.evaluate(
        """async () => {
          const ask = async () => (await faceapi.detectAllFaces(photo, options).withFaceExpressions()).map(plain);
          const before = await ask();
          const apis = await Promise.all([installed(), installed()]);
          await adapter.uninstall(faceapi);
          return [before, await ask(), await Promise.all(apis.map((api) => codeOf(() => api.info())))];
        }"""
    )
    assert after == before
    assert [code for code, _ in codes] == ["disposed", "disposed"]


def test_calls_are_answered_by_what_is_installed_when_their_faces_are_found(page: Any) -> None:
    found = page.evaluate(
        """async () => {
          const ask = () => Promise.all([faceapi.detectAllFaces(photo, options).withFaceExpressions(),
            faceapi.detectSingleFace(photo, options).withFaceExpressions()])
            .then(([all, single]) => [...all, single].map(plain));
          const detector = faceapi.nets.tinyFaceDetector;
          const { locateFaces } = detector;
          const during = async (deed) => {
            let find;
            const kept = new Promise((resolve) => { find = resolve; });
            detector.locateFaces = async function (...given) { await kept; return locateFaces.apply(this, given); };
            const asked = ask();
            await moment();
            await deed();
            delete detector.locateFaces;
            find();
            return asked;
          };
          const theirs = await ask();
          await installed();
          const replaced = await during(() => installed({ keys: 'own' }));
          const ours = await ask();
          const removed = await during(() => adapter.uninstall(faceapi));
          return { theirs, replaced, ours, removed };
        }"""
    )
    assert len(found["theirs"]) >= 3
    assert found["removed"] == found["theirs"]
    assert found["replaced"] == found["ours"]
    assert [tuple(answer) for answer in found["ours"]] == [KOREAN] * len(found["theirs"])


def test_what_is_being_classified_is_answered_before_it_is_freed(page: Any) -> None:
    answers, single, end = page.evaluate(
        """async () => {
          const api = await installed({ keys: 'own' });
          const predict = api.predictFromImage.bind(api);
          const begun = new Promise((resolve) => {
            api.predictFromImage = (...given) => { resolve(); return predict(...given); };
          });
          const asked = faceapi.detectAllFaces(photo, options).withFaceExpressions().then((all) => all.map(plain));
          await begun;
          const net = faceapi.nets.faceExpressionNet.predictExpressions(photo);
          await moment();
          await adapter.uninstall(faceapi);
          return [await asked, Object.keys(await net), (await codeOf(() => api.info()))[0]];
        }"""
    )
    assert len(answers) >= 2
    assert {tuple(answer) for answer in answers} == {KOREAN}
    assert len(single) == 7
    assert end == "disposed"


def test_a_source_that_never_loads_blocks_no_installation(page: Any) -> None:
    page.route("**/never.png", lambda _: None)
    end = page.evaluate(
        """async () => {
          await installed();
          const video = document.createElement('video');
          faceapi.detectSingleFace(video, options).withFaceExpressions().then(() => {});
          faceapi.nets.faceExpressionNet.predictExpressions(Object.assign(new Image(), { src: '/never.png' }));
          await moment();
          return inTime((async () => { await installed(); await adapter.uninstall(faceapi); return 'done'; })());
        }"""
    )
    assert end == "done"


def test_errors_reach_a_page_that_awaits_if_it_asks_for_them(page: Any) -> None:
    codes, nowhere, undone = page.evaluate(
        """async () => {
          const { then } = faceapi.detectAllFaces(photo, options);
          await installed();
          if (faceapi.detectAllFaces(photo, options).then !== then) return ['changed without being asked'];
          const api = await installed({ rejectTasks: true });
          await api.dispose();
          const failing = [() => faceapi.detectAllFaces(photo, options).withFaceExpressions(),
            () => faceapi.detectSingleFace(photo, options).withFaceLandmarks(true).withFaceExpressions()];
          const codes = [];
          for (const ask of failing) codes.push(await inTime(codeOf(ask)));
          const nowhere = await inTime(codeOf(() => faceapi.detectAllFaces('nowhere', options)));
          await adapter.uninstall(faceapi);
          return [codes.map(([code]) => code), nowhere[1], faceapi.detectAllFaces(photo, options).then === then];
        }"""
    )
    assert codes == ["disposed", "disposed"]
    assert "nowhere" in nowhere
    assert undone is True


def test_boxes_follow_a_picture_that_changes_its_size(page: Any, oracle: Any) -> None:
    """As a phone's camera does that is turned."""
    found = page.evaluate(
        """async () => {
          await installed();
          const canvas = Object.assign(document.createElement('canvas'), { width: 480, height: 320 });
          canvas.getContext('2d').drawImage(photo, 0, 0);
          const detector = faceapi.nets.tinyFaceDetector;
          const { locateFaces } = detector;
          detector.locateFaces = async function (...given) {
            const faces = await locateFaces.apply(this, given);
            Object.assign(canvas, { width: 960, height: 640 });
            const context = canvas.getContext('2d');
            context.imageSmoothingEnabled = false;
            context.drawImage(photo, 0, 0, 960, 640);
            return faces;
          };
          const all = await faceapi.detectAllFaces(canvas, options).withFaceExpressions();
          return all.map((face) => [boxOf(face), plain(face)]);
        }"""
    )
    doubled = draw_group(480, 320, people=2).resize((960, 640), Image.Resampling.NEAREST)
    assert len(found) >= 2
    for box, answer in found:
        expected = oracle(doubled, tuple(2 * side for side in box), "detector")
        assert answer == pytest.approx(in_words(expected), abs=1e-4)


def test_an_unknown_version_is_left_as_it_is(page: Any) -> None:
    """Its private parts are checked before one of them is changed."""
    found = page.evaluate(
        """async () => {
          const prototype = () => Object.getPrototypeOf(faceapi.detectAllFaces(photo, options).withFaceExpressions());
          const { run: own } = prototype();
          class Task { withFaceExpressions() { return Object.create({ run() {} }, { input: { value: null } }); } }
          const changed = { ...faceapi, detectAllFaces: () => new Task() };
          const code = await codeOf(() => adapter.install(changed, { modelUrl: run + 'k7_mnv3s_160.onnx' }));
          const same = prototype().run === own;
          return [...code, same];
        }"""
    )
    assert found[0] == "faceapi_unsupported"
    assert "parentTask" in found[1]
    assert "1.7.15" in found[1]
    assert found[2] is True


def test_misuse_has_a_name(page: Any) -> None:
    faults = {
        "() => adapter.install({}, { modelUrl: 'x' })": ("bad_option", "face-api.js"),
        "() => installed({ modelUrl: undefined })": ("bad_option", "modelUrl"),
        "() => installed({ keys: 'german' })": ("bad_option", "keys"),
        "() => installed({ mapping: { ...adapter.MAPPING, 당황: 'amused' } })": ("bad_option", "amused"),
        "() => installed({ mapping: {} })": ("bad_option", "기쁨"),
        "() => installed({ modelUrl: '/none.onnx' })": ("model_not_found", "modelUrl"),
    }
    found, untouched = page.evaluate(
        """async (faults) => {
          const found = await Promise.all(faults.map((fault) => codeOf(new Function(`return (${fault})()`))));
          const own = Object.hasOwn(faceapi.nets.faceExpressionNet, 'predictExpressions');
          return [found, !own];
        }""",
        list(faults),
    )
    for (fault, (code, words)), (got, message) in zip(faults.items(), found, strict=True):
        assert got == code, f"{fault}: {message}"
        assert words in message
    assert untouched
