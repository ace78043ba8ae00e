"""What comes on the demo page's stage: pictures, videos, the camera."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyojeong.core.labels import KOREAN
from pyojeong.demo.files import DEMO
from pyojeong.sample.drawing import draw_face
from tests.browser.conftest import launched, tab_of
from tests.browser.faces import as_address, write_video
from tests.browser.pages import assert_shows, bars_of

pytestmark = pytest.mark.browser

SLOW_FIRST = """() => {
  const decode = Image.prototype.decode;
  let slow = true;
  Image.prototype.decode = async function () {
    const later = slow && new Promise((resolve) => (window.release = resolve));
    slow = false;
    await decode.call(this);
    await later;
    if (later) setTimeout(() => (window.released = true), 300);
  };
}"""


@pytest.fixture
def page(demo: Any) -> Any:
    return demo


def test_the_picture_chosen_last_stays_though_an_earlier_one_is_read_later(
    page: Any, oracle: Any, painter: Any, face: Any, tmp_path: Path
) -> None:
    painter(640, 480, seed=5).save(tmp_path / "slow.png")
    page.evaluate(SLOW_FIRST)
    chooser = page.get_by_label("사진·영상 고르기")
    chooser.set_input_files(tmp_path / "slow.png")
    page.wait_for_function("() => window.release")
    chooser.set_input_files(face[1])
    assert_shows(page, oracle(face[0], None))
    page.evaluate("() => window.release()")
    page.wait_for_function("() => window.released")

    assert page.locator("#picture").evaluate("(shown) => [shown.naturalWidth, shown.naturalHeight]") == [300, 200]
    assert_shows(page, oracle(face[0], None))


def test_a_slow_picture_comes_though_a_later_file_is_none(page: Any, oracle: Any, face: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    page.evaluate(SLOW_FIRST)
    chooser = page.get_by_label("사진·영상 고르기")
    chooser.set_input_files(face[1])
    page.wait_for_function("() => window.release")
    chooser.set_input_files(tmp_path / "notes.txt")
    page.get_by_text("사진으로 열 수 없습니다").wait_for()
    page.evaluate("() => window.release()")

    assert_shows(page, oracle(face[0], None))


def test_the_camera_asked_for_last_stays_though_a_picture_is_shown_later(page: Any, face: Any) -> None:
    page.evaluate(
        """() => {
          const decode = Image.prototype.decode;
          Image.prototype.decode = async function () {
            await decode.call(this);
            // The one on the stage, which is decoded after the file is.
            if (this.id === 'picture') await new Promise((resolve) => (window.release = resolve));
            if (this.id === 'picture') setTimeout(() => (window.released = true), 300);
          };
        }"""
    )
    page.get_by_label("사진·영상 고르기").set_input_files(face[1])
    page.wait_for_function("() => window.release")
    page.get_by_role("button", name="카메라 켜기").click()
    page.get_by_role("button", name="카메라 끄기").wait_for()
    page.evaluate("() => window.release()")
    page.wait_for_function("() => window.released")

    assert page.locator("#video").is_visible()
    assert page.locator("#picture").is_hidden()
    assert page.locator("#video").evaluate("(video) => video.srcObject?.active")


def test_a_picture_that_comes_meanwhile_leaves_the_camera_asked_for_later(page: Any, face: Any) -> None:
    page.evaluate(SLOW_FIRST)
    page.evaluate(
        """() => {
          const play = HTMLMediaElement.prototype.play;
          HTMLMediaElement.prototype.play = async function () {
            await new Promise((resolve) => (window.playOn = resolve));
            await play.call(this);
          };
        }"""
    )
    page.get_by_label("사진·영상 고르기").set_input_files(face[1])
    page.wait_for_function("() => window.release")
    page.get_by_role("button", name="카메라 켜기").click()
    page.wait_for_function("() => window.playOn")
    page.evaluate("() => window.release()")
    page.locator("#picture").wait_for()
    page.evaluate("() => window.playOn()")
    page.get_by_role("button", name="카메라 끄기").wait_for()

    assert page.locator("#video").evaluate("(video) => video.srcObject?.active")


def test_an_error_stays_though_the_camera_goes_on(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    page.get_by_role("button", name="카메라 켜기").click()
    page.locator("#figures", has_text="초당").wait_for()
    page.get_by_label("사진·영상 고르기").set_input_files(tmp_path / "notes.txt")
    page.get_by_text("사진으로 열 수 없습니다").wait_for()
    page.evaluate("() => (api.answered = 0)")
    page.evaluate(
        """() => {
          const analyze = api.analyze.bind(api);
          api.analyze = async (...asked) => { const faces = await analyze(...asked); api.answered += 1; return faces; };
        }"""
    )
    page.wait_for_function("() => api.answered > 3")
    assert page.get_by_text("사진으로 열 수 없습니다").is_visible()


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


@pytest.fixture(scope="module")
def face_camera(playwright: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium whose camera shows a drawn person who changes expression."""
    video = tmp_path_factory.mktemp("video") / "face.y4m"
    write_video(video, [draw_face(label, 3, (480, 480))[0] for label in ("기쁨", "분노", "중립", "당황")])
    with launched(playwright, f"--use-file-for-fake-video-capture={video}") as chromium:
        yield chromium


