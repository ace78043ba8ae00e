"""EmotionAPI answers what Python answers: every box, source and framing."""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyojeong.core import geometry
from pyojeong.core.labels import KOREAN
from tests.browser.conftest import FACTS, FRAMING, Oracle
from tests.browser.pages import EMOTION_API

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 320, 240
BOXES: dict[str, tuple[float, float, float, float] | None] = {
    "whole": None,
    "inside": (100, 60, 90, 120),
    "fractions": (100.5, 60.25, 89.3, 120.7),
    "left": (-30.2, 60, 90, 120),
    "top": (100, -40.7, 90, 70),
    "right": (280, 60, 90, 120.5),
    "bottom": (100, 200, 60, 90),
    "corner": (250, 180, 200, 200),
    "tiny": (160, 120, 1, 2),
    "smaller than a pixel": (160.4, 120.4, 0.2, 0.2),
    "huge": (-200, -200, 700, 650),
}

PRELUDE = EMOTION_API


def largest_difference(first: dict[str, float], second: dict[str, float]) -> float:
    assert list(first) == list(second)
    return max(abs(first[name] - second[name]) for name in first)


@pytest.mark.parametrize("aspect", [1, 0.5, 0.76, 2])
def test_patches_have_the_pixels_that_python_cuts(aspect: float, page: Any, site: Any, painter: Any) -> None:
    image = painter(WIDTH, HEIGHT, seed=2)
    boxes = [box for box in BOXES.values() if box]
    found = page.evaluate(
        """async ({ address, boxes, aspect }) => {
          const { cut } = await import('/web/patch.js');
          const { PixelReader } = await import('/web/source.js');
          const framing = { margin: 0.15, offset: -0.1, aspect, boxKind: 'annotator' };
          const reader = new PixelReader();
          const img = await picture(address);
          const frame = reader.frame(img);
          const hash = async ({ data, width, height }) => {
            const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
            return [width, height, [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')];
          };
          const code = async (make) => { try { return await hash(make()); } catch (error) { return error.code; } };
          return Promise.all(boxes.map(boxOf).map(async (box) =>
            [await code(() => reader.patch(img, box, framing)), await code(() => cut(frame, box, framing))]));
        }""",
        {"address": site.put("pixels.png", image), "boxes": boxes, "aspect": aspect},
    )
    pixels = np.asarray(image)
    for (x, y, width, height), (read, cut) in zip(boxes, found, strict=True):
        region = geometry.patch_region((x, y, x + width, y + height), 0.15, -0.1, aspect)
        if not geometry.has_patch(region, WIDTH, HEIGHT):
            assert (read, cut) == ("bad_box", "bad_box")
            continue
        # Outside, a canvas reads opaque black, and a cut leaves zeros; the graph ignores alpha.
        opaque = geometry.cut(np.dstack([pixels, np.full((HEIGHT, WIDTH), 255, np.uint8)]), region).copy()
        assert cut == [*region[2:], hashlib.sha256(opaque.tobytes()).hexdigest()]
        opaque[..., 3] = 255
        assert read == [*region[2:], hashlib.sha256(opaque.tobytes()).hexdigest()]


@pytest.mark.parametrize("name", ["lossless.png", "lossless.webp", "photo.jpg"])
def test_browser_and_python_agree_on_every_box(
    name: str, tab: Any, page: Any, site: Any, oracle: Any, painter: Any
) -> None:
    options = {"quality": 90} if name.endswith("jpg") else {"lossless": True} if name.endswith("webp") else {}
    address = site.put(name, painter(WIDTH, HEIGHT), **options)
    answers = page.evaluate(
        """async ({ address, boxes }) => {
          const api = makeApi();
          await api.init();
          const img = await picture(address);
          const answers = {};
          for (const [name, box] of Object.entries(boxes))
            answers[name] = await api.predictFromImage(img, boxOf(box));
          return answers;
        }""",
        {"address": address, "boxes": BOXES},
    )
    with Image.open(site.root / address[1:]) as image:
        expected = {name: oracle(image, box) for name, box in BOXES.items()}
    # Two decoders may round a JPEG's colors differently; lossless pixels are equal.
    tolerance = 0.02 if name.endswith("jpg") else 1e-4
    for box in BOXES:
        assert largest_difference(answers[box], expected[box]) <= tolerance, box
        assert math.isclose(sum(answers[box].values()), 1, abs_tol=1e-5)
    # The picture is such that a box in the wrong place would have been seen.
    best = {max(answer, key=answer.__getitem__) for answer in expected.values()}
    assert len(best) > 2
    tab.assert_clean(site.origin)


