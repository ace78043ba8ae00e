"""Paints the head: shaded skin, then eyes, brows, nose and mouth as the expression moves them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pyojeong.sample.drawing.canvas import Color, Points, ellipse, mix, points, smooth
from pyojeong.sample.drawing.eyes import paint_eye
from pyojeong.sample.drawing.sitter import Expression, Person, Sitting, chin_y, contour, turned

Grid = NDArray[np.float64]
"""One number per cell of the coarse grid on which skin is shaded."""

_RIM: Color = (58, 34, 30)
_SIDES = (-1.0, 1.0)


def paint_head(sitting: Sitting) -> None:
    """Paint face, ears and features; ``hair`` paints the hair, the glasses and the body."""
    outline = smooth(contour(sitting.person, sitting.face), closed=True)
    _ears(sitting)
    sitting.canvas.fill(outline, _skin(sitting, outline))
    rim = mix(sitting.person.skin, _RIM, 0.78)
    sitting.canvas.stroke(outline[36:-36], 0.11, rim, alpha=0.8, soft=0.035, clip=outline)
    _creases(sitting)
    _nose(sitting)
    for side in _SIDES:
        paint_eye(sitting, side)
    _mouth(sitting)
    if sitting.person.mole:
        sitting.canvas.fill(sitting.at(ellipse(sitting.person.mole, 0.018, 0.018)), (70, 44, 38), alpha=0.8)


def _bump(u: Grid, v: Grid, x: float, y: float, sx: float, sy: float) -> Grid:
    bump: Grid = np.exp(-(((u - x) / sx) ** 2) - ((v - y) / sy) ** 2)
    return bump


def _skin(sitting: Sitting, outline: Points) -> Image.Image:
    """Return an image of the canvas' size with skin inside ``outline``, shaded by the light on a face's height map.

    The shading is smooth, so it is computed on a coarse grid and scaled up.
    """
    canvas, person, face, pose = sitting.canvas, sitting.person, sitting.face, sitting.pose
    placed = canvas.pixels(outline)
    left, top = np.floor(placed.min(axis=0)).astype(int) - 2
    width, height = np.ceil(placed.max(axis=0)).astype(int) + 2 - (left, top)
    step = max(2.0, canvas.unit / 44)
    columns, rows = max(2, round(width / step)), max(2, round(height / step))
    grid_x, grid_y = np.meshgrid((np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * height / rows)
    flat = canvas.faces(np.stack([grid_x.ravel() + left, grid_y.ravel() + top], axis=1))
    u, v = (2 * flat - turned(flat, pose)).T.reshape(2, rows, columns)
    shade = _shade(sitting, u, v)
    # Shadows on skin look redder, so red falls more slowly with the shade than green and blue.
    color = np.stack([c * shade**g for c, g in zip(person.skin, (0.75, 1.0, 1.12), strict=True)], axis=-1)
    cheeks = sum(_bump(u, v, s * 0.56, 0.42 - 0.06 * face.cheek_raise, 0.26, 0.2) for s in _SIDES)
    sore = sum(_bump(u, v, s * 0.42, 0.06, 0.3, 0.16) for s in _SIDES) + _bump(u, v, 0, 0.52, 0.2, 0.16)
    red = 0.10 * cheeks * (0.5 + 2.6 * face.blush) + 0.16 * sore * face.tears
    color *= 1 - red[..., None] * np.array([0.1, 1.0, 0.85])
    small = Image.fromarray(np.clip(color, 0, 255).astype(np.uint8))
    image = Image.new("RGB", canvas.image.size)
    image.paste(small.resize((int(width), int(height)), Image.Resampling.BICUBIC), (int(left), int(top)))
    return image


def _shade(sitting: Sitting, u: Grid, v: Grid) -> Grid:
    person, face = sitting.person, sitting.face
    lift = face.cheek_raise
    nose_y = 0.55 * person.nose_length
    chin = chin_y(person, face)
    dome = 1.5 * np.sqrt(np.clip(1.25 - (u / 1.05) ** 2 - ((v - 0.1) / 1.75) ** 2, 0.02, None))
    parts = [(0.30, 0.0, nose_y - 0.03, 0.13 * person.nose_width, 0.13), (0.11, 0.0, nose_y - 0.3, 0.12, 0.28)]
    parts += [(0.05, 0.0, -0.6, 0.5, 0.3), (0.07, 0.0, 0.93, 0.34, 0.16), (-0.07, 0.0, 1.13, 0.26, 0.07)]
    parts += [(0.12 + 0.05 * face.chin_raise, 0.0, chin - 0.18, 0.26, 0.15), (-0.02, 0.0, 0.74, 0.05, 0.08)]
    for side in _SIDES:
        parts += [
            (0.10, side * 0.17 * person.nose_width, nose_y + 0.04, 0.09, 0.08),
            (-0.19, side * 0.40, -0.02, 0.25, 0.14),
            (0.06, side * 0.42, 0.01, 0.17, 0.09),
            (0.06, side * 0.45, -0.38, 0.34, 0.10),
            (0.10 + 0.12 * lift, side * (0.56 + 0.03 * lift), 0.42 - 0.08 * lift, 0.24, 0.19),
            (-0.05 * face.brow_lower, side * 0.06, -0.28, 0.04, 0.14),
            (-0.05 - 0.06 * face.lip_corner_pull, side * (0.46 + 0.06 * face.lip_corner_pull), 0.90, 0.07, 0.12),
        ]
    surface = dome + np.sum([height * _bump(u, v, *where) for height, *where in parts], axis=0)
    spacing = abs(float(u[0, 1] - u[0, 0])) or 1.0
    slope_y, slope_x = np.gradient(surface, spacing)
    x, y, z = sitting.light
    lambert = (-slope_x * x - slope_y * y + z) / np.sqrt(1 + slope_x**2 + slope_y**2)
    shine = np.clip(lambert - 0.93, 0, None) * 1.4
    return np.asarray(np.clip(0.63 + 0.38 * lambert, 0.42, 1.05) + shine)


def _ears(sitting: Sitting) -> None:
    person = sitting.person
    for side in _SIDES:
        tone = 0.86 + 0.1 * side * sitting.light[0]
        skin: Color = (person.skin[0] * tone, person.skin[1] * tone * 0.95, person.skin[2] * tone * 0.92)
        ear = ellipse((side * 0.985 * person.width, 0.14), 0.12 * person.ears, 0.27 * person.ears, side * 0.12)
        sitting.canvas.fill(ear, skin)
        inner = ellipse((side * 1.01 * person.width, 0.12), 0.05, 0.16 * person.ears, side * 0.12)
        sitting.canvas.fill(inner, mix(skin, _RIM, 0.45), alpha=0.5, soft=0.03)


def _creases(sitting: Sitting) -> None:
    """Paint the lines that movement and age draw: cheek folds, frown, forehead, eye bags."""
    person, face, canvas = sitting.person, sitting.face, sitting.canvas
    tone = mix(person.skin, (112, 58, 44), 0.62)
    old = max(0.0, (person.age - 30) / 40)
    pull = face.lip_corner_pull
    fold = min(1.0, 0.02 + 0.7 * pull + 0.35 * face.nose_wrinkle + 0.4 * old + 0.2 * face.lip_corner_depress)
    frown, raised = face.brow_lower, max(face.inner_brow_raise, face.outer_brow_raise)
    for side in _SIDES:
        cheek = smooth(
            points((0.22, 0.52), (0.36 + 0.06 * pull, 0.66), (0.46 + 0.12 * pull, 0.86 - 0.03 * pull)) * (side, 1)
        )
        canvas.stroke(sitting.at(cheek), (0.015, 0.045, 0.02), tone, alpha=0.5 * fold, soft=0.014)
        line = smooth(points((0.075, -0.42), (0.06, -0.3), (0.085, -0.17)) * (side, 1))
        canvas.stroke(sitting.at(line), (0.01, 0.035, 0.012), tone, alpha=min(1.0, 0.75 * frown), soft=0.01)
        bag = smooth(points((0.25, 0.17), (0.42, 0.23), (0.6, 0.16)) * (side, 1))
        canvas.stroke(sitting.at(bag), (0.01, 0.03, 0.01), tone, alpha=min(0.5, 0.06 + 0.32 * old), soft=0.014)
        wrinkle = smooth(points((0.06, 0.12), (0.13, 0.2)) * (side, 1))
        canvas.stroke(sitting.at(wrinkle), (0.03, 0.01), tone, alpha=0.5 * face.nose_wrinkle, soft=0.012)
    for row in range(3):
        y = -0.86 + 0.1 * row
        forehead = smooth(points((-0.42, y + 0.03), (-0.2, y - 0.012), (0.0, y), (0.2, y - 0.012), (0.42, y + 0.03)))
        strength = max(0.0, raised - 0.35) * (0.22 + 0.3 * old) + 0.22 * old
        canvas.stroke(sitting.at(forehead), (0.006, 0.022, 0.006), tone, alpha=strength, soft=0.01)


def _nose(sitting: Sitting) -> None:
    person, face, canvas = sitting.person, sitting.face, sitting.canvas
    dark = mix(person.skin, (94, 44, 34), 0.68)
    y = 0.6 * person.nose_length - 0.04 * face.nose_wrinkle
    w = person.nose_width * (1 + 0.12 * face.nose_wrinkle + 0.08 * face.lip_corner_pull)
    for side in _SIDES:
        hole = ellipse((side * 0.085 * w, y + 0.03), 0.052 * w, 0.024, -side * 0.25)
        canvas.fill(sitting.at(hole, 0.12), mix(dark, (40, 18, 16), 0.55), alpha=0.8, soft=0.008)
        wing = smooth(points((0.17, -0.12), (0.215, -0.03), (0.2, 0.035), (0.145, 0.04)) * (side * w, 1) + (0, y))
        canvas.stroke(sitting.at(wing, 0.08), (0.006, 0.03, 0.012), dark, alpha=0.6, soft=0.008)
        bridge = smooth(points((0.13, -0.62), (0.085, -0.45), (0.1, -0.25)) * (side, 1) + (0, y))
        shadow = 0.2 if side * sitting.light[0] < 0 else 0.06
        canvas.stroke(sitting.at(bridge, 0.05), (0.03, 0.07, 0.03), dark, alpha=shadow, soft=0.035)
    under = smooth(points((-0.1, 0.062), (0, 0.085), (0.1, 0.062)) * (w, 1) + (0, y))
    canvas.stroke(sitting.at(under, 0.12), (0.006, 0.026, 0.006), dark, alpha=0.45, soft=0.01)
    tip = ellipse((0.03 * sitting.light[0], y - 0.07), 0.035, 0.03)
    canvas.fill(sitting.at(tip, 0.2), (255, 250, 242), alpha=0.35, soft=0.025)


@dataclass(frozen=True)
class _Lips:
    """The four curves of a mouth from corner to corner, in face units."""

    top: Points
    upper: Points
    lower: Points
    bottom: Points


def _lips(person: Person, face: Expression) -> _Lips:
    pull, drop = face.lip_corner_pull, face.lip_corner_depress
    t = np.linspace(-1, 1, 33)
    bend = np.abs(t) ** 1.7
    middle = 0.875 - 0.04 * face.chin_raise - 0.03 * face.nose_wrinkle
    half = 0.35 * person.mouth_width * (1 + 0.34 * pull + 0.22 * face.lip_width - 0.05 * drop - 0.06 * face.jaw_drop)
    corner = middle - 0.125 * pull + 0.125 * drop + 0.03 * face.jaw_drop
    stretch = max(0.0, face.lip_width)
    opening = 0.34 * face.jaw_drop + 0.10 * face.upper_lip_raise * (1 - 0.6 * face.lip_press) + 0.02 * stretch
    thick = person.lip_fullness * (1 - 0.55 * face.lip_press) * (1 - 0.2 * stretch - 0.15 * pull)
    arc = 1 - np.abs(t) ** 2.2
    base = middle + (corner - middle) * bend - 0.035 * drop * (1 - bend)
    upper = base - opening * 0.28 * arc + 0.012 * np.cos(np.pi * t * 1.6) * (1 - bend)
    lower = base + opening * 0.72 * arc + 0.03 * pull * arc if opening >= 0.03 else upper
    cupid = 1 - 0.22 * np.exp(-((t / 0.13) ** 2))
    top = upper - 0.088 * thick * (1 - np.abs(t) ** 1.6) * cupid
    bottom = lower + 0.122 * thick * (1 - np.abs(t) ** 2.4)
    return _Lips(*(np.stack([half * t, y], axis=1) for y in (top, upper, lower, bottom)))


def _mouth(sitting: Sitting) -> None:
    person, face, canvas = sitting.person, sitting.face, sitting.canvas
    lips = _lips(person, face)
    top, upper, lower, bottom = (sitting.at(curve, 0.05) for curve in (lips.top, lips.upper, lips.lower, lips.bottom))
    inside = np.concatenate([upper, lower[::-1]])
    height = float((lips.lower - lips.upper)[:, 1].max())
    if height > 0.015:
        canvas.fill(inside, (72, 22, 26))
        _teeth(sitting, lips, inside, height)
    dark = mix(person.lips, (96, 34, 38), 0.45)
    canvas.fill(np.concatenate([top, upper[::-1]]), mix(person.lips, dark, 0.45), soft=0.006)
    canvas.fill(np.concatenate([lower, bottom[::-1]]), person.lips, soft=0.006)
    shine = (lips.lower * 0.45 + lips.bottom * 0.55)[9:-9] * (0.8, 1)
    canvas.stroke(sitting.at(shine, 0.06), (0.0, 0.035, 0.0), (255, 226, 220), alpha=0.4, soft=0.016)
    seam = 0.02 + 0.012 * face.lip_press
    canvas.stroke(upper, (0.012, seam, seam * 0.8, seam, 0.012), (84, 30, 32), alpha=0.85, soft=0.004)
    _mouth_shadows(sitting, lips)


def _teeth(sitting: Sitting, lips: _Lips, inside: Points, height: float) -> None:
    face, canvas = sitting.face, sitting.canvas
    show = min(height * 0.8, 0.05 + 0.10 * face.upper_lip_raise + 0.06 * face.lip_corner_pull)
    edge = lips.upper + np.array([0.0, show])
    white = sitting.at(np.concatenate([lips.upper * (0.96, 1), edge[::-1] * (0.9, 1)]), 0.05)
    if face.upper_lip_raise + face.lip_corner_pull > 0.15 or height > 0.08:
        canvas.fill(white, (242, 238, 230), soft=0.006, clip=inside)
        half = float(lips.upper[-1, 0])
        gaps = [smooth(points((x * half, 0.7), (x * half, 1.3))) for x in (-0.55, -0.36, -0.18, 0.0, 0.18, 0.36, 0.55)]
        canvas.stroke([sitting.at(gap, 0.05) for gap in gaps], 0.007, (176, 160, 150), alpha=0.35, clip=white)
    if face.jaw_drop > 0.25:
        tongue = sitting.at(ellipse((0.0, float(lips.lower[16, 1]) + 0.01), 0.2, 0.4 * height), 0.02)
        canvas.fill(tongue, (190, 92, 94), alpha=0.9, soft=0.02, clip=inside)


def _mouth_shadows(sitting: Sitting, lips: _Lips) -> None:
    person, face, canvas = sitting.person, sitting.face, sitting.canvas
    tone = mix(person.skin, (108, 54, 42), 0.65)
    y = float(lips.bottom[16, 1])
    under = smooth(points((-0.17, y + 0.035), (0, y + 0.055), (0.17, y + 0.035)))
    canvas.stroke(sitting.at(under), (0.01, 0.06, 0.01), tone, alpha=0.34 + 0.3 * face.chin_raise, soft=0.025)
    for side in _SIDES:
        corner = lips.upper[-1] * (side, 1)
        canvas.fill(sitting.at(ellipse((corner[0], corner[1]), 0.035, 0.03)), tone, alpha=0.5, soft=0.02)
        if face.lip_corner_depress > 0.3:
            line = smooth(points((corner[0], corner[1]), (corner[0] + side * 0.03, corner[1] + 0.14)))
            canvas.stroke(sitting.at(line), (0.035, 0.008), tone, alpha=0.45 * face.lip_corner_depress, soft=0.014)
    if face.chin_raise > 0.2:
        chin = ellipse((0.0, y + 0.2), 0.16, 0.05)
        canvas.fill(sitting.at(chin), tone, alpha=0.25 * face.chin_raise, soft=0.04)
