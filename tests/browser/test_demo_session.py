"""What the demo page keeps of a session: emotions over time, the table to save, who was right."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import polars as pl
import pytest
from PIL import Image

from pyojeong import analyze
from pyojeong.analysis.table import FaceTable
from pyojeong.core.labels import FACEAPI, KOREAN, korean_word
from pyojeong.demo.files import DEMO
from pyojeong.sample.drawing import draw_face
from tests.browser.conftest import FACTS, REPOSITORY, demo_served
from tests.browser.faces import draw_group
from tests.browser.pages import bars_of

pytestmark = pytest.mark.browser

PRELUDE = """async () => {
  window.face = (label, share, more) => ({ id: 1, box: { x: 1, y: 2, width: 30, height: 40 }, score: 0.5,
    landmarks: null, emotions: { happy: share, sad: 1 - share }, label, unsure: false, ...more });
  window.sourceOf = (name, kind) => ({ element: null, kind, name, drawn: false, since: 0 });
  window.readingOf = (shown, time, ...faces) => ({ shown, time, size: { width: 100, height: 80 }, faces, chosen: 0,
    marked: false });
}"""


def saved(page: Any, path: Path) -> pl.DataFrame:
    """Save the table with the page's button; return it as ``pyojeong`` reads it."""
    with page.expect_download() as download:
        page.locator("#save").click()
    assert download.value.suggested_filename.startswith("pyojeong-")
    download.value.save_as(path)
    return FaceTable.read(path).to_polars()