def test_a_shift_by_one_pixel_would_be_seen(oracle: Any, painter: Any) -> None:
    image = painter(WIDTH, HEIGHT)
    assert largest_difference(oracle(image, (100, 60, 90, 120)), oracle(image, (101, 60, 90, 120))) > 1e-3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_in_the_upright_frame_for_every_exif_orientation(
    orientation: int, page: Any, site: Any, oracle: Any, painter: Any
) -> None:
    upright = painter(WIDTH, HEIGHT, seed=3)
    undo = [None, 0, 3, 1, 5, 2, 6, 4][orientation - 1]  # the transposition that the viewer's turn takes back
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    address = site.put(f"turned{orientation}.png", stored, exif=exif)
    answers = page.evaluate(
        """async ({ address, box }) => {
          const api = makeApi();
          await api.init();
          const img = await picture(address);
          const bitmap = await createImageBitmap(img);
          return [await api.predictFromImage(img, boxOf(box)), await api.predictFromImage(bitmap, boxOf(box))];
        }""",
        {"address": address, "box": BOXES["inside"]},
    )
    for answer in answers:
        assert largest_difference(answer, oracle(upright, BOXES["inside"])) <= 1e-4


def test_every_kind_of_source_gives_the_same_answer(page: Any, site: Any, oracle: Any, painter: Any) -> None:
    image = painter(WIDTH, HEIGHT, seed=5)
    address = site.put("source.png", image)
    doubled = site.put("doubled.png", image.resize((2 * WIDTH, 2 * HEIGHT), Image.Resampling.NEAREST))
    answers = page.evaluate(
        """async ({ address, doubled, box }) => {
          const api = makeApi();
          await api.init();
          const img = await picture(address);
          const canvas = Object.assign(document.createElement('canvas'), { width: img.width, height: img.height });
          const context = canvas.getContext('2d');
          context.drawImage(img, 0, 0);
          const offscreen = new OffscreenCanvas(img.width, img.height);
          offscreen.getContext('2d').drawImage(img, 0, 0);
          const coming = (name) => Object.assign(new Image(), { src: `${address}?${name}` });
          const late = coming('late');
          const lazy = new Image();
          lazy.loading = 'lazy';
          lazy.src = address + '?lazy';
          const frame = new VideoFrame(canvas, { timestamp: 0 });
          const dense = new Image();
          dense.srcset = doubled + ' 2x';
          await dense.decode();
          if (dense.naturalWidth !== img.width) throw new Error('not as dense as it says');
          const at = boxOf(box);
          const answers = {
            image: await api.predictFromImage(img, at),
            late: await api.predictFromImage(late, at),
            lateVideo: await api.predictFromVideo(coming('video'), at),
            lateCanvas: await api.predictFromCanvas(coming('canvas'), at),
            lazy: await api.predictFromImage(lazy, at),
            canvas: await api.predictFromCanvas(canvas, at),
            offscreen: await api.predictFromCanvas(offscreen, at),
            bitmap: await api.predictFromImage(await createImageBitmap(img), at),
            data: await api.predictFromImage(context.getImageData(0, 0, img.width, img.height), at),
            frame: await api.predictFromVideo(frame, at),
            dense: await api.predictFromImage(dense, at),
          };
          frame.close();
          return answers;
        }""",
        {"address": address, "doubled": doubled, "box": BOXES["left"]},
    )
    expected = oracle(image, BOXES["left"])
    late = ("late", "lateVideo", "lateCanvas")
    assert {name: largest_difference(answer, expected) <= 1e-4 for name, answer in answers.items()} == dict.fromkeys(
        ("image", *late, "lazy", "canvas", "offscreen", "bitmap", "data", "frame", "dense"), True
    )


