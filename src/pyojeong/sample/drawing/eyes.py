"""Paints the eyes: lids, gaze, tears and brows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyojeong.sample.drawing.canvas import Color, Points, ellipse, mix, points, smooth
from pyojeong.sample.drawing.sitter import Person, Sitting

_RIM: Color = (58, 34, 30)


@dataclass(frozen=True)
class _Eye:
    """One eye. Its local x axis runs from the inner to the outer corner, so the two eyes are mirror images.

    ``across`` [25] runs -1..1 from corner to corner; ``top`` and ``low`` [25] are the y coordinates of the two lids.
    """

    sitting: Sitting
    side: float
    half: float
    across: NDArray[np.float64]
    top: NDArray[np.float64]
    low: NDArray[np.float64]

    def place(self, local: Points) -> Points:
        """Return points of the eye as face coordinates."""
        person, face = self.sitting.person, self.sitting.face
        cos, sin = np.cos(person.eye_tilt), np.sin(person.eye_tilt)
        droop = 0.10 * face.inner_brow_raise - 0.05 * face.brow_lower
        x, y = local[:, 0], local[:, 1] + droop * local[:, 0]
        tilted = np.stack([cos * x + sin * y, -sin * x + cos * y], axis=1)
        return self.sitting.at(tilted * (self.side, 1) + np.array([self.side * eye_x(person), 0.0]))

    def along(self, y: NDArray[np.float64], stretch: float = 1.0) -> Points:
        """Return the curve with ``y`` [25] over the eye's width times ``stretch``, in the eye's coordinates."""
        return np.stack([self.half * stretch * self.across, y], axis=1)


def eye_x(person: Person) -> float:
    """Return the distance of an eye's center from the middle of the face, in face units."""
    return 0.405 * person.eye_space * person.width


def paint_eye(sitting: Sitting, side: float) -> None:
    """Paint the eye and the brow at ``side`` (-1 left in the picture, 1 right)."""
    person, face, canvas = sitting.person, sitting.face, sitting.canvas
    t = np.linspace(-1, 1, 25)
    top = -0.122 * person.eye_size * face.eye_open * (1 - np.abs(t) ** 2.3)
    rest = 0.072 * (0.75 + 0.25 * face.eye_open) - 0.085 * face.cheek_raise - 0.035 * face.lid_tighten
    low = np.maximum(rest * person.eye_size * (1 - np.abs(t) ** 2.2), top * 0.65)
    eye = _Eye(sitting, side, 0.235 * person.eye_size, t, top, low)
    arch = eye.along(top) + np.stack([0.05 * eye.half * np.sin(np.pi * t), 0 * t], axis=1)
    opening = np.concatenate([eye.place(arch), eye.place(eye.along(low))[::-1]])

    canvas.fill(opening, mix((244, 240, 236), (232, 170, 160), 0.35 * face.tears))
    x, y = 0.085 * face.gaze_x * side, 0.045 * face.gaze_y - 0.02
    rings: tuple[tuple[float, Color], ...] = ((0.122, (34, 22, 18)), (0.104, (74, 46, 30)), (0.055, (12, 8, 8)))
    for radius, color in rings:
        canvas.fill(eye.place(ellipse((x, y), radius, radius)), color, soft=0.006, clip=opening)
    glow = eye.place(ellipse((x, y + 0.06), 0.06, 0.035))
    canvas.fill(glow, (128, 86, 56), alpha=0.55, soft=0.02, clip=opening)
    shadow = eye.place(eye.along(top + 0.02))
    canvas.stroke(shadow, 0.05, (60, 40, 40), alpha=0.35, soft=0.018, clip=opening)
    glint = eye.place(ellipse((x + float(np.copysign(0.042, sitting.light[0] * side)), y - 0.045), 0.026, 0.026))
    canvas.fill(glint, (255, 255, 255), alpha=0.95, clip=opening)
    _lids(eye)
    if face.tears > 0.05:
        _tears(eye)
    _brow(sitting, side)


