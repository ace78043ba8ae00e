"""Antialiased painting with Pillow: filled outlines, tapered strokes and soft patches in face coordinates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Points = NDArray[np.float64]
Color = tuple[float, float, float]

STRETCH = 1.07
"""How much longer a face unit is down the face than across."""


def points(*pairs: tuple[float, float]) -> Points:
    """Return ``pairs`` as a float array [N,2]."""
    return np.array(pairs, dtype=np.float64)


def smooth(control: Points, *, closed: bool = False, steps: int = 8) -> Points:
    """Return a Catmull-Rom curve [M,2] through ``control`` [N,2], with ``steps`` points for each segment."""
    ends = (control[-1:], control[:2]) if closed else (control[:1], control[-1:])
    padded = np.concatenate([ends[0], control, ends[1]])
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, None, :] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, control[-1:]])


def ribbon(line: Points, widths: float | Sequence[float]) -> Points:
    """Return the outline of a stroke along ``line`` [N,2]; several ``widths`` are spread evenly from start to end."""
    stops = np.atleast_1d(np.asarray(widths, dtype=np.float64))
    half = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(stops)), stops)[:, None] / 2
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * half
    return np.concatenate([line + across, (line - across)[::-1]])


def ellipse(center: tuple[float, float], rx: float, ry: float, turn: float = 0.0) -> Points:
    """Return an ellipse [40,2] turned by ``turn`` radians."""
    a = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x, y = rx * np.cos(a), ry * np.sin(a)
    c, s = np.cos(turn), np.sin(turn)
    return np.stack([center[0] + c * x - s * y, center[1] + s * x + c * y], axis=1)


def mix(first: Color, second: Color, share: float) -> Color:
    """Return ``first`` moved by ``share`` (0..1) towards ``second``."""
    r, g, b = (a + (z - a) * share for a, z in zip(first, second, strict=True))
    return (r, g, b)


def rolled(angle: float) -> NDArray[np.float64]:
    """Return the matrix [2,2] that turns row vectors (x right, y down) clockwise by ``angle`` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


class Canvas:
    """An RGB image painted in face coordinates.

    A face coordinate is (x right, y down) in face units around ``origin`` (pixels); ``unit`` is the length of a
    face unit in pixels and ``roll`` turns the face clockwise on the screen (radians).
    """

    def __init__(self, image: Image.Image, origin: tuple[float, float], unit: float, roll: float) -> None:
        self.image = image
        self.origin = np.array(origin)
        self.unit = unit
        self.turn = rolled(roll)

    def pixels(self, face: Points) -> Points:
        """Return face coordinates [N,2] as pixels [N,2]."""
        placed: Points = face * (1, STRETCH) @ self.turn * self.unit + self.origin
        return placed

    def faces(self, pixels: Points) -> Points:
        """Return pixels [N,2] as face coordinates [N,2]."""
        flat: Points = (pixels - self.origin) @ self.turn.T / self.unit / (1, STRETCH)
        return flat

    def fill(
        self,
        outlines: Points | Sequence[Points],
        color: Color | Image.Image,
        *,
        alpha: float = 1.0,
        soft: float = 0.0,
        clip: Points | None = None,
    ) -> None:
        """Paint inside ``outlines``.

        Args:
            outlines: one closed outline [N,2] or several, in face coordinates.
            color: channels 0..255, or an image of the canvas' size from which the outlines are filled.
            alpha: opacity 0..1.
            soft: radius of the edge blur in face units.
            clip: another outline that limits the painted area.
        """
        shapes = [self.pixels(o) for o in ([outlines] if isinstance(outlines, np.ndarray) else outlines)]
        if alpha <= 0.004 or not shapes:
            return
        window = self._window(shapes, soft * self.unit * 2.5 + 2)
        if window is None:
            return
        mask = self._mask(shapes, window, soft * self.unit)
        if clip is not None:
            mask = ImageChops.multiply(mask, self._mask([self.pixels(clip)], window, 0.0))
        if alpha < 1:
            mask = mask.point(np.rint(np.arange(256) * alpha).astype(int).tolist())
        if isinstance(color, Image.Image):
            self.image.paste(color.crop(window), window, mask)
        else:
            red, green, blue = (min(255, max(0, round(c))) for c in color)
            self.image.paste((red, green, blue), window, mask)

    def stroke(
        self,
        lines: Points | Sequence[Points],
        widths: float | Sequence[float],
        color: Color,
        *,
        alpha: float = 1.0,
        soft: float = 0.0,
        clip: Points | None = None,
    ) -> None:
        """Paint one curve or several, ``widths`` face units wide from start to end."""
        several = [lines] if isinstance(lines, np.ndarray) else lines
        self.fill([ribbon(line, widths) for line in several], color, alpha=alpha, soft=soft, clip=clip)

    def _window(self, shapes: list[Points], margin: float) -> tuple[int, int, int, int] | None:
        low = np.floor(np.min([s.min(axis=0) for s in shapes], axis=0) - margin).astype(int)
        high = np.ceil(np.max([s.max(axis=0) for s in shapes], axis=0) + margin).astype(int)
        left, top = max(int(low[0]), 0), max(int(low[1]), 0)
        right, bottom = min(int(high[0]), self.image.width), min(int(high[1]), self.image.height)
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _mask(self, shapes: list[Points], window: tuple[int, int, int, int], soft: float) -> Image.Image:
        """Return an ``L`` mask of the window's size.

        Soft shapes are drawn small and enlarged, sharp ones are drawn large and reduced: both are cheaper than
        blurring or antialiasing at full size.
        """
        left, top, right, bottom = window
        width, height = right - left, bottom - top
        scale = (2 if width * height > 160_000 else 4) if soft < 1 else min(1.0, 3 / soft)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        mask = Image.new("L", size)
        draw = ImageDraw.Draw(mask)
        factor = np.array([size[0] / width, size[1] / height])
        for shape in shapes:
            draw.polygon(((shape - (left, top)) * factor).ravel().tolist(), fill=255)
        if soft >= 1:
            mask = mask.filter(ImageFilter.GaussianBlur(soft * scale))
        if scale > 1:
            return mask.reduce(int(scale))
        return mask if size == (width, height) else mask.resize((width, height), Image.Resampling.BILINEAR)