def test_a_canvas_is_read_before_the_page_draws_on(page: Any) -> None:
    before, after = page.evaluate(
        """async () => {
          const api = makeApi();
          await api.init();
          const canvas = new OffscreenCanvas(32, 32);
          const context = canvas.getContext('2d');
          const before = [];
          for (const method of ['predictFromImage', 'predictFromVideo', 'predictFromCanvas']) {
            context.clearRect(0, 0, 32, 32);
            const asked = api[method](canvas);
            context.fillStyle = 'white';
            context.fillRect(0, 0, 32, 32);
            before.push(await asked);
          }
          return [before, await api.predictFromCanvas(canvas)];
        }"""
    )
    assert before == [before[0]] * 3
    assert largest_difference(before[0], after) > 1e-3


def test_a_video_gives_the_frame_that_it_shows(page: Any, site: Any, painter: Any) -> None:
    address = site.put("frame.png", painter(WIDTH, HEIGHT, seed=6))
    shown, drawn = page.evaluate(
        """async ({ address, box }) => {
          const api = makeApi();
          await api.init();
          const img = await picture(address);
          const canvas = Object.assign(document.createElement('canvas'), { width: img.width, height: img.height });
          const context = canvas.getContext('2d');
          const video = document.createElement('video');
          video.muted = true;
          video.srcObject = canvas.captureStream();
          context.drawImage(img, 0, 0);
          await video.play();
          const copy = new OffscreenCanvas(video.videoWidth, video.videoHeight);
          copy.getContext('2d').drawImage(video, 0, 0);
          return [await api.predictFromVideo(video, boxOf(box)), await api.predictFromCanvas(copy, boxOf(box))];
        }""",
        {"address": address, "box": BOXES["inside"]},
    )
    assert largest_difference(shown, drawn) <= 1e-4


def test_what_is_transparent_lies_on_black(page: Any, site: Any, oracle: Any, painter: Any) -> None:
    image = painter(WIDTH, HEIGHT, seed=8).convert("RGBA")
    cutout = Image.new("L", image.size, 0)
    cutout.paste(90, (60, 30, 260, 210))
    cutout.paste(255, (100, 50, 220, 190))
    image.putalpha(cutout)
    answer = page.evaluate(
        """async (address) => {
          const api = makeApi();
          await api.init();
          return api.predictFromImage(await picture(address));
        }""",
        site.put("cutout.png", image),
    )
    on_black = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    # Blending rounds a level up or down.
    assert largest_difference(answer, oracle(on_black, None)) <= 5e-3


def test_names_come_in_class_order_and_are_never_changed(page: Any) -> None:
    keys, again, remap, info = page.evaluate(
        """async () => {
          const api = makeApi();
          const before = api.outputKeys.length;
          await Promise.all([api.init(), api.init()]);
          await api.init();
          const answer = await api.predictFromImage(new ImageData(4, 4));
          return [Object.keys(answer), [...api.outputKeys].slice(before), api.remap, api.info()];
        }"""
    )
    assert tuple(keys) == tuple(again) == KOREAN
    assert remap is None
    assert info["provider"] == "wasm"
    assert info["threads"] == 1
    assert "isolated" in info["threadsWhy"]
    assert info["scheme"] == "K7"
    assert info["margin"] == geometry.MARGIN
    assert info["aspect"] == 1, "as of all models that do not say"
    assert info["synthetic"] is False


def test_the_model_is_enough_without_classes_json_and_the_other_way_round(
    page: Any, site: Any, model_writer: Callable[..., None]
) -> None:
    model_writer(site.root / "models/bare.onnx", metadata=FRAMING)
    keys = page.evaluate(
        """async () => {
          const named = makeApi({ classesUrl: undefined });
          const bare = makeApi({ modelUrl: '/models/bare.onnx' });
          await named.init();
          await bare.init();
          return [named.outputKeys, bare.outputKeys];
        }"""
    )
    assert keys == [list(KOREAN), list(KOREAN)]


