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
    frames.push(await film.analyzeAt(time, image));
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
