"""The demo page, from the server that `pyojeong demo` starts."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyojeong.labels import ENGLISH, KOREAN
from pyojeong.serve import DEMO, make_server

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def origin(site: Any) -> Iterator[str]:
    with make_server(site.root, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(tab: Any, origin: str) -> Any:
    tab.page.goto(origin + DEMO)
    tab.page.wait_for_function("() => window.api")
    return tab.page


@pytest.fixture
def face(painter: Any, tmp_path: Path) -> Any:
    """A picture and the file it lies in."""
    image = painter(300, 200, seed=21)
    image.save(tmp_path / "face.png")
    return image, tmp_path / "face.png"


def bars_of(page: Any) -> dict[str, float]:
    """What the bars say at one moment, in percent."""
    rows = page.locator("#bars li").evaluate_all("(rows) => rows.map((row) => row.innerText)")
    return {text.split()[0]: float(text.split()[-1].removesuffix("%")) for text in rows}


def assert_shows(page: Any, expected: dict[str, float]) -> None:
    """Wait until the bars are these probabilities, to the digit that is printed."""
    page.wait_for_function(
        """(expected) => [...document.querySelectorAll('#bars .value')].every(
          (cell, index) => Math.abs(parseFloat(cell.textContent) - 100 * expected[index]) <= 0.0501)""",
        arg=[expected[name] for name in KOREAN],
        timeout=10_000,
    )
    assert tuple(bars_of(page)) == KOREAN


def test_a_chosen_picture_gets_bars_in_class_order(tab: Any, page: Any, origin: str, oracle: Any, face: Any) -> None:
    image, path = face
    page.get_by_label("사진 고르기").set_input_files(path)
    expected = oracle(image, None)
    assert_shows(page, expected)
    best = max(expected, key=expected.__getitem__)
    assert page.locator("#answer").inner_text().startswith(best)
    assert ENGLISH[KOREAN.index(best)] in page.locator("#answer").inner_text()
    assert page.locator("#notice").is_hidden()
    tab.assert_clean(origin)


def test_threads_are_used_where_there_are_cores(page: Any) -> None:
    info = page.evaluate("() => api.info()")
    assert info["threads"] == min(4, os.cpu_count() or 1)
    assert page.evaluate("() => crossOriginIsolated") is True


def test_a_dragged_box_is_what_is_classified(page: Any, oracle: Any, face: Any) -> None:
    image, path = face
    page.get_by_label("사진 고르기").set_input_files(path)
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
    page.get_by_role("button", name="상자 지우기").click()
    assert_shows(page, oracle(image, None))


def test_the_keyboard_alone_is_enough(page: Any, oracle: Any, face: Any) -> None:
    image, path = face
    page.get_by_label("사진 고르기").set_input_files(path)
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


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_picture_can_be_pasted_or_dropped(way: str, page: Any, site: Any, oracle: Any, face: Any) -> None:
    image, path = face
    page.evaluate(
        """({ way, bytes }) => {
          const given = new DataTransfer();
          given.items.add(new File([new Uint8Array(bytes)], 'face.png', { type: 'image/png' }));
          document.body.dispatchEvent(way === 'paste'
            ? new ClipboardEvent('paste', { clipboardData: given, bubbles: true })
            : new DragEvent('drop', { dataTransfer: given, bubbles: true, cancelable: true }));
        }""",
        {"way": way, "bytes": list(path.read_bytes())},
    )
    assert_shows(page, oracle(image, None))


def test_the_camera_gives_live_results_until_it_is_switched_off(tab: Any, page: Any, origin: str) -> None:
    page.get_by_role("button", name="카메라 켜기").click()
    # The fake camera shows a moving picture: bars that change were computed from it.
    changes = page.evaluate(
        """() => new Promise((resolve) => {
          const seen = new Set();
          const watch = new MutationObserver(() => {
            seen.add([...document.querySelectorAll('#bars .value')].map((cell) => cell.textContent).join());
            if (seen.size > 5) { watch.disconnect(); resolve(seen.size); }
          });
          watch.observe(document.getElementById('bars'), { subtree: true, childList: true, characterData: true });
        })"""
    )
    assert changes > 5
    assert abs(sum(bars_of(page).values()) - 100) < 0.5
    page.locator("#figures", has_text="초당").wait_for()
    assert not page.locator("#box").is_hidden()
    page.get_by_role("button", name="카메라 끄기").click()
    page.get_by_role("button", name="카메라 켜기").wait_for()
    assert page.locator("#stage").is_hidden()
    assert page.evaluate("() => document.getElementById('video').srcObject") is None
    tab.assert_clean(origin)


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


@pytest.mark.parametrize(
    ("name", "words"),
    [("NotAllowedError", "거부"), ("NotFoundError", "찾지 못했"), ("NotReadableError", "다른 프로그램")],
)
def test_a_camera_that_does_not_come_is_explained(name: str, words: str, page: Any) -> None:
    page.evaluate(
        "(name) => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', name); }; }", name
    )
    page.get_by_role("button", name="카메라 켜기").click()
    page.locator("#problem", has_text=words).wait_for()
    assert page.get_by_role("button", name="카메라 켜기").is_enabled()


def test_a_file_that_is_no_picture_is_refused_and_the_old_one_stays(
    page: Any, oracle: Any, face: Any, tmp_path: Path
) -> None:
    image, path = face
    page.get_by_label("사진 고르기").set_input_files(path)
    assert_shows(page, oracle(image, None))
    (tmp_path / "notes.txt").write_text("hello")
    page.get_by_label("사진 고르기").set_input_files(tmp_path / "notes.txt")
    page.locator("#problem", has_text="notes.txt").wait_for()
    assert_shows(page, oracle(image, None))


def test_a_model_trained_on_drawn_faces_says_so(tab: Any, site: Any, model_writer: Any, tmp_path: Path) -> None:
    facts = {"classes": json.dumps(KOREAN), "drawn_sample": "true"}
    model_writer(tmp_path / "drawn.onnx", metadata=facts)
    (tmp_path / "classes.json").write_text(json.dumps({"classes": KOREAN}), encoding="utf-8")
    with make_server(site.root, 0, model_dir=tmp_path) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        tab.page.goto(f"http://127.0.0.1:{server.server_port}{DEMO}")
        tab.page.locator("#notice").wait_for()
        server.shutdown()


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
    page.get_by_label("사진 고르기").set_input_files(face[1])
    page.locator("#bars .top").wait_for()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) > 384) == (scheme == "light")