@pytest.fixture
def camera_tab(face_camera: Any, origin: str) -> Iterator[Any]:
    with tab_of(face_camera) as opened:
        opened.page.goto(origin + DEMO)
        opened.page.wait_for_function("() => window.api")
        yield opened


def test_the_camera_gives_live_results_until_it_is_switched_off(camera_tab: Any, origin: str) -> None:
    page = camera_tab.page
    page.get_by_role("button", name="카메라 켜기").click()
    # Bars that change were computed from the faces of the video.
    changes = page.evaluate(
        """() => new Promise((resolve) => {
          const seen = new Set();
          const watch = new MutationObserver(() => {
            if (!document.querySelector('#faces .face')) return;
            seen.add([...document.querySelectorAll('#bars .value')].map((cell) => cell.textContent).join());
            if (seen.size > 3) { watch.disconnect(); resolve(seen.size); }
          });
          watch.observe(document.getElementById('bars'), { subtree: true, childList: true, characterData: true });
        })"""
    )
    assert changes > 3
    assert abs(sum(bars_of(page).values()) - 100) < 0.5
    page.locator("#figures", has_text="초당").wait_for()
    page.locator("#figures", has_text=re.compile(r"읽기 \d+ · 얼굴 \d+ · 감정 \d+ ms")).wait_for()
    stage, face = (page.locator(name).bounding_box() for name in ("#stage", "#faces .face"))
    # The face fills the middle of the video, so its box lies in the middle of the stage.
    assert abs(face["x"] + face["width"] / 2 - stage["x"] - stage["width"] / 2) < stage["width"] / 5
    assert stage["height"] / 4 < face["height"] < stage["height"]
    label = page.locator("#faces .face span").first.inner_text()
    assert label.split()[0] in KOREAN
    page.get_by_role("button", name="카메라 끄기").click()
    page.get_by_role("button", name="카메라 켜기").wait_for()
    assert page.locator("#stage").is_hidden()
    assert page.locator("#faces .face").count() == 0
    assert page.evaluate("() => document.getElementById('video').srcObject") is None
    camera_tab.assert_clean(origin)


def test_without_a_face_the_camera_says_so(page: Any) -> None:
    # The browser's own video shows no face.
    page.get_by_role("button", name="카메라 켜기").click()
    page.locator("#answer", has_text="얼굴을 찾지 못했습니다").wait_for()


