"""Drawn people in a frame, for tests of the detector."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pyojeong.drawing import draw_face
from pyojeong.labels import KOREAN


def draw_group(width: int, height: int, *, people: int, seed: int = 0) -> Image.Image:
    """Draw ``people`` portraits side by side on grey, as large as the frame allows."""
    frame = Image.new("RGB", (width, height), (120, 120, 120))
    column = width // people
    tall = min(height, column * 4 // 3)
    for index in range(people):
        pixels, _ = draw_face(KOREAN[(seed + index) % 7], seed + index, (tall * 3 // 4, tall))
        frame.paste(Image.fromarray(pixels), (index * column, (height - tall) // 2))
    return frame


def pixels_of(image: Image.Image) -> npt.NDArray[Any]:
    return np.asarray(image.convert("RGB"))
