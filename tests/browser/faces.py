"""Drawn people in a frame, for tests of the detector."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pyojeong.core.labels import KOREAN
from pyojeong.sample.drawing import draw_face


def draw_group(width: int, height: int, *, people: int, seed: int = 0) -> Image.Image:
    """Draw ``people`` portraits side by side on gray, as large as the frame allows."""
    frame = Image.new("RGB", (width, height), (120, 120, 120))
    column = width // people
    tall = min(height, column * 4 // 3)
    for index in range(people):
        pixels, _ = draw_face(KOREAN[(seed + index) % 7], seed + index, (tall * 3 // 4, tall))
        frame.paste(Image.fromarray(pixels), (index * column, (height - tall) // 2))
    return frame


def draw_tight(seed: int, share: float = 0.9) -> npt.NDArray[Any]:
    """Draw a face and cut a square around it, ``share`` of its box: TinyFaceDetector sees none, uint8 [S, S, 3]."""
    pixels, (min_x, min_y, max_x, max_y) = draw_face(KOREAN[seed % 7], seed, (480, 640))
    half = int(max(max_x - min_x, max_y - min_y) * share / 2)
    x, y = int(min_x + max_x) // 2 - half, int(min_y + max_y) // 2 - half
    return pixels[max(y, 0) : y + 2 * half, max(x, 0) : x + 2 * half].copy()


def pixels_of(image: Image.Image) -> npt.NDArray[Any]:
    return np.asarray(image.convert("RGB"))


def as_address(pixels: npt.NDArray[Any]) -> str:
    """A picture as a data: address."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def write_video(path: Path, frames: list[npt.NDArray[Any]], *, repeat: int = 15) -> None:
    """Write frames (uint8 [H, W, 3], even sides) as uncompressed Y4M, each shown ``repeat`` times at 30 a second."""
    height, width, _ = frames[0].shape
    with path.open("wb") as video:
        video.write(f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n".encode())
        for pixels in frames:
            luma, *chroma = np.asarray(Image.fromarray(pixels).convert("YCbCr")).transpose(2, 0, 1)
            small = [plane[::2, ::2].tobytes() for plane in chroma]
            video.write((b"FRAME\n" + luma.tobytes() + b"".join(small)) * repeat)