def test_the_camera_works_without_video_frame_callbacks(tab: Any, origin: str) -> None:
    """As in Firefox before 132."""
    tab.page.add_init_script(
        """delete HTMLVideoElement.prototype.requestVideoFrameCallback;
        delete HTMLVideoElement.prototype.cancelVideoFrameCallback;"""
    )
    tab.page.goto(origin + DEMO)
    tab.page.wait_for_function("() => window.api")
    page = tab.page
    page.get_by_role("button", name="카메라 켜기").click()
    page.locator("#figures", has_text="초당").wait_for()
    page.evaluate(
        "() => { window.asked = 0; const { analyze } = api;"
        " api.analyze = (...given) => { asked += 1; return analyze.apply(api, given); }; }"
    )
    page.wait_for_function("() => asked > 3")
    page.locator("#video").evaluate("(video) => video.pause()")
    # What was asked before is answered first.
    page.wait_for_function(
        """() => {
          const before = asked;
          return new Promise((resolve) => setTimeout(() => resolve(asked === before), 1000));
        }"""
    )
    tab.assert_clean(origin)


def test_an_error_of_the_camera_s_first_frame_is_shown(page: Any) -> None:
    page.evaluate(
        """() => { HTMLVideoElement.prototype.requestVideoFrameCallback = () => { throw new Error('no frame'); }; }"""
    )
    page.get_by_role("button", name="카메라 켜기").click()
    page.locator("#problem", has_text="no frame").wait_for()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_keyboard_stays_on_the_camera_s_button(elsewhere: bool, page: Any) -> None:
    page.evaluate(
        """() => {
          const media = navigator.mediaDevices;
          const give = media.getUserMedia.bind(media);
          media.getUserMedia = async (wish) => {
            await new Promise((resolve) => (window.go = resolve));
            return give(wish);
          };
        }"""
    )
    page.locator("#camera").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.go && document.activeElement === document.body")
    if elsewhere:
        page.locator("#file").focus()
    page.evaluate("() => go()")
    page.get_by_role("button", name="카메라 끄기").wait_for()
    assert page.evaluate("() => document.activeElement.id") == ("file" if elsewhere else "camera")


def test_a_video_is_played_and_watched(page: Any) -> None:
    """The video is recorded in the browser itself, which writes WebM."""
    page.evaluate(
        """async (url) => {
          const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 320 });
          const image = new Image();
          image.src = url;
          await image.decode();
          const recorder = new MediaRecorder(canvas.captureStream(15), { mimeType: 'video/webm' });
          const parts = [];
          recorder.ondataavailable = ({ data }) => parts.push(data);
          const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
          recorder.start();
          for (let turn = 0; turn < 12; turn++) {
            canvas.getContext('2d').drawImage(image, turn % 3, 0, 320, 320);
            await new Promise((resolve) => setTimeout(resolve, 60));
          }
          recorder.stop();
          await stopped;
          const given = new DataTransfer();
          given.items.add(new File(parts, 'video.webm', { type: 'video/webm' }));
          const input = document.getElementById('file');
          input.files = given.files;
          input.dispatchEvent(new Event('change'));
        }""",
        as_address(draw_face("기쁨", 3, (320, 320))[0]),
    )
    page.locator("#faces .face").wait_for()
    page.locator("#figures", has_text="초당").wait_for()
    assert page.locator("#stage.mirrored").count() == 0


def test_a_file_that_is_no_video_is_refused_in_words(page: Any, tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_text("not a video")
    page.get_by_label("사진·영상 고르기").set_input_files(tmp_path / "video.mp4")
    page.locator("#problem", has_text="영상으로 열 수 없습니다").wait_for()


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
    page.get_by_label("사진·영상 고르기").set_input_files(path)
    assert_shows(page, oracle(image, None))
    (tmp_path / "notes.txt").write_text("hello")
    page.get_by_label("사진·영상 고르기").set_input_files(tmp_path / "notes.txt")
    page.locator("#problem", has_text="notes.txt").wait_for()
    assert_shows(page, oracle(image, None))
