"""Small films of drawn faces, made with PyAV."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from pyojeong.core.images import Pixels
from pyojeong.core.labels import KOREAN
from pyojeong.sample.drawing import draw_face

SIZE = 240, 320
"""Width and height of a drawn frame."""


@cache
def face(seed: int = 6) -> Pixels:
    return draw_face(KOREAN[seed % 7], seed, SIZE)[0]


def numbered(count: int, size: tuple[int, int] = (64, 48)) -> list[Pixels]:
    """Gray frames that get brighter, so that a test can tell which one it was given."""
    width, height = size
    return [np.full((height, width, 3), 20 + 6 * number, np.uint8) for number in range(count)]


def write_film(
    path: Path,
    frames: Sequence[Pixels],
    *,
    times: Sequence[float] | None = None,
    rate: int = 10,
    key_every: int = 5,
) -> Path:
    """Write frames as H.264, at ``times`` in seconds or at a constant rate."""
    height, width = frames[0].shape[:2]
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12", "g": str(key_every), "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = round(1000 * (times[number] if times else number / rate))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path: Path) -> Path:
    """Make an MP4 say that it is shown turned by 90 degrees clockwise, as phones do."""
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    unit = 1 << 16
    matrix = struct.pack(">9i", 0, unit, 0, -unit, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + matrix + data[at + 36 :])
    return path


def write_sound(path: Path) -> Path:
    """Write a film that has sound only."""
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
