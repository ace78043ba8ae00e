"""Paints hair, glasses, neck and clothes."""

import numpy as np

from pyojeong.sample.drawing.canvas import Canvas, Color, Points, ellipse, mix, points, smooth
from pyojeong.sample.drawing.eyes import eye_x
from pyojeong.sample.drawing.sitter import Sitting, chin_y, contour

_LONG = {"long", "long_fringe"}
_BOB = {"bob", "bob_fringe"}
_FRINGE = {"fringe", "long_fringe", "bob_fringe"}


def paint_back(sitting: Sitting) -> None:
    """Paint the hair behind neck and shoulders."""
    style, w = sitting.person.hair_style, sitting.person.width
    dark = mix(sitting.person.hair, (6, 5, 6), 0.45)
    if style in _LONG:
        right = points((0, -1.56), (0.72, -1.38), (1.12, -0.7), (1.2, 0.3), (1.24, 1.3), (1.3, 2.1), (1.0, 2.5))
    elif style in _BOB:
        right = points((0, -1.56), (0.74, -1.38), (1.14, -0.7), (1.22, 0.2), (1.2, 0.95), (0.98, 1.3), (0.6, 1.34))
    elif style == "tied":
        sitting.canvas.fill(ellipse((0.0, -1.62), 0.42, 0.34), dark, soft=0.015)
        return
    else:
        return
    outline = np.concatenate([right, right[1:][::-1] * (-1, 1)]) * (w, 1)
    sitting.canvas.fill(smooth(outline, closed=True), dark, soft=0.012)


def paint_body(canvas: Canvas, sitting: Sitting) -> None:
    """Paint neck, shoulders and clothes on ``canvas``, which may be rolled less than the head."""
    person = sitting.person
    thick = 0.49 * (1.1 if person.gender == "남" else 0.9) * person.width
    shoulder = 2.0 if person.gender == "남" else 1.75
    skin: Color = (person.skin[0] * 0.80, person.skin[1] * 0.74, person.skin[2] * 0.71)
    neck = points((-thick, 0.7), (thick, 0.7), (thick * 1.03, 1.65), (thick * 1.9, 2.05), (thick, 2.9))
    neck = np.concatenate([neck, points((-thick, 2.9), (-thick * 1.9, 2.05), (-thick * 1.03, 1.65))])
    canvas.fill(neck, skin)
    shadow = smooth(contour(person, sitting.face), closed=True) * (0.8, 1) + (0.0, 0.2)
    canvas.fill(shadow, mix(skin, (92, 48, 38), 0.7), alpha=0.85, soft=0.12, clip=neck)
    body = smooth(
        points((thick * 1.12, 1.7), (thick * 1.9, 1.96), (shoulder, 2.3), (shoulder * 1.2, 2.9), (shoulder * 1.3, 5.5))
    )
    opening = {"round": 2.02, "v": 2.62, "shirt": 2.42}[person.collar]
    dip = smooth(points((-thick * 1.12, 1.7), (-thick * 0.75, (1.7 + opening) / 2), (0, opening)))
    if person.collar == "round":
        dip = smooth(
            points((-thick * 1.12, 1.7), (-thick * 0.9, opening - 0.13), (-thick * 0.4, opening - 0.02), (0, opening))
        )
    neckline = np.concatenate([dip, dip[::-1] * (-1, 1)])
    left = body[::-1] * (-1, 1)
    canvas.fill(np.concatenate([left, neckline, body]), person.clothes)
    fold = mix(person.clothes, (12, 12, 18), 0.4)
    for side in (-1, 1):
        sleeve = smooth(points((1.3, 2.75), (1.36, 3.4), (1.3, 4.4)) * (side, 1))
        canvas.stroke(sleeve, (0.02, 0.1, 0.04), fold, alpha=0.5, soft=0.06)
    canvas.stroke(neckline, 0.06, fold, alpha=0.55, soft=0.012)
    if person.collar == "shirt":
        for side in (-1, 1):
            flap = points(
                (thick * 1.14, 1.64), (thick * 1.2, 2.2), (0.35, 2.5), (0.0, opening), (thick * 0.7, 1.98)
            ) * (side, 1)
            canvas.fill(flap, mix(person.clothes, (255, 255, 255), 0.25))
        canvas.stroke(points((0, opening), (0, 4.0), (0, 5.4)), 0.025, fold, alpha=0.6)


def paint_front(sitting: Sitting, rng: np.random.Generator) -> None:
    """Paint the hair over forehead and temples, then the glasses.

    ``rng`` places the strands. Seed it by the person, so that the hair is the same in all photographs.
    """
    person, canvas = sitting.person, sitting.canvas
    crown, hairline = _crown(sitting), _hairline(sitting)
    cap = np.concatenate([crown, hairline[::-1]])
    face = smooth(contour(person, sitting.face), closed=True)
    canvas.fill(cap + np.array([0.0, 0.07]), mix(person.skin, (70, 36, 30), 0.75), alpha=0.4, soft=0.06, clip=face)
    canvas.fill(cap, person.hair, soft=0.014)
    if person.hair_style in _LONG | _BOB:
        _locks(sitting)
    shine = mix(person.hair, (190, 176, 166), 0.5)
    arc = points((-0.62, -1.12), (-0.32, -1.3), (0.05, -1.36), (0.4, -1.28)) + np.array([0.15 * sitting.light[0], 0])
    canvas.stroke(smooth(arc), (0.02, 0.14, 0.02), shine, alpha=0.3, soft=0.06, clip=cap)
    for tone, alpha, count in ((shine, 0.22, 26), (mix(person.hair, (0, 0, 0), 0.6), 0.4, 26)):
        starts = rng.uniform(0, 1, count)
        canvas.stroke([_strand(crown, hairline, s) for s in starts], (0.004, 0.016, 0.004), tone, alpha=alpha, clip=cap)
    if person.glasses:
        _glasses(sitting)