def write_film(path: Path, pictures: list[Any], rate: int = 10) -> None:
    """Write frames (uint8 [H, W, 3]) as a film that every browser plays."""
    with av.open(path, "w") as film:
        stream = film.add_stream("libvpx-vp9", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in pictures:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        film.mux(stream.encode())


def test_the_saved_table_is_that_of_pyojeong_analyze(package_demo: Any, tmp_path: Path) -> None:
    names = ["group, one.png", "one.png"]
    draw_group(900, 400, people=3, seed=4).save(tmp_path / names[0])
    Image.fromarray(draw_face("기쁨", 11, (360, 480))[0]).save(tmp_path / names[1])
    for name, count in zip(names, (3, 4), strict=True):
        package_demo.locator("#file").set_input_files(tmp_path / name)
        package_demo.locator("#rows", has_text=f"결과 {count}줄").wait_for()
    ours = saved(package_demo, tmp_path / "saved.csv").sort("source", "minX")
    expected = analyze([tmp_path / name for name in names]).to_polars()
    expected = expected.with_columns(source=pl.col("source").str.split("/").list.last()).sort("source", "minX")
    assert ours.schema == expected.schema
    exact = ["source", "frame", "time_s", "width", "height", "label", "label_en", "label_ko", "unsure", "reason"]
    assert ours.select(exact).equals(expected.select(exact))
    for name in set(ours.columns) - {*exact, "id"}:
        assert ours[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=2e-3, rel=1e-3), name


def test_a_further_reading_of_a_picture_replaces_the_one_before(package_demo: Any, face: Any, tmp_path: Path) -> None:
    package_demo.locator("#file").set_input_files(face[1])
    package_demo.locator("#rows", has_text="1줄").wait_for()
    package_demo.locator("#stage").focus()
    package_demo.keyboard.press("Enter")
    package_demo.locator("#box-text", has_text="120 × 120").wait_for()
    package_demo.locator("#bars .top").wait_for()
    package_demo.wait_for_timeout(500)
    (row,) = saved(package_demo, tmp_path / "saved.csv").iter_rows(named=True)
    assert [row[key] for key in ("minX", "minY", "maxX", "maxY", "score")] == [90, 40, 210, 160, None]
    assert row["source"] == "face.png"
    assert sum(row[f"p_{name}"] for name in FACEAPI) == pytest.approx(1, abs=1e-5)


def test_rows_of_films_have_times_and_a_film_is_kept_once(page: Any, tmp_path: Path) -> None:
    text = page.evaluate(
        """async () => {
          const { Table } = await import('/web/demo/table.js');
          const table = new Table(['happy', 'sad']);
          const film = sourceOf('a "b", c.mp4', 'film');
          table.add(readingOf(film, 0.5, face('happy', 0.75)));
          table.add(readingOf(film, 0.5, face('happy', 0.9)));
          table.add(readingOf(film, 1));
          table.add(readingOf(film, 1.5, face('sad', 1 / 3, { unsure: true }), face('happy', 1, { id: 2 })));
          table.add(readingOf(film, 0.25, face('happy', 0.1)));
          table.add(readingOf(film, 2, face('happy', 0.1)));
          table.add(readingOf(sourceOf('camera:0', 'camera'), 0, face('happy', 0.9)));
          table.add(readingOf(sourceOf('camera:0', 'camera'), 0, face('happy', 0.9)));
          return table.toCsv();
        }"""
    )
    (tmp_path / "table.csv").write_text("\ufeff" + text, encoding="utf-8")
    table = FaceTable.read(tmp_path / "table.csv")
    rows = table.to_polars()
    film = rows.filter(pl.col("source") == 'a "b", c.mp4')
    assert film.select("frame", "time_s", "id", "label", "label_ko", "unsure").rows() == [
        (0, 0.5, 1, "happy", "기쁨", False),
        (1, 1.0, None, None, None, None),
        (2, 1.5, 1, "sad", "슬픔", True),
        (2, 1.5, 2, "happy", "기쁨", False),
    ]
    assert film["p_happy"].to_list() == pytest.approx([0.9, None, np.float32(1 / 3), 1.0])
    assert rows["source"].unique().sort().to_list() == ['a "b", c.mp4', "camera:0", "camera:0 (2)"]
    assert len(table.summary().table) == 4


def test_a_full_table_stays_as_it_is(page: Any) -> None:
    length, later, lines = page.evaluate(
        """async () => {
          const { Table } = await import('/web/demo/table.js');
          const table = new Table(['happy', 'sad']);
          const film = sourceOf('film', 'film');
          let time = 0;
          const add = () => table.add(readingOf(film, (time += 1), face('happy', 0.75)));
          while (!table.full) add();
          const { length } = table;
          add();
          return [length, table.length, table.toCsv().match(/$/gm).length];
        }"""
    )
    assert length == later == 200_000
    assert lines == 200_002


def test_a_face_keeps_its_number_and_its_answers_are_averaged(page: Any) -> None:
    frames = page.evaluate(
        """async () => {
          const { Follower } = await import('/web/demo/readings.js');
          const follower = new Follower();
          const size = { width: 100, height: 80 };
          const far = { x: 60, y: 30, width: 30, height: 40 };
          const both = [face('happy', 0.9, { id: null }), face('sad', 0.1, { id: null, box: far })];
          const first = follower.next(both, size, 0, 0.7);
          const second = follower.next([face('sad', 0.1, { id: null })], size, 300, 0.7);
          const picture = follower.next([face('sad', 0.1, { id: null })], size, null, 0.7);
          return [first, second, picture].map((faces) => faces.map(({ id, label, unsure, emotions }) => (
            [id, label, unsure, emotions.happy])));
        }"""
    )
    first, second, picture = frames
    assert [face[:3] for face in first] == [[1, "happy", False], [2, "sad", False]]
    # 300 ms are a half-life: (0.9 + 0.1) / 2.
    assert second == [[1, second[0][1], True, pytest.approx(0.5, abs=1e-6)]]
    assert picture == [[1, "sad", False, pytest.approx(0.1)]]


def test_the_timeline_joins_equal_answers_and_leaves_gaps(page: Any) -> None:
    runs, shares = page.evaluate(
        """async () => {
          const { runsOf, sharesOf } = await import('/web/demo/timeline.js');
          const at = (time, label, unsure = false) => ({ time, label, value: 0.8, unsure });
          const moments = [at(0, 'happy'), at(500, 'happy'), at(1000, 'sad'), at(1400, 'happy', true),
            at(1600, 'sad', true), at(2000, 'sad'), at(9000, 'sad'), at(9600, 'sad')];
          const ends = (run) => [run[0].label, run[0].unsure, run[0].time, run.at(-1).time];
          return [runsOf(moments).map(ends), sharesOf(moments)];
        }"""
    )
    assert runs == [
        ["happy", False, 0, 1000],
        ["sad", False, 1000, 1400],
        ["happy", True, 1400, 2000],
        ["sad", False, 2000, 2000],
        ["sad", False, 9000, 9600],
    ]
    # Milliseconds: happy 1000, sad 400 + 1 + 600, unsure 600. The browser of these tests is Korean.
    assert [name for name, _ in shares] == ["슬픔", "기쁨", "잘 모르겠어요"]
    assert [share for _, share in shares] == pytest.approx([1001 / 2601, 1000 / 2601, 600 / 2601])


def test_the_sample_film_fills_the_timeline(tab: Any, package_demo: Any, package_origin: str) -> None:
    tab.requests.clear()
    tab.page.context.set_offline(True)
    package_demo.get_by_role("button", name="그린 얼굴 영상").click()
    package_demo.locator("#drawn").wait_for()
    package_demo.locator("#shares li", has_text="얼굴 2").wait_for()
    package_demo.wait_for_function("() => document.getElementById('video').currentTime > 3")
    lines = package_demo.locator("#shares li").all_inner_texts()
    assert [line.split(":")[0] for line in lines] == ["얼굴 1", "얼굴 2"]
    drawn = package_demo.evaluate(
        """() => {
          const canvas = document.getElementById('timeline');
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          const colors = new Set();
          const hex = (level) => level.toString(16).padStart(2, '0');
          for (let at = 0; at < data.length; at += 4) {
            colors.add(`#${[...data.subarray(at, at + 3)].map(hex).join('')}`);
          }
          return Object.entries(api.info().colors).filter(([, color]) => colors.has(color)).map(([name]) => name);
        }"""
    )
    assert {korean_word(name) for name in drawn} >= {line.split()[2] for line in lines}
    # The page carries its samples, so that it needs no network once it has loaded.
    assert [url for url in tab.requests if not url.startswith(("blob:", "data:"))] == []
    tab.assert_clean(package_origin)
    package_demo.get_by_role("button", name="그린 얼굴 사진").click()
    package_demo.locator("#box-text", has_text="얼굴 3개").wait_for()
    assert package_demo.locator("#course").is_hidden()


def test_a_chosen_picture_is_not_called_drawn(package_demo: Any, face: Any) -> None:
    package_demo.get_by_role("button", name="그린 얼굴 사진").click()
    package_demo.locator("#drawn").wait_for()
    package_demo.locator("#file").set_input_files(face[1])
    package_demo.locator("#drawn").wait_for(state="hidden")


def test_a_film_that_begins_again_shows_no_error_and_adds_no_rows(package_demo: Any, tmp_path: Path) -> None:
    write_film(tmp_path / "short.webm", [draw_face(label, 3, (240, 320))[0] for label in KOREAN[:6]])
    package_demo.evaluate(
        """() => {
          window.problems = [];
          new MutationObserver(() => problems.push(document.getElementById('problem').textContent))
            .observe(document.getElementById('problem'), { childList: true, attributes: true });
          window.turns = 0;
          document.getElementById('video').addEventListener('seeked', () => (window.turns += 1));
        }"""
    )
    package_demo.locator("#file").set_input_files(tmp_path / "short.webm")
    package_demo.wait_for_function("() => window.turns >= 2")
    package_demo.locator("#faces .face").wait_for()
    rows = saved(package_demo, tmp_path / "first.csv")
    package_demo.wait_for_function("() => window.turns >= 4")
    assert saved(package_demo, tmp_path / "later.csv").equals(rows)
    assert rows["time_s"].is_sorted()
    assert 0 < len(rows) <= 6
    assert not any(package_demo.evaluate("() => window.problems"))


def test_a_film_without_a_frame_for_a_moment_keeps_the_message_before(package_demo: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    package_demo.get_by_role("button", name="그린 얼굴 영상").click()
    package_demo.locator("#faces .face").first.wait_for()
    package_demo.locator("#file").set_input_files(tmp_path / "notes.txt")
    package_demo.get_by_text("사진으로 열 수 없습니다").wait_for()
    refused = package_demo.evaluate(
        """async () => {
          const problem = document.getElementById('problem');
          const before = problem.textContent;
          let changes = 0;
          new MutationObserver(() => (changes += 1)).observe(problem, { childList: true, attributes: true });
          const { analyze } = api;
          let refused = 0;
          api.analyze = (...given) => analyze.apply(api, given).catch((error) => { refused += 1; throw error; });
          const later = () => new Promise((resolve) => setTimeout(resolve, 50));
          Object.defineProperty(video, 'readyState', { value: 1, configurable: true });
          while (refused < 2) await later();
          delete video.readyState;
          const rows = document.getElementById('rows').textContent;
          while (document.getElementById('rows').textContent === rows) await later();
          return [changes, problem.textContent === before];
        }"""
    )
    assert refused == [0, True]


@pytest.mark.slow  # on a busy machine the film and face-api.js may not keep up
def test_face_api_is_asked_about_the_same_frame(package_demo: Any, tmp_path: Path) -> None:
    shades = [np.full((240, 320, 3), 20 * number, np.uint8) for number in range(12)]
    write_film(tmp_path / "shades.webm", shades)
    package_demo.locator("#file").set_input_files(tmp_path / "shades.webm")
    package_demo.locator("#answer", has_text="얼굴을 찾지 못했습니다").wait_for()
    held, asked = package_demo.evaluate(
        """async () => {
          const { hold } = await import('./stage.js');
          const asked = [];
          const shown = { element: video, kind: 'film' };
          const canvas = hold(shown);
          const shade = () => canvas.getContext('2d').getImageData(100, 100, 1, 1).data[0];
          const before = shade();
          const { currentTime } = video;
          const until = async (holds) => {
            for (let turn = 0; !holds(); turn++) {
              if (turn > 1000) throw new Error(`waited for ${holds}; ${asked}; ${problem.textContent}`);
              await new Promise((resolve) => setTimeout(resolve, 20));
            }
          };
          await until(() => Math.abs(video.currentTime - currentTime) > video.duration / 4);
          const stays = shade() === before;
          hold(shown);
          const held = [stays, Math.abs(shade() - before) > 10];
          const { analyze } = api;
          api.analyze = (source, ...more) => {
            asked.push(source.localName);
            return analyze.call(api, source, ...more);
          };
          await until(() => asked.at(-1) === 'video');
          document.getElementById('rival').click();
          await until(() => asked.at(-1) === 'canvas');
          return [held, [...new Set(asked)]];
        }"""
    )
    assert held == [True, True]
    assert asked == ["video", "canvas"]


@pytest.mark.parametrize("threshold", [None, "1.0"])
def test_an_unsure_answer_is_shown_as_such(
    threshold: str | None, tab: Any, site: Any, model_writer: Any, tmp_path: Path
) -> None:
    model_writer(tmp_path / "own.onnx", metadata=FACTS | ({"unsure_below": threshold} if threshold else {}))
    (tmp_path / "classes.json").write_text(json.dumps({"classes": KOREAN}), encoding="utf-8")
    draw_group(480, 480, people=1).save(tmp_path / "one.png")
    page = tab.page
    with demo_served(site.root, tmp_path) as origin:
        page.goto(origin + DEMO)
        page.locator("#file").set_input_files(tmp_path / "one.png")
        page.locator("#faces .face").wait_for()
        best = max(bars_of(page).items(), key=lambda item: item[1])[0]
        box = page.locator("#faces .face")
        if threshold:
            assert page.locator("#answer").inner_text().startswith(f"잘 모르겠어요 아마 {best}")
            assert box.inner_text() == "잘 모르겠어요"
        else:
            assert page.locator("#answer").inner_text().startswith(best)
            assert box.inner_text().startswith(best)
        assert page.locator("#answer.unsure").count() == page.locator("#faces .face.unsure").count() == bool(threshold)
        assert saved(page, tmp_path / "saved.csv")["unsure"].to_list() == [bool(threshold)]
        page.locator("#truths button", has_text=best).click()
        score = "pyojeong 0 / 1 맞음 (잘 모르겠어요 1)" if threshold else "pyojeong 1 / 1 맞음"
        assert page.locator("#score").inner_text() == score
        page.goto("about:blank")


def test_the_visitor_says_who_was_right(package_demo: Any) -> None:
    page = package_demo
    page.get_by_role("button", name="그린 얼굴 사진").click()
    truth = page.locator("#truths")
    truth.get_by_role("button", name="기쁨").click()
    assert page.locator("#score").inner_text() == "pyojeong 1 / 1 맞음"
    # Another word for the same picture corrects the first one.
    truth.get_by_role("button", name="슬픔").click()
    assert page.locator("#score").inner_text() == "pyojeong 0 / 1 맞음"
    assert truth.locator("[aria-pressed=true]").all_inner_texts() == ["슬픔"]
    page.get_by_label("face-api.js와 비교").check()
    page.locator("#rival-figures", has_text="같은 답").wait_for(timeout=60_000)
    rival = page.locator("#rival-answer").inner_text().split()[0]
    assert f"같은 답 {int(rival == '기쁨')} / 1" in page.locator("#rival-figures").inner_text()
    truth.get_by_role("button", name="기쁨").click()
    assert page.locator("#score").inner_text() == f"pyojeong 1 / 1 맞음 · face-api.js {int(rival == '기쁨')} / 1 맞음"
    page.get_by_role("button", name="하나 취소").click()
    assert page.locator("#score").inner_text() == ""
    assert page.evaluate("() => document.activeElement.parentElement.id") == "truths"


def test_scores_count_the_unsure_and_the_missed_as_not_right(page: Any) -> None:
    ours, rival = page.evaluate(
        """async () => {
          const { scoresOf } = await import('/web/demo/verdicts.js');
          const say = (label, truth, rival, unsure = false) => (
            { answer: { reading: null, label, unsure, rival }, truth });
          const { ours, rival } = scoresOf([say('a', 'a', 'happy'), say('a', 'b', 'sad'), say('a', 'a', null),
            say('a', 'a', undefined), say('a', 'a', 'happy', true), say('c', 'c', 'happy')], { a: 'happy', b: 'sad' });
          return [ours, rival];
        }"""
    )
    assert ours == {"right": 4, "all": 6, "unsure": 1}
    assert rival == {"right": 3, "all": 4, "unsure": 0}


@pytest.mark.parametrize("language", ["ko", "en"])
def test_everything_fits_a_small_phone(language: str, tab: Any, package_origin: str) -> None:
    page = tab.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{package_origin}{DEMO}?lang={language}")
    page.wait_for_function("() => window.api")
    page.locator("#sample-film").click()
    page.locator("#rival").check()
    page.locator("#rival-bars .top").wait_for(timeout=60_000)
    page.locator("#truths button").first.click()
    assert page.locator("#score").inner_text()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360


def test_the_samples_show_what_the_page_says_of_them() -> None:
    table = analyze([REPOSITORY / "web/demo/sample.jpg"]).to_polars()
    assert table.sort("minX")["label"].to_list() == ["happy", "surprised", "sad"]
