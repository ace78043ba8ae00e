"""Draws the demo page's sample picture and film, and takes the README's screenshots of the page.

    python scripts/demo_pictures.py samples       # web/demo/sample.jpg and sample.webm
    python scripts/demo_pictures.py screenshots   # docs/images/demo.png and demo.ko.png; needs Chromium

All faces are drawn. The people are those of the synthetic data set whose expressions the package's model reads as they
are meant, so the pictures show what the page does and say nothing about accuracy.
"""

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import fields
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from pyojeong.core.files import whole_file
from pyojeong.demo.files import DEMO
from pyojeong.demo.server import make_server
from pyojeong.sample.drawing import Expression, Pose, draw_photo, random_expression, random_person

ROOT = Path(__file__).resolve().parents[1]
PICTURE, FILM = ROOT / "web/demo/sample.jpg", ROOT / "web/demo/sample.webm"
SCREENSHOTS = {"en": ROOT / "docs/images/demo.png", "ko": ROOT / "docs/images/demo.ko.png"}

SIZE = (320, 400)
"""Width and height of one person's part of the picture, in pixels."""

STILL = ((1, "기쁨"), (11, "당황"), (7, "슬픔"))
"""Seed and label of each person of the picture."""

COURSES = (
    (1, ("중립", "기쁨", "기쁨", "중립", "당황", "당황", "슬픔")),
    (7, ("중립", "중립", "슬픔", "슬픔", "기쁨", "기쁨", "당황")),
)
"""Seed and labels of each person of the film; it ends as it begins."""

HOLD, TURN, RATE = 18, 9, 15
"""Frames for which an expression is held and in which it changes, and frames a second."""

MOMENT = (2.4, 3.2)
"""Seconds of the film between which the page is photographed: both people hold an expression."""

Pixels = npt.NDArray[np.uint8]


def person_in(seed: int, expression: Expression, pose: Pose) -> Pixels:
    """Draw the person of a seed; background, light and noise are the same for each expression."""
    person = random_person(np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    pixels, _ = draw_photo(person, expression, size=SIZE, pose=pose, outdoors=False, rng=rng)
    return pixels


def expression_of(label: str, seed: int) -> Expression:
    """Return the expression of a label that the person of a seed has."""
    return random_expression({label: 1.0}, np.random.default_rng(seed))


def between(one: Expression, other: Expression, share: float) -> Expression:
    """Return the expression at a share (0..1) of the way from one to another, slow at both ends."""
    eased = share * share * (3 - 2 * share)
    values = {
        field.name: (1 - eased) * getattr(one, field.name) + eased * getattr(other, field.name)
        for field in fields(Expression)
    }
    return Expression(**values)


def pose_at(number: int, frames: int, seed: int) -> Pose:
    """Return a pose in the middle, with the small movements of a head held still."""
    turn = 2 * np.pi * number / frames
    return Pose(
        SIZE[0] / 2 + 4 * np.sin(turn * 2 + seed),
        SIZE[1] * 0.47 + 3 * np.sin(turn * 3 + seed),
        SIZE[0] / 3.1,
        0.05 * np.sin(turn + seed),
        0.06 * np.sin(2 * turn + seed),
        0.0,
    )


def course(seed: int, labels: Sequence[str]) -> Iterator[Pixels]:
    """Yield the frames of one person."""
    stops = [expression_of(label, seed) for label in (*labels, labels[0])]
    total = len(labels) * (HOLD + TURN)
    number = 0
    for one, other in pairwise(stops):
        for step in range(HOLD + TURN):
            share = max(0, step - HOLD + 1) / TURN
            yield person_in(seed, between(one, other, share), pose_at(number, total, seed))
            number += 1


def draw_still() -> Pixels:
    """Draw the people of the picture side by side."""
    still = [person_in(seed, expression_of(label, seed), pose_at(0, 1, seed)) for seed, label in STILL]
    return np.concatenate(still, axis=1)


def write_samples() -> None:
    """Write picture and film; the film takes half a minute."""
    with whole_file(PICTURE) as file:
        Image.fromarray(draw_still()).save(file, "JPEG", quality=82, optimize=True)
    frames = zip(*(course(seed, labels) for seed, labels in COURSES), strict=True)
    with whole_file(FILM) as file, av.open(file, "w", format="webm") as film:
        stream = film.add_stream("libvpx-vp9", rate=RATE, options={"crf": "38", "b": "0", "row-mt": "0"})
        stream.width, stream.height, stream.pix_fmt = len(COURSES) * SIZE[0], SIZE[1], "yuv420p"
        for number, people in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.concatenate(people, axis=1), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            film.mux(stream.encode(picture))
        film.mux(stream.encode())


def take_screenshots() -> None:
    """Show the sample film for as long as the timeline reaches, and take a picture in each language."""
    from playwright.sync_api import sync_playwright

    from tests.browser.chromium import find_chromium

    path = find_chromium()
    if path is None:
        raise SystemExit("there is no Chromium; set PYOJEONG_CHROMIUM to its path")
    with (
        tempfile.TemporaryDirectory() as workspace,
        make_server(Path(workspace), 0) as server,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium = playwright.chromium.launch(executable_path=path)
        page = chromium.new_page(viewport={"width": 1100, "height": 900}, locale="en")
        page.goto(f"http://127.0.0.1:{server.server_port}{DEMO}")
        page.wait_for_function("() => window.api")
        page.locator("#sample-film").click()
        page.wait_for_timeout(31_000)
        for language, target in SCREENSHOTS.items():
            page.locator(f"#languages [value={language}]").click()
            page.wait_for_function(
                """([from, to]) => {
                  const { currentTime } = document.getElementById('video');
                  return from < currentTime && currentTime < to;
                }""",
                arg=MOMENT,
            )
            page.evaluate("() => document.activeElement.blur()")
            picture = Image.open(BytesIO(page.screenshot(full_page=True))).convert("RGB")
            with whole_file(target) as file:
                # 256 colors are enough for a page, and make a third of the bytes.
                picture.quantize(256).save(file, "PNG", optimize=True)
        chromium.close()
        server.shutdown()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("samples", "screenshots"))
    if parser.parse_args().what == "samples":
        write_samples()
    else:
        take_screenshots()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
