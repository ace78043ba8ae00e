"""Pictures for detectors: crowds and tilted faces made of photographs, and pictures without a face."""

import io
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from pyojeong.core.images import Pixels

GRIDS = ((4, 3), (5, 4), (6, 4), (7, 5), (8, 6), (16, 10))
"""Columns and rows of the crowds, in a picture of ``WIDTH`` pixels."""

WIDTH = 4000
ANGLES = (-45, -30, -15, 0, 15, 30, 45)
"""Degrees counterclockwise."""

Levels = NDArray[np.float64]


def as_jpeg(image: Image.Image, quality: int) -> Pixels:
    """Return the picture as it comes back from a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def crowd(faces: list[Image.Image], columns: int, rows: int) -> Pixels:
    """Return a sheet of ``columns`` x ``rows`` photographs in turn, each as large as its cell allows."""
    cell = WIDTH // columns
    sheet = Image.new("RGB", (WIDTH, cell * rows), (150, 160, 150))
    for place in range(columns * rows):
        row, column = divmod(place, columns)
        sheet.paste(ImageOps.contain(faces[place % len(faces)], (cell, cell)), (column * cell, row * cell))
    return as_jpeg(sheet, 85)


def tilted(face: Image.Image, degrees: int) -> Pixels:
    """Return a photograph turned counterclockwise, in a frame that holds it all."""
    return as_jpeg(face.rotate(degrees, Image.Resampling.BICUBIC, expand=True), 90)


def textures(count: int, seed: int = 1) -> Iterator[tuple[str, Pixels]]:
    """Name and pixels of ``count`` pictures without a face, each kind in turn, of 200 to 1,400 pixels a side."""
    dice = np.random.default_rng(seed)
    for number in range(count):
        name = [*TEXTURES][number % len(TEXTURES)]
        height, width = (int(side) for side in dice.integers(200, 1400, 2))
        levels = TEXTURES[name](dice, height, width)
        yield name, np.clip(levels, 0, 255).astype(np.uint8)


def _noise(dice: np.random.Generator, height: int, width: int) -> Levels:
    return dice.integers(0, 256, (height, width, 3)).astype(float)


def _coarse_noise(dice: np.random.Generator, height: int, width: int) -> Levels:
    cell = int(dice.integers(2, 60))
    small = dice.integers(0, 256, (height // cell + 1, width // cell + 1, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), float)


def _plain(dice: np.random.Generator, height: int, width: int) -> Levels:
    return np.full((height, width, 3), dice.integers(0, 256, 3), float)


def _waves(dice: np.random.Generator, height: int, width: int) -> Levels:
    y, x = np.mgrid[:height, :width]
    a, b, c, d = dice.uniform(0.005, 0.2, 4)
    return np.repeat((127 + 60 * np.sin(a * x + b * y) + 60 * np.sin(c * x - d * y))[..., None], 3, 2)


def _shapes(dice: np.random.Generator, height: int, width: int) -> Levels:
    def color() -> tuple[int, int, int]:
        red, green, blue = (int(level) for level in dice.integers(0, 256, 3))
        return red, green, blue

    image = Image.new("RGB", (width, height), color())
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = int(dice.integers(width)), int(dice.integers(height))
        place = (x, y, x + int(dice.integers(5, 200)), y + int(dice.integers(5, 200)))
        (draw.ellipse if dice.random() < 0.5 else draw.rectangle)(place, fill=color())
    return np.asarray(image, float)


def _pink_noise(dice: np.random.Generator, height: int, width: int) -> Levels:
    """Amplitudes fall with the frequency, as those of photographs do."""
    spectrum = np.fft.fft2(dice.normal(size=(256, 256, 3)), axes=(0, 1))
    lines = np.fft.fftfreq(256)
    frequency = np.hypot(lines[:, None], lines)
    frequency[0, 0] = 1
    waves = np.fft.ifft2(spectrum / frequency[..., None] ** dice.uniform(0.8, 1.6), axes=(0, 1)).real
    levels = (waves - waves.mean()) / waves.std() * 50 + 127
    small = Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), float)


def _checkers(dice: np.random.Generator, height: int, width: int) -> Levels:
    y, x = np.mgrid[:height, :width] // int(dice.integers(4, 80))
    return np.repeat(((x + y) % 2 * 255.0)[..., None], 3, 2)


def _gradients(dice: np.random.Generator, height: int, width: int) -> Levels:
    y, x = np.mgrid[:height, :width]
    ends = dice.uniform(0, 255, (3, 3))
    levels: Levels = ends[0] + x[..., None] / width * (ends[1] - ends[0]) + y[..., None] / height * ends[2] / 2
    return levels


TEXTURES: dict[str, Callable[[np.random.Generator, int, int], Levels]] = {
    "noise": _noise,
    "coarse noise": _coarse_noise,
    "plain": _plain,
    "waves": _waves,
    "shapes": _shapes,
    "1/f noise": _pink_noise,
    "checkers": _checkers,
    "gradients": _gradients,
}
