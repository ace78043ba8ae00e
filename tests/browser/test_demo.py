"""The demo page, from the server that `pyojeong demo` starts."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from pyojeong.analyzer import MODEL
from pyojeong.core.labels import FACEAPI, FACEAPI_KOREAN, KOREAN, korean_word
from pyojeong.core.workspace import K7_MODEL, K7_RUN
from pyojeong.demo.files import DEMO
from pyojeong.demo.server import make_server
from pyojeong.demo.site import export_site
from pyojeong.detection.detector import Detector
from tests.browser.conftest import FACTS, Oracle
from tests.browser.faces import as_address, draw_group, pixels_of
from tests.browser.pages import assert_shows, bars_of

pytestmark = pytest.mark.browser


@pytest.fixture
def page(demo: Any) -> Any:
    return demo


def test_a_chosen_picture_gets_bars_in_class_order(tab: Any, page: Any, origin: str, oracle: Any, face: Any) -> None:
    image, path = face
    page.get_by_label("사진·영상 고르기").set_input_files(path)
    expected = oracle(image, None)
    assert_shows(page, expected)
    best = max(expected, key=expected.__getitem__)
    assert page.locator("#answer").inner_text().startswith(best)
    assert page.locator("#notice").is_hidden()
    tab.assert_clean(origin)


def test_the_package_computes_on_its_own_engine(page: Any) -> None:
    info = page.evaluate("() => api.info()")
    assert (info["engine"], info["threads"]) == ("pyojeong", 1)


def test_a_dragged_box_is_what_is_classified(page: Any, oracle: Any, face: Any) -> None:
    image, path = face
    page.get_by_label("사진·영상 고르기").set_input_files(path)
    assert_shows(page, oracle(image, None))
    at = page.locator("#stage").bounding_box()
    assert (at["width"], at["height"]) == image.size
    page.mouse.move(at["x"] + 60, at["y"] + 40)
    page.mouse.down()
    page.mouse.move(at["x"] + 200, at["y"] + 90)
    page.mouse.move(at["x"] + 160, at["y"] + 150)
    page.mouse.up()
    assert_shows(page, oracle(image, (60, 40, 100, 110)))
    assert "100 × 110" in page.locator("#box-text").inner_text()
    page.get_by_role("button", name="박스 지우기").click()
    assert_shows(page, oracle(image, None))


def test_the_keyboard_alone_is_enough(page: Any, oracle: Any, face: Any) -> None:
    image, path = face
    page.get_by_label("사진·영상 고르기").set_input_files(path)
    page.locator("#stage").wait_for()
    page.locator("#stage").focus()
    page.keyboard.press("Enter")
    assert_shows(page, oracle(image, (90, 40, 120, 120)))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert_shows(page, oracle(image, (96, 46, 120, 120)))
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    assert_shows(page, oracle(image, (93, 43, 126, 126)))
    page.keyboard.press("Escape")
    assert_shows(page, oracle(image, None))


def test_a_screen_reader_gets_the_newest_text_every_two_seconds(page: Any) -> None:
    page.clock.install()
    page.evaluate(
        """async () => {
          const { Speech } = await import('/web/demo/speech.js');
          const region = document.createElement('div');
          window.spoken = [];
          new MutationObserver(() => spoken.push(region.textContent)).observe(region, { childList: true });
          window.speech = new Speech(region);
        }"""
    )

    def say(*texts: str) -> list[str]:
        page.evaluate("(texts) => texts.forEach((text) => speech.say(text))", texts)
        page.clock.run_for(2000)
        spoken: list[str] = page.evaluate("() => spoken.splice(0)")
        return spoken

    assert say("하나", "둘", "셋") == ["셋"]
    assert say("넷", "셋") == []
    assert say("넷", "") == [""]
    assert say("셋") == ["셋"]


def test_every_face_of_a_picture_is_marked_and_the_largest_described(page: Any, oracle: Any, tmp_path: Path) -> None:
    image = draw_group(900, 400, people=3, seed=4)
    image.save(tmp_path / "three.png")
    page.get_by_label("사진·영상 고르기").set_input_files(tmp_path / "three.png")
    page.locator("#box-text", has_text="얼굴 3개").wait_for()
    page.locator("#box-spoken[role=status]", has_text="얼굴 3개").wait_for()
    assert page.locator("#faces .face").count() == 3
    found = Detector(threads=1).detect(pixels_of(image))
    largest = max((detection.box for detection in found), key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    width, height = largest[2] - largest[0], largest[3] - largest[1]
    assert_shows(page, oracle(image, (largest[0], largest[1], width, height), "blazeface"))
    chosen = page.locator("#faces .chosen span").inner_text()
    assert chosen.split()[0] == page.locator("#answer").inner_text().split()[0]


def test_models_can_be_switched(tab: Any, site: Any, model_writer: Any, face: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(site.root / K7_RUN, run)
    model_writer(run / "k7_mnv3s_160_8bit.onnx", seed=8)
    image, path = face
    with make_server(site.root, 0, model_dir=run) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        tab.page.goto(f"http://127.0.0.1:{server.server_port}{DEMO}")
        tab.page.get_by_label("사진·영상 고르기").set_input_files(path)
        for name in (K7_MODEL, "k7_mnv3s_160_8bit.onnx", K7_MODEL):
            tab.page.get_by_label("모델").select_option(f"../../{K7_RUN}/{name}")
            assert_shows(tab.page, Oracle(run / name)(image, None))
        server.shutdown()


def test_what_is_written_over_a_face_stays_in_the_picture(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.evaluate(
        """async () => {
          const { Boxes } = await import('./boxes.js');
          document.getElementById('stage').hidden = false;
          const picture = document.getElementById('picture');
          picture.src = Object.assign(document.createElement('canvas'), { width: 900, height: 400 }).toDataURL();
          picture.hidden = false;
          await picture.decode();
          const faces = [[10, -30], [400, 150], [800, 5]].map(([x, y]) => (
            { box: { x, y, width: 90, height: 120 }, score: 1, label: 'surprised',
              unsure: false, emotions: { surprised: 1 } }));
          window.mirror = (on) => {
            document.getElementById('stage').classList.toggle('mirrored', on);
            new Boxes(document.getElementById('faces')).show(faces, { width: 900, height: 400 }, 0);
          };
        }"""
    )
    for mirrored in (False, True):
        page.evaluate("(mirrored) => mirror(mirrored)", mirrored)
        stage = page.locator("#stage").bounding_box()
        for words in page.locator("#faces .face span").all():
            at = words.bounding_box()
            assert at["x"] >= stage["x"] - 2.5
            assert at["x"] + at["width"] <= stage["x"] + stage["width"] + 2.5
            assert at["y"] >= stage["y"] - 2.5


def test_a_model_that_is_gone_leaves_the_one_that_answers_chosen(
    tab: Any, site: Any, model_writer: Any, face: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(site.root / K7_RUN, run)
    model_writer(run / "k7_mnv3s_160_8bit.onnx", seed=8)
    with make_server(site.root, 0, model_dir=run) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        tab.page.goto(f"http://127.0.0.1:{server.server_port}{DEMO}")
        tab.page.wait_for_function("() => window.api")
        (run / "k7_mnv3s_160_8bit.onnx").unlink()
        tab.page.get_by_label("모델").select_option(f"../../{K7_RUN}/k7_mnv3s_160_8bit.onnx")
        tab.page.locator("#problem", has_text="모델이 없습니다").wait_for()
        assert tab.page.get_by_label("모델").input_value() == f"../../{K7_RUN}/{K7_MODEL}"
        assert f"모델 {K7_MODEL} " in tab.page.locator("#figures").inner_text()
        server.shutdown()


def test_a_model_that_fails_late_does_not_undo_a_later_choice(
    tab: Any, site: Any, model_writer: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(site.root / K7_RUN, run)
    for seed, name in ((8, "slow.onnx"), (9, "third.onnx")):
        model_writer(run / name, seed=seed)
    tab.page.add_init_script(
        """const post = Worker.prototype.postMessage;
        Worker.prototype.postMessage = function (message, ...rest) {
          const go = () => post.call(this, message, ...rest);
          if (!String(message.options?.modelUrl).includes('slow')) return go();
          window.release = go;
          this.addEventListener('message', ({ data }) => setTimeout(() => (window.failed = data.error), 300));
        };"""
    )
    with make_server(site.root, 0, model_dir=run) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        tab.page.goto(f"http://127.0.0.1:{server.server_port}{DEMO}")
        tab.page.wait_for_function("() => window.api")
        choice = tab.page.get_by_label("모델")
        (run / "slow.onnx").unlink()
        choice.select_option(f"../../{K7_RUN}/slow.onnx")
        tab.page.wait_for_function("() => window.release")
        choice.select_option(f"../../{K7_RUN}/third.onnx")
        tab.page.locator("#figures", has_text="모델 third.onnx").wait_for()
        tab.page.evaluate("() => release()")
        tab.page.wait_for_function("() => window.failed")
        assert choice.input_value() == f"../../{K7_RUN}/third.onnx"
        assert tab.page.locator("#problem").is_hidden()
        server.shutdown()


def test_face_api_answers_beside_ours_on_request(tab: Any, page: Any, origin: str, tmp_path: Path) -> None:
    draw_group(480, 480, people=1).save(tmp_path / "one.png")
    assert page.locator("#rival-result").is_hidden()
    page.get_by_label("사진·영상 고르기").set_input_files(tmp_path / "one.png")
    page.get_by_label("face-api.js와 비교").check()
    page.locator("#rival-figures", has_text="ms").wait_for(timeout=60_000)
    rows = page.locator("#rival-bars li").evaluate_all("(rows) => rows.map((row) => row.innerText)")
    values = {text.split()[0]: float(text.split()[-1].removesuffix("%")) for text in rows}
    assert tuple(values) == FACEAPI_KOREAN
    assert abs(sum(values.values()) - 100) < 0.5
    assert tuple(bars_of(page)) == KOREAN
    tab.assert_clean(origin)


def test_face_api_describes_the_face_that_ours_describes(page: Any) -> None:
    found = page.evaluate(
        """async (address) => {
          const { loadRival } = await import('./rival.js');
          const ask = await loadRival((await (await fetch('available.json')).json()).rivalWasm);
          const img = new Image();
          img.src = address;
          await img.decode();
          const { detectAllFaces, TinyFaceDetectorOptions } =
            await import('/node_modules/@vladmandic/face-api/dist/face-api.esm.js');
          const options = new TinyFaceDetectorOptions({ inputSize: 416, scoreThreshold: 0.5 });
          const faces = await detectAllFaces(img, options).withFaceExpressions();
          const same = [];
          for (const { detection: { box }, expressions } of faces) {
            const { emotions } = await ask(img, box);
            same.push(Math.max(...Object.keys(emotions).map((name) => Math.abs(emotions[name] - expressions[name]))));
          }
          const apart = await ask(img, { x: 0, y: 0, width: 2, height: 2 });
          const [one, other] = faces.map(({ expressions }) => expressions);
          const differ = Object.keys(one).some((name) => Math.abs(one[name] - other[name]) > 0.01);
          return { same, differ, apart: apart.emotions };
        }""",
        as_address(pixels_of(draw_group(640, 480, people=2))),
    )
    assert len(found["same"]) == 2
    assert max(found["same"]) < 1e-3
    assert found["differ"] is True
    assert found["apart"] is None


def test_in_the_mirror_the_box_follows_the_pointer(page: Any) -> None:
    page.get_by_role("button", name="카메라 켜기").click()
    page.locator("#stage").wait_for()
    at = page.locator("#stage").bounding_box()
    corner = (at["x"] + 20, at["y"] + 30)
    page.mouse.move(*corner)
    page.mouse.down()
    page.mouse.move(corner[0] + 80, corner[1] + 90)
    page.mouse.up()
    drawn = page.locator("#box").bounding_box()
    assert abs(drawn["x"] - corner[0]) < 2
    assert abs(drawn["y"] - corner[1]) < 2
    assert abs(drawn["width"] - 80) < 2


def test_a_model_trained_on_synthetic_faces_says_so(tab: Any, site: Any, model_writer: Any, tmp_path: Path) -> None:
    model_writer(tmp_path / "drawn.onnx", metadata=FACTS | {"synthetic": "true"})
    (tmp_path / "classes.json").write_text(json.dumps({"classes": KOREAN}), encoding="utf-8")
    with make_server(site.root, 0, model_dir=tmp_path) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        tab.page.goto(f"http://127.0.0.1:{server.server_port}{DEMO}")
        tab.page.locator("#notice").wait_for()
        server.shutdown()


def test_a_model_trained_on_synthetic_faces_comes_second_and_can_be_chosen(
    tab: Any, model_writer: Any, face: Any, tmp_path: Path
) -> None:
    """The package's real model is the one that ships."""
    model_writer(tmp_path / K7_RUN / K7_MODEL, metadata=FACTS | {"synthetic": "true"})
    (tmp_path / K7_RUN / "classes.json").write_text(json.dumps({"classes": KOREAN}), encoding="utf-8")
    with make_server(tmp_path, 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        origin = f"http://127.0.0.1:{server.server_port}"
        tab.page.goto(f"{origin}{DEMO}")
        tab.page.locator("#figures", has_text=f"모델 {MODEL.name} (BASIC7").wait_for()
        assert tab.page.locator("#notice").is_hidden()
        choice = tab.page.get_by_label("모델")
        assert choice.locator("option").all_inner_texts() == [
            "기본 모델 (실제 사진)",
            "내 모델 (합성 얼굴)",
        ]
        tab.page.get_by_label("사진·영상 고르기").set_input_files(face[1])
        tab.page.locator("#bars .top").wait_for()
        assert tuple(bars_of(tab.page)) == FACEAPI_KOREAN
        choice.select_option(f"../../{K7_RUN}/{K7_MODEL}")
        tab.page.locator("#notice").wait_for()
        assert_shows(tab.page, Oracle(tmp_path / K7_RUN / K7_MODEL)(face[0], None))
        choice.select_option(label="기본 모델 (실제 사진)")
        tab.page.locator("#notice").wait_for(state="hidden")
        tab.assert_clean(origin)
        server.shutdown()


def test_without_a_run_the_page_shows_the_package_s_own_model(
    tab: Any, site: Any, model_writer: Any, face: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own/basic7_mnv3s_160_8bit.onnx"
    model_writer(own, metadata=FACTS | {"classes": json.dumps(FACEAPI), "scheme": "BASIC7", "box_kind": "detector"})
    own.with_name("classes.json").write_text(json.dumps({"classes": FACEAPI}))
    monkeypatch.setattr("pyojeong.demo.files.PACKAGE_MODEL", own)
    (tmp_path / "workspace").mkdir()
    with make_server(tmp_path / "workspace", 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        tab.page.goto(f"http://127.0.0.1:{server.server_port}{DEMO}")
        tab.page.locator("#figures", has_text="basic7_mnv3s_160_8bit.onnx (BASIC7").wait_for()
        tab.page.get_by_label("사진·영상 고르기").set_input_files(face[1])
        tab.page.locator("#bars .top").wait_for()
        expected = Oracle(own)(face[0], None)
        best = korean_word(max(expected, key=expected.__getitem__))
        assert tab.page.locator("#bars .top").inner_text().split()[0] == best
        assert tuple(bars_of(tab.page)) == FACEAPI_KOREAN
        server.shutdown()


def test_an_exported_site_works_below_any_path_and_asks_nobody_else(tab: Any, site: Any, face: Any) -> None:
    export_site(site.root, site.root / "below/a path")
    address = f"{site.origin}/below/a%20path/"
    tab.page.goto(address)
    tab.page.locator("#figures", has_text="k7_mnv3s_160.onnx").wait_for()
    tab.requests.clear()
    tab.page.get_by_label("사진·영상 고르기").set_input_files(face[1])
    assert_shows(tab.page, Oracle(site.root / K7_RUN / K7_MODEL)(face[0], None))
    # Once it has loaded, it needs no network.
    assert [url for url in tab.requests if not url.startswith(("blob:", "data:"))] == []
    tab.assert_clean(site.origin)
    shutil.rmtree(site.root / "below")


def test_without_a_model_the_page_says_what_to_run(tab: Any, site: Any, tmp_path: Path) -> None:
    shutil.copytree(site.root / "models/mobilenetv3_classifier/runs/finetune_K7_160", tmp_path / "run")
    with make_server(site.root, 0, model_dir=tmp_path / "run") as server:
        (tmp_path / "run/k7_mnv3s_160.onnx").unlink()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        tab.page.goto(f"http://127.0.0.1:{server.server_port}{DEMO}")
        tab.page.locator("#problem", has_text="make run").wait_for()
        server.shutdown()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_small_phone_in_light_and_dark(scheme: str, tab: Any, page: Any, face: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    page.get_by_label("사진·영상 고르기").set_input_files(face[1])
    page.locator("#bars .top").wait_for()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) > 384) == (scheme == "light")
