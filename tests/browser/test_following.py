"""Faces of a film: searched for every 200 ms and followed in between."""

from typing import Any

import pytest
from PIL import Image

from tests.browser.faces import draw_group

pytestmark = pytest.mark.browser

PRELUDE = "() => {}"

FOLLOWER = """
async () => {
  const { Follower } = await import('/web/following.js');
  const calls = [];
  let lost = false;
  const net = {
    find: async () => (calls.push('find'), [{ box: { x: 0, y: 0, width: 9, height: 9 } }]),
    follow: async (frame, faces) => (calls.push('follow'), lost ? null : faces),
  };
  const follower = new Follower();
  const at = async (time, width = 64) => {
    calls.length = 0;
    await follower.find(net, { width, height: 48 }, time);
    return [...calls];
  };
  const plain = [await at(0), await at(100), await at(199), await at(200), await at(399)];
  lost = true;
  const searched = await at(399);
  lost = false;
  return { plain, searched, after: await at(590), wider: await at(591, 65), back: await at(10, 65) };
}
"""

FILM = """
async ([full, half]) => {
  const { EmotionAnalyzer } = await import('/web/analyzer.js');
  const run = '/models/mobilenetv3_classifier/runs/finetune_K7_160/';
  const models = { modelUrl: run + 'k7_mnv3s_160.onnx', detectorUrl: '/models/detector.onnx' };
  const picture = async (url) => { const img = new Image(); img.src = url; await img.decode(); return img; };
  const [both, one] = [await picture(full), await picture(half)];
  const [still, film] = [new EmotionAnalyzer(models), new EmotionAnalyzer({ ...models, halfLife: 300 })];
  await still.init();
  await film.init();
  const expected = await still.analyze(both);
  const frames = [];
  for (const [time, image] of [[0, one], [100, both], [200, both], [300, both], [340, one]]) {
    frames.push(await film.analyze(image, undefined, { time }));
  }
  return [expected, frames];
}
"""


def test_the_whole_frame_is_searched_every_200_ms_and_where_a_face_is_lost(page: Any) -> None:
    answer = page.evaluate(FOLLOWER)
    assert answer["plain"] == [["find"], ["follow"], ["follow"], ["find"], ["follow"]]
    assert answer["searched"] == ["follow", "find"]
    assert answer["after"] == ["follow"]
    assert answer["wider"] == ["find"], "the boxes belong to frames of another size"
    assert answer["back"] == ["find"], "a film that was wound back"


def test_followed_faces_are_those_of_a_search(page: Any, site: Any) -> None:
    both = draw_group(640, 360, people=2, seed=4)
    half = both.copy()
    half.paste(Image.new("RGB", (320, 360), both.getpixel((0, 0))), (320, 0))
    expected, frames = page.evaluate(FILM, [site.put("film_both.png", both), site.put("film_half.png", half)])
    assert len(expected) == 2
    assert [len(faces) for faces in frames] == [1, 1, 2, 2, 1], (
        "a new face waits for the next search, a lost one does not"
    )
    searched, followed = frames[2], frames[3]
    assert {face["id"] for face in searched} == {face["id"] for face in followed} == {1, 2}
    for face in followed:
        (before,) = [one for one in searched if one["id"] == face["id"]]
        side = before["box"]["width"]
        for name, value in face["box"].items():
            assert value == pytest.approx(before["box"][name], abs=0.05 * side)
        assert face["score"] > 0.75
    for face, one in zip(
        sorted(searched, key=lambda face: face["box"]["x"]),
        sorted(expected, key=lambda face: face["box"]["x"]),
        strict=True,
    ):
        assert face["box"] == one["box"], "a search is that of a still"


def test_a_face_keeps_its_number_when_the_film_changes_its_size(page: Any, site: Any) -> None:
    image = draw_group(640, 360, people=1, seed=4)
    ids = page.evaluate(
        """async (address) => {
          const { EmotionAnalyzer } = await import('/web/analyzer.js');
          const run = '/models/mobilenetv3_classifier/runs/finetune_K7_160/';
          const film = new EmotionAnalyzer({ modelUrl: run + 'k7_mnv3s_160.onnx', detectorUrl: '/models/detector.onnx',
            halfLife: 300 });
          await film.init();
          const img = new Image(); img.src = address; await img.decode();
          const ids = [];
          for (const [time, width] of [[0, 640], [33, 320], [66, 640], [99, 640], [132, 320]]) {
            const canvas = new OffscreenCanvas(width, (width * 9) / 16);
            canvas.getContext('2d').drawImage(img, 0, 0, canvas.width, canvas.height);
            ids.push((await film.analyze(canvas, undefined, { time })).map(({ id }) => id));
          }
          return ids;
        }""",
        site.put("film_size.png", image),
    )
    assert ids == [[1]] * 5


def test_a_face_that_the_close_look_sees_less_clearly_is_followed(page: Any) -> None:
    score, looks = page.evaluate(
        """async () => {
          const { FaceNet } = await import('/web/detector.js');
          // 896 scores of an input of 128 x 128; the one in the middle is .6.
          const scores = new Float32Array(896).fill(-9);
          const boxes = new Float32Array(896 * 16);
          const at = (8 * 16 + 8) * 2;
          scores[at] = Math.log(0.6 / 0.4);
          boxes.set([-4, -4, 64, 64], at * 16);
          let looks = 0;
          const network = { run: async () => (looks++, { scores, boxes }), info: () => ({}), release: async () => {} };
          const net = new FaceNet(network, {}, 0);
          const face = { box: { x: 68, y: 68, width: 64, height: 64 }, score: 0.9, landmarks: {} };
          const [followed] = await net.follow({ data: new Uint8Array(4 * 200 * 200), width: 200, height: 200 }, [face]);
          return [followed.score, looks];
        }"""
    )
    assert (score, looks) == (0.9, 1)
