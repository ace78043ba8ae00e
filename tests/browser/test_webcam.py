"""A drawn person before Chromium's fake camera, who turns the head and comes close, is never lost."""

import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Playwright

from pyojeong.core.images import Pixels
from pyojeong.core.labels import KOREAN
from pyojeong.detection.detector import Detector
from pyojeong.sample.drawing import draw_face
from tests.browser.conftest import launched
from tests.browser.faces import write_video

pytestmark = pytest.mark.browser

WIDTH, HEIGHT, FRAMES = 640, 480, 90
NEAR = (0.25, 1.0)
"""Height of the face in heights of the frame, at its farthest and nearest."""

TURN = 40
"""Largest turn of the head in degrees: towards a shoulder, and to the side."""


def scene() -> Iterator[Pixels]:
    """Frames of three seconds at 30 a second."""
    pixels, (min_x, min_y, max_x, max_y) = draw_face(KOREAN[0], 3, (960, 1280))
    person = Image.fromarray(pixels)
    wall = (int(pixels[5, 5, 0]), int(pixels[5, 5, 1]), int(pixels[5, 5, 2]))
    center = np.array([(min_x + max_x) / 2, (min_y + max_y) / 2])
    for number in range(FRAMES):
        time = 2 * math.pi * number / FRAMES
        share = NEAR[0] + (NEAR[1] - NEAR[0]) * (1 - math.cos(time)) / 2
        scale = (max_y - min_y) / (share * HEIGHT)
        tilt = math.radians(TURN * math.sin(3 * time))
        # A drawing has no depth: a head that turns to the side becomes narrower.
        narrow = math.cos(math.radians(TURN * math.sin(2 * time)))
        turn = np.array([[math.cos(tilt), math.sin(tilt)], [-math.sin(tilt), math.cos(tilt)]]) * scale
        turn[0] /= narrow
        place = np.array([WIDTH / 2 + 60 * math.sin(2 * time) * (1 - share), HEIGHT / 2])
        (a, b), (c, d) = turn.tolist()
        left, top = (center - turn @ place).tolist()
        view = person.transform(
            (WIDTH, HEIGHT), Image.Transform.AFFINE, (a, b, left, c, d, top), Image.Resampling.BICUBIC, fillcolor=wall
        )
        yield np.asarray(view)


def longest_gap(seen: list[bool]) -> int:
    return max((len([*group]) for found, group in groupby(seen) if not found), default=0)


def test_every_frame_of_the_scene_has_its_face_in_python() -> None:
    detector = Detector(threads=1)
    counts = [len(detector.detect(frame)) for frame in scene()]

    assert counts == [1] * FRAMES


def test_the_face_is_not_lost_for_more_than_two_frames_of_the_camera(
    playwright: Playwright, site: Any, tmp_path: Path
) -> None:
    write_video(tmp_path / "webcam.y4m", [*scene()], repeat=1)
    with launched(playwright, f"--use-file-for-fake-video-capture={tmp_path / 'webcam.y4m'}") as chromium:
        context = chromium.new_context(permissions=["camera"])
        page = context.new_page()
        page.goto(f"{site.origin}/blank.html")
        faces = page.evaluate(
            """async (count) => {
              const { EmotionAnalyzer } = await import('/web/analyzer.js');
              const models = { modelUrl: '/models/basic7.onnx', detectorUrl: '/models/detector.onnx' };
              const analyzer = new EmotionAnalyzer(models);
              await analyzer.init();
              const video = document.createElement('video');
              video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
              await video.play();
              const faces = [];
              while (faces.length < count) {
                await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
                faces.push((await analyzer.analyze(video)).map(({ box }) => box.width));
              }
              return faces;
            }""",
            60,
        )
        context.close()
    widths = [found[0] for found in faces if found]
    assert longest_gap([len(found) == 1 for found in faces]) <= 2
    # Frames of the whole scene were seen, from far away to close up.
    assert min(widths) < 0.3 * HEIGHT
    assert max(widths) > 0.6 * HEIGHT