def _crown(sitting: Sitting) -> Points:
    w, style = sitting.person.width, sitting.person.hair_style
    puff = {"crop": 0.0, "tied": -0.02, "swept": 0.10, "parted": 0.05}.get(style, 0.04)
    low = _ear_line(style)
    right = points(
        (0, -1.56 - puff), (0.5, -1.47 - puff), (0.87, -1.14 - puff / 2), (1.04, -0.62), (1.03, -0.32), (0.985, low)
    )
    left = right[1:][::-1] * (-1, 1)
    return smooth(np.concatenate([left, right]) * (w, 1))


def _hairline(sitting: Sitting) -> Points:
    """Return the lower edge of the front hair from the left ear to the right one."""
    person = sitting.person
    w, style = person.width, person.hair_style
    side = points((0.965, _ear_line(style) + 0.01), (0.925, -0.2), (0.9, -0.5))
    if style in _FRINGE:
        middle = points(
            (0.8, -0.64), (0.5, -0.68), (0.2, -0.64), (0.0, -0.67), (-0.22, -0.64), (-0.5, -0.68), (-0.8, -0.64)
        )
    elif style in {"parted", "long"}:
        middle = points(
            (0.8, -0.72), (0.52, -0.96), (0.26, -1.12), (0.2, -1.2), (0.05, -1.1), (-0.4, -0.92), (-0.8, -0.66)
        )
    elif style == "swept":
        middle = points((0.8, -0.86), (0.5, -1.02), (0.0, -1.08), (-0.5, -1.02), (-0.8, -0.86))
    else:
        middle = points((0.8, -0.8), (0.5, -0.96), (0.0, -1.0), (-0.5, -0.96), (-0.8, -0.8))
    line = np.concatenate([side, middle, side[::-1] * (-1, 1)]) * (w, 1)
    return sitting.at(smooth(line))[::-1]


def _ear_line(style: str) -> float:
    return {"crop": 0.0, "swept": 0.02, "parted": 0.08, "fringe": 0.05}.get(style, 0.12)


def _strand(crown: Points, hairline: Points, share: float) -> Points:
    start, end = (edge[round(share * (len(edge) - 1))] for edge in (crown, hairline))
    middle = (start + end) / 2 + (0.08 * np.sign(end[0] or 1), -0.04)
    return smooth(np.stack([start * 0.98, middle, end]))


def _locks(sitting: Sitting) -> None:
    """Paint the hair along the cheeks, over the ears."""
    person = sitting.person
    end = chin_y(person, sitting.face) - 0.2 if person.hair_style in _BOB else 2.4
    for side in (-1.0, 1.0):
        outer = points((0.86, -1.0), (1.1, -0.4), (1.19, 0.3), (1.2, 0.75 * end), (1.1, end))
        inner = points((0.92, 0.72 * end), (0.93, 0.25), (0.9, -0.3), (0.8, -0.75))
        if person.hair_style in _LONG:
            inner = points((0.84, 0.85 * end), (0.98, 0.9), (0.93, 0.2), (0.9, -0.3), (0.8, -0.75))
        lock = smooth(np.concatenate([outer, inner]) * (side * person.width, 1), closed=True)
        sitting.canvas.fill(lock, person.hair, soft=0.012)
        lines = [
            smooth(points((x, -0.5), (x + 0.08, 0.3), (x + 0.05, end - 0.2)) * (side * person.width, 1))
            for x in (0.97, 1.03, 1.07)
        ]
        sitting.canvas.stroke(
            lines, (0.004, 0.018, 0.004), mix(person.hair, (190, 176, 166), 0.45), alpha=0.28, clip=lock
        )


def _glasses(sitting: Sitting) -> None:
    person, canvas = sitting.person, sitting.canvas
    frame: Color = (38, 34, 36)
    x = eye_x(person)
    angle = np.linspace(0, 2 * np.pi, 48)
    power = 0.5 if person.glasses == "square" else 0.9
    rx, ry = (0.33, 0.24) if person.glasses == "square" else (0.31, 0.28)
    for side in (-1.0, 1.0):
        rim = np.stack(
            [
                side * x + rx * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power,
                0.03 + ry * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power,
            ],
            axis=1,
        )
        rim = sitting.at(rim, 0.08)
        canvas.fill(rim, (255, 255, 255), alpha=0.06)
        canvas.stroke(rim, 0.032, frame, alpha=0.92)
        arm = sitting.at(
            points((side * (x + rx), -0.03), (side * 0.93 * person.width, -0.05), (side * 1.0 * person.width, -0.04))
        )
        canvas.stroke(arm, (0.032, 0.026), frame, alpha=0.9)
    bridge = smooth(points((-(x - rx), 0.0), (0, -0.05), (x - rx, 0.0)))
    canvas.stroke(sitting.at(bridge, 0.1), 0.03, frame, alpha=0.92)