@pytest.mark.parametrize(
    "framing",
    [
        {"box_kind": "annotator", "margin": "0.15", "offset": "0.0"},
        {"box_kind": "detector", "margin": "-0.1", "offset": "-0.1", "aspect": "1.0"},
        {"box_kind": "detector", "margin": "0.2", "offset": "0.3", "aspect": "0.5"},
        {"box_kind": "detector", "margin": "-0.1", "offset": "-0.06", "aspect": "0.76"},
        {"box_kind": "annotator", "margin": "0.15", "offset": "0.1", "aspect": "2.0"},
    ],
)
def test_the_crop_is_the_model_s_for_every_kind_of_box(
    framing: dict[str, str], page: Any, site: Any, painter: Any, model_writer: Callable[..., None]
) -> None:
    model_writer(site.root / "models/framed.onnx", metadata=FACTS | framing)
    image = painter(WIDTH, HEIGHT, seed=11)
    # The huge box's patch, moved and widened, would be refused.
    boxes = [box for name, box in BOXES.items() if box and name != "huge"]
    info, answers = page.evaluate(
        """async ({ address, boxes }) => {
          const api = makeApi({ modelUrl: '/models/framed.onnx' });
          await api.init();
          const img = await picture(address);
          const { boxKind, margin, offset, aspect } = api.info();
          const answers = [];
          for (const one of boxes.map(boxOf)) {
            answers.push([await api.predictFromImage(img, one, {}),
              await api.predictFromCanvas(img, one, { boxKind: 'annotator' }),
              await api.predictFromVideo(img, one, { boxKind: 'detector' })]);
          }
          return [{ boxKind, margin, offset, aspect }, answers];
        }""",
        {"address": site.put("framed.png", image), "boxes": boxes},
    )
    numbers = {name: float(framing.get(name, "1")) for name in ("margin", "offset", "aspect")}
    assert info == {"boxKind": framing["box_kind"], **numbers}
    oracle = Oracle(site.root / "models/framed.onnx")
    for box, (plain, annotated, detected) in zip(boxes, answers, strict=True):
        assert largest_difference(annotated, oracle(image, box, "annotator")) <= 1e-4, box
        assert largest_difference(detected, oracle(image, box, "detector")) <= 1e-4, box
        assert plain == (annotated if framing["box_kind"] == "annotator" else detected)
    # The kinds are so far apart that a mistake would have been seen.
    assert max(largest_difference(one, other) for _, one, other in answers) > 0.02


def test_runtime_and_fetch_can_be_injected(page: Any) -> None:
    asked, same = page.evaluate(
        """async () => {
          const ort = await import('/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs');
          const asked = [];
          const counted = (url, options) => { asked.push(String(url)); return fetch(url, options); };
          const api = makeApi({ ort, fetch: counted });
          await api.init();
          const answer = await api.predictFromImage(new ImageData(4, 4));
          return [asked, Object.keys(answer).length];
        }"""
    )
    assert [url.rsplit("/", 1)[1] for url in asked] == ["k7_mnv3s_160.onnx", "classes.json"]
    assert same == 7


def test_simultaneous_calls_get_their_own_results(page: Any, site: Any, oracle: Any, painter: Any) -> None:
    image = painter(WIDTH, HEIGHT, seed=9)
    boxes = [(x, y, 60.0, 80.0) for x in (0, 90, 200) for y in (0, 60, 150)]
    answers = page.evaluate(
        """async ({ address, boxes }) => {
          const api = makeApi();
          await api.init();
          const img = await picture(address);
          return Promise.all(boxes.map((box) => api.predictFromImage(img, boxOf(box))));
        }""",
        {"address": site.put("at-once.png", image), "boxes": boxes},
    )
    for answer, box in zip(answers, boxes, strict=True):
        assert largest_difference(answer, oracle(image, box)) <= 1e-4


def test_a_page_with_an_import_map_needs_no_path(tab: Any, site: Any) -> None:
    address = "/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs"
    (site.root / "mapped.html").write_text(
        f"""<!doctype html><link rel="icon" href="data:,">
        <script type="importmap">{{"imports": {{"onnxruntime-web/wasm": "{address}"}}}}</script>"""
    )
    tab.page.goto(f"{site.origin}/mapped.html")
    tab.page.evaluate(PRELUDE)
    assert tab.page.evaluate("async () => { const api = makeApi(); await api.init(); return api.outputKeys.length; }")
    tab.assert_clean(site.origin)
    assert any(url.endswith("ort-wasm-simd-threaded.wasm") for url in tab.requests)


def test_pictures_of_several_sizes_agree(page: Any, site: Any, oracle: Any, painter: Any) -> None:
    for width, height in ((1, 1), (3, 500), (160, 160), (1601, 1203)):
        image = painter(width, height, seed=width)
        answer = page.evaluate(
            """async (address) => {
              window.api ??= makeApi();
              await api.init();
              return api.predictFromImage(await picture(address));
            }""",
            site.put(f"size{width}.png", image),
        )
        assert largest_difference(answer, oracle(image, None)) <= 1e-4, (width, height)
