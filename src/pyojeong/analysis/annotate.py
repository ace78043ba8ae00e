"""Draw boxes and labels of faces into copies of pictures and films."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pyojeong.analysis.colors import UNSURE
from pyojeong.analysis.films import Frame
from pyojeong.analysis.sources import CAMERA, JPEG, Source
from pyojeong.analyzer import Face
from pyojeong.core.errors import InputError
from pyojeong.core.files import whole_file
from pyojeong.core.fonts import hangul_fonts
from pyojeong.core.images import Pixels, split_path
from pyojeong.core.labels import english_word, korean_word

_TICKS = 60_000
"""Units of time in a second of an annotated film; MPEG-4 allows 65,535."""

_QUALITY = 92

Draw = Callable[[Frame, Sequence[Face]], None]


class Annotator:
    """Writes annotated copies below a folder, at each source's ``place``.

    A JPEG stays a JPEG, other pictures become PNG, films become MP4 without sound. Files appear whole or not at all.

    Args:
        folder: the copies' folder; it is created.
        colors: of each class, as ``#rrggbb``.
        korean: whether labels are in Korean.

    Raises:
        ModuleNotFoundError: the font with Hangul is not installed.
    """

    def __init__(self, folder: Path, colors: Mapping[str, str], *, korean: bool = True) -> None:
        hangul_fonts()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._colors, self._korean = folder, dict(colors), korean

    def picture(self, source: Source, pixels: Pixels, faces: Sequence[Face]) -> None:
        """Write a copy of a photograph; InputError where it would replace the photograph itself."""
        jpeg = PurePosixPath(source.place).suffix.lower() in JPEG
        path = self._path(source, "" if jpeg else ".png")
        image = self.drawn(pixels, faces)
        with whole_file(path) as file:
            image.save(file, "JPEG" if jpeg else "PNG", **({"quality": _QUALITY} if jpeg else {}))

    @contextmanager
    def film(self, source: Source, rate: float) -> Iterator[Draw]:
        """Yield the function that adds a frame with its faces to a copy of a film.

        Args:
            source: the film.
            rate: its frames a second, for players; each frame keeps its own time.
        """
        import av

        with whole_file(self._path(source, ".mp4")) as file:
            container = av.open(file, "w", format="mp4")
            writer = _FilmWriter(container, rate)
            with container:
                yield lambda frame, faces: writer.add(self.drawn(frame.pixels, faces), frame.time_s)
                writer.end()

    def drawn(self, pixels: Pixels, faces: Sequence[Face]) -> Image.Image:
        """Return a picture with box, number and label of each face drawn in, the best face on top."""
        image = Image.fromarray(np.ascontiguousarray(pixels))
        unit = max(image.size) / 100
        draw = ImageDraw.Draw(image)
        font = _font(max(12, round(2.4 * unit)))
        for face in reversed(faces):
            color = UNSURE if face.unsure else self._colors[face.label]
            draw.rectangle(face.box, outline=color, width=max(2, round(0.3 * unit)))
            self._label(draw, face, font, color, image.size)
        return image

    def _label(
        self, draw: ImageDraw.ImageDraw, face: Face, font: ImageFont.FreeTypeFont, color: str, size: tuple[int, int]
    ) -> None:
        text = self.text(face)
        pad = font.size / 4
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        width, height = right - left + 2 * pad, bottom - top + 2 * pad
        # Above the box, or in it where there is no room above.
        x = min(max(0.0, face.box[0]), max(0.0, size[0] - width))
        y = face.box[1] - height if face.box[1] >= height else max(0.0, face.box[1])
        draw.rectangle((x, y, x + width, y + height), fill=color)
        draw.text((x + pad - left, y + pad - top), text, font=font, fill="#ffffff")

    def text(self, face: Face) -> str:
        """Return what is written at a face, such as ``2 기쁨 93 %``; an unsure answer has a question mark."""
        word = korean_word(face.label) if self._korean else english_word(face.label)
        mark = "?" if face.unsure else ""
        number = "" if face.id is None else f"{face.id} "
        return f"{number}{word}{mark} {100 * face.emotions[face.label]:.0f} %"

    def _path(self, source: Source, suffix: str) -> Path:
        place = PurePosixPath(source.place)
        path = self._folder / (place.with_name(place.name + suffix) if suffix and place.suffix != suffix else place)
        original = Path(split_path(source.path)[0])
        if not CAMERA.fullmatch(source.path) and path.exists() and original.exists() and path.samefile(original):
            raise InputError(f"{path}: the annotated copy would replace the picture itself; choose another folder")
        return path


class _FilmWriter:
    """Encodes RGB pictures as H.264, or as MPEG-4 where the library lacks an encoder for it."""

    def __init__(self, container: Any, rate: float) -> None:
        self._container = container
        self._rate = Fraction(rate or 25).limit_denominator(1001)
        self._stream: Any = None
        self._last = -1

    def add(self, image: Image.Image, time: float) -> None:
        import av

        if self._stream is None:
            self._stream = self._made(*image.size)
        size = self._stream.width, self._stream.height
        # The encoder needs even sides, and one size for all frames.
        even = image.width - image.width % 2, image.height - image.height % 2
        image = image.crop((0, 0, *size)) if even == size else image.resize(size)
        frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
        self._last = max(self._last + 1, round(time * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def end(self) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode())

    def _made(self, width: int, height: int) -> Any:
        import av

        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = self._container.add_stream(codec, rate=self._rate)
        stream.width, stream.height = max(2, width - width % 2), max(2, height - height % 2)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        if codec == "libx264":
            stream.options = {"crf": "20", "preset": "veryfast"}
        else:
            stream.bit_rate = 8_000_000
        return stream


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(hangul_fonts()[1]), size)