def _lids(eye: _Eye) -> None:
    person, face, canvas = eye.sitting.person, eye.sitting.face, eye.sitting.canvas
    long_lashes = person.gender == "여"
    lash: Color = (30, 20, 20)
    weight = 0.034 if long_lashes else 0.026
    canvas.stroke(eye.place(eye.along(eye.top - 0.006, 1.03)), (0.012, weight, weight * 1.25, 0.016), lash, alpha=0.95)
    if long_lashes:
        tail = points((eye.half * 0.86, float(eye.top[-4])), (eye.half, -0.01), (eye.half * 1.14, -0.045))
        canvas.stroke(eye.place(tail), (0.03, 0.022, 0.004), lash, alpha=0.9)
    lower = eye.place(eye.along(eye.low + 0.004)[8:])
    canvas.stroke(lower, (0.004, 0.014, 0.016), mix(person.skin, _RIM, 0.75), alpha=0.55)
    height = (0.062 if person.double_lid else 0.04) * (1 - 0.4 * eye.across**2)
    crease = eye.place(eye.along(eye.top * 1.02 - height, 1.02)[3:-1])
    strength = (0.6 if person.double_lid else 0.22) + 0.2 * max(0.0, face.eye_open - 1)
    canvas.stroke(crease, (0.006, 0.02, 0.01), mix(person.skin, _RIM, 0.6), alpha=strength, soft=0.007)
    if face.cheek_raise > 0.3:
        feet = [eye.place(points((eye.half * 1.2, 0.0), (eye.half * 1.45, y))) for y in (-0.01, 0.032)]
        tone = mix(person.skin, _RIM, 0.4)
        canvas.stroke(feet, (0.018, 0.004), tone, alpha=0.3 * face.cheek_raise, soft=0.006)


def _tears(eye: _Eye) -> None:
    canvas, amount = eye.sitting.canvas, eye.sitting.face.tears
    rim = eye.place(eye.along(eye.low - 0.004)[5:-5])
    canvas.stroke(rim, (0.006, 0.03, 0.006), (255, 255, 255), alpha=min(0.9, 2 * amount), soft=0.004)
    if amount > 0.3:
        start, length = float(eye.low.max()), 0.1 + 0.55 * (amount - 0.3)
        middle = start + 0.6 * length
        drop = smooth(points((0.08, start), (0.1, middle), (0.085, start + length), (0.055, middle)), closed=True)
        canvas.fill(eye.place(drop), (226, 240, 252), alpha=0.6, soft=0.008)
        bead = eye.place(ellipse((0.078, start + 0.85 * length), 0.02, 0.035))
        canvas.fill(bead, (255, 255, 255), alpha=0.75, soft=0.006)


def _brow(sitting: Sitting, side: float) -> None:
    person, face = sitting.person, sitting.face
    inner, outer, down = face.inner_brow_raise, face.outer_brow_raise, face.brow_lower
    line = points(
        (0.17 - 0.05 * down, -0.295 - 0.18 * inner + 0.15 * down),
        (0.36 - 0.03 * down, -0.335 * person.brow_arch**0.2 - 0.08 * inner - 0.10 * outer + 0.10 * down),
        (0.55, -0.34 * person.brow_arch**0.3 + 0.03 * inner - 0.15 * outer + 0.01 * down),
        (0.73, -0.25 + 0.06 * inner - 0.13 * outer - 0.01 * down),
    )
    line[:, 0] *= person.eye_space * person.width
    curve = sitting.at(smooth(line * (side, 1)))
    weight = 0.085 * person.brow_weight
    tone = mix(person.hair, (40, 28, 24), 0.4)
    sitting.canvas.stroke(curve, (weight * 0.75, weight, weight * 0.85, 0.015), tone, alpha=0.82, soft=0.014)
    sitting.canvas.stroke(curve, (weight * 0.3, weight * 0.55, weight * 0.4, 0.01), tone, alpha=0.6)
