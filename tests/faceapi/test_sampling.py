import base64
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pyojeong.core.images import Pixels, decode_reduced
from pyojeong.core.npm import find_package
from pyojeong.faceapi.detector import LIBRARIES
from pyojeong.faceapi.engines import REFEREE
from pyojeong.faceapi.sampling import Raster, Samples, as_raster, round_half_up, sample
from pyojeong.faceapi.weights import PACKAGE
from tests.faceapi.faces import jpeg, portrait

SHAPES = [(640, 480), (480, 640), (1, 1), (1, 200), (47, 33), (111, 113), (416, 416), (112, 112), (1503, 1001)]


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(height * 10007 + width).integers(0, 256, (height, width, 3), np.uint8)


def by_definition(image: Pixels, size: int, precision: type[np.floating], *, centered: bool) -> Samples:
    """Sample by the definition, pixel by pixel on a padded copy."""
    height, width = image.shape[:2]
    side = max(height, width)
    gap = side - min(height, width)
    before = gap - round_half_up(gap / 2) if centered else 0
    top, left = (before, 0) if width > height else (0, before)
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + height, left : left + width] = image
    square = square.astype(precision)
    out = np.zeros((size, size, 3), np.float32)
    ratio = precision(side) / precision(size)
    for i in range(size):
        for j in range(size):
            y, x = precision(i) * ratio, precision(j) * ratio
            y0, x0 = int(np.floor(y)), int(np.floor(x))
            y1, x1 = min(int(np.ceil(y)), side - 1), min(int(np.ceil(x)), side - 1)
            upper = square[y0, x0] + (square[y0, x1] - square[y0, x0]) * precision(x - x0)
            lower = square[y1, x0] + (square[y1, x1] - square[y1, x0]) * precision(x - x0)
            out[i, j] = upper + (lower - upper) * precision(y - y0)
    return out


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (31, 30), (1, 1), (1, 17), (64, 64)])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("centered", [True, False])
def test_samples_equal_the_definition(shape, precision, centered):
    image = noise(*shape)
    region = (0, 0, shape[1], shape[0])
    expected = by_definition(image, 32, precision, centered=centered)
    assert np.array_equal(sample(as_raster(image), region, 32, precision, centered=centered), expected)


def test_a_region_is_sampled_like_an_image_of_its_own():
    image = noise(90, 70)
    part = image[20:61, 10:37].copy()
    inside = sample(as_raster(image), (10, 20, 27, 41), 112, np.float32, centered=True)
    assert np.array_equal(inside, sample(as_raster(part), (0, 0, 27, 41), 112, np.float32, centered=True))


@pytest.mark.parametrize("library", LIBRARIES)
def test_samples_equal_the_library_s_bit_for_bit(library):
    modules = find_package(PACKAGE).parents[2]
    requests = [
        {"width": width, "height": height, "size": size, "centered": centered}
        for height, width in SHAPES
        for size, centered in ((112, True), (416, False), (160, False))
    ]
    lines = [
        json.dumps({**each, "pixels": base64.b64encode(noise(each["height"], each["width"]).tobytes()).decode()})
        for each in requests
    ]
    script = Path(__file__).with_name("batch.mjs")
    command = ["node", str(script), str(modules), str(REFEREE.with_name("libraries.mjs")), library]
    answer = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    answers = answer.stdout.splitlines()
    assert len(answers) == len(requests)
    precision = np.float32 if library == "vladmandic" else np.float64
    for each, line in zip(requests, answers, strict=True):
        theirs = np.frombuffer(base64.b64decode(json.loads(line)), np.float32).reshape(each["size"], each["size"], 3)
        image = noise(each["height"], each["width"])
        region = (0, 0, each["width"], each["height"])
        ours = sample(as_raster(image), region, each["size"], precision, centered=bool(each["centered"]))
        assert np.array_equal(ours, theirs), each


def test_a_reduced_image_gives_nearly_the_same_samples():
    pixels, _ = portrait(0, (1600, 1200))
    for orientation in (1, 6, 3):
        data = jpeg(pixels, orientation)
        full, reduced = decode_reduced(data, None), decode_reduced(data, (400, 400))
        assert reduced.divisor > 1
        height, width = full.pixels.shape[:2]
        raster = Raster(reduced.pixels, width, height, *reduced[1:])
        region = (width // 3, height // 4, 701, 503)
        exact = sample(as_raster(full.pixels), region, 112, np.float32, centered=True)
        near = sample(raster, region, 112, np.float32, centered=True)
        # A shift by one sample would change the values four times as much as the smoothing.
        shifted = np.abs(exact[:, 1:] - near[:, :-1]).mean()
        assert np.abs(exact - near).mean() < min(4, shifted / 2)
        assert (near[:15] == 0).all()
        assert (near[17:95].max(axis=(1, 2)) > 0).all()


def test_rounding_is_that_of_javascript():
    assert [round_half_up(value) for value in (-0.5, 0.5, 1.5, 2.5, 2.4999)] == [0, 1, 2, 3, 2]
