"""Describes the person in a photograph, the expression and the pose, and the face geometry they imply.

Face units: 1 is half the face's width at the cheekbones of an average person. The origin lies between the
eyes; x grows to the right of the picture, y downwards.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from pyojeong.core.labels import KOREAN
from pyojeong.sample.drawing.canvas import STRETCH, Canvas, Color, Points, mix, points, rolled


@dataclass(frozen=True)
class Person:
    """The constant looks of one person. Numbers are factors around 1 unless noted."""

    gender: str  # 남 or 여
    age: int  # years
    skin: Color
    hair: Color
    lips: Color
    clothes: Color
    hair_style: str  # one of HAIR_STYLES
    collar: str  # round, v, shirt
    glasses: str  # "", round, square
    width: float
    jaw: float
    chin: float
    eye_size: float
    eye_space: float
    eye_tilt: float  # radians, outer corner up
    double_lid: bool
    brow_weight: float
    brow_arch: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_fullness: float
    ears: float
    mole: tuple[float, float] | None  # face units


HAIR_STYLES = {
    "남": ("crop", "parted", "fringe", "swept"),
    "여": ("long", "bob", "tied", "long_fringe", "bob_fringe"),
}


@dataclass(frozen=True)
class Expression:
    """Muscle movements, each modeled on a facial action unit; 0 is a face at rest.

    All lie in 0..1 except ``eye_open`` (0 closed, 1 at rest, 1.5 wide), ``lip_width`` (-1 pursed .. 1 stretched)
    and the gaze (-1..1, right and down positive).
    """

    inner_brow_raise: float = 0.0  # AU1
    outer_brow_raise: float = 0.0  # AU2
    brow_lower: float = 0.0  # AU4
    eye_open: float = 1.0  # AU5 above 1, AU43 below
    cheek_raise: float = 0.0  # AU6
    lid_tighten: float = 0.0  # AU7
    nose_wrinkle: float = 0.0  # AU9
    upper_lip_raise: float = 0.0  # AU10
    lip_corner_pull: float = 0.0  # AU12
    lip_corner_depress: float = 0.0  # AU15
    chin_raise: float = 0.0  # AU17
    lip_width: float = 0.0  # AU18 below 0, AU20 above
    lip_press: float = 0.0  # AU24
    jaw_drop: float = 0.0  # AU26
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    blush: float = 0.0
    tears: float = 0.0


MEANS: Mapping[str, Expression] = {
    "기쁨": Expression(
        inner_brow_raise=0.2,
        outer_brow_raise=0.25,
        eye_open=0.95,
        cheek_raise=0.8,
        upper_lip_raise=0.5,
        lip_corner_pull=0.9,
        lip_width=0.3,
        jaw_drop=0.22,
        blush=0.3,
    ),
    "당황": Expression(
        inner_brow_raise=0.85, outer_brow_raise=0.85, eye_open=1.4, lip_width=-0.45, jaw_drop=0.6, blush=0.5
    ),
    "분노": Expression(
        brow_lower=1.0,
        eye_open=1.05,
        lid_tighten=0.6,
        nose_wrinkle=0.6,
        upper_lip_raise=0.25,
        lip_corner_depress=0.35,
        lip_width=0.15,
        lip_press=0.5,
        blush=0.2,
    ),
    "불안": Expression(
        inner_brow_raise=0.7,
        outer_brow_raise=0.2,
        brow_lower=0.55,
        eye_open=1.2,
        lip_corner_depress=0.25,
        lip_width=0.6,
        jaw_drop=0.16,
        gaze_x=0.4,
    ),
    "상처": Expression(
        inner_brow_raise=0.6,
        brow_lower=0.3,
        eye_open=0.72,
        lip_corner_depress=0.55,
        chin_raise=0.45,
        lip_press=0.45,
        gaze_y=0.5,
        tears=0.12,
    ),
    "슬픔": Expression(
        inner_brow_raise=0.85,
        brow_lower=0.2,
        eye_open=0.66,
        lip_corner_depress=0.85,
        chin_raise=0.35,
        lip_press=0.1,
        jaw_drop=0.03,
        gaze_y=0.3,
        tears=0.45,
    ),
    "중립": Expression(),
}
"""Mean expression of each label. As in the real set, 상처 is close to 슬픔, and 불안 lies between 당황 and 분노."""

SPREAD = 0.13
"""Standard deviation of every movement around its mean."""


@dataclass(frozen=True)
class Pose:
    """Position and rotation of the face in the picture.

    ``x``, ``y``: the point between the eyes in pixels; ``unit``: pixels per face unit; ``roll`` clockwise,
    ``yaw`` to the picture's right, ``pitch`` downwards, radians.
    """

    x: float
    y: float
    unit: float
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0


Light = tuple[float, float, float]
"""Direction of the light source as a unit vector: right, down, towards the viewer."""


@dataclass(frozen=True)
class Sitting:
    """One person with one expression in one pose, and the canvas to paint on."""

    canvas: Canvas
    person: Person
    face: Expression
    pose: Pose
    light: Light

    def at(self, flat: Points, lift: float = 0.0) -> Points:
        """Return face points moved by yaw and pitch."""
        return turned(flat, self.pose, lift)


def random_person(rng: np.random.Generator, gender: str | None = None, age: int | None = None) -> Person:
    """Return a random person; ``gender`` (남/여) and ``age`` (years) are random unless given."""
    gender = gender or str(rng.choice(["남", "여"]))
    age = age or int(rng.choice([10, 20, 30, 40, 50, 60]))
    male = gender == "남"
    tone = float(rng.uniform(0, 1))
    skin = mix((246, 217, 194), (205, 156, 122), tone)
    hair = mix((24, 20, 20), (72, 46, 32), float(rng.uniform(0, 1)) ** 2)
    if age >= 50:
        hair = mix(hair, (150, 147, 145), float(rng.uniform(0.15, 0.75)))
    lips = mix((186, 104, 98) if male else (200, 84, 92), skin, float(rng.uniform(0.1, 0.45)))
    palette = (
        (58, 78, 110),
        (226, 226, 222),
        (52, 54, 58),
        (140, 62, 60),
        (94, 120, 98),
        (206, 178, 138),
        (124, 140, 172),
    )

    def around(spread: float) -> float:
        return float(np.clip(rng.normal(1, spread), 1 - 2 * spread, 1 + 2 * spread))

    return Person(
        gender=gender,
        age=age,
        skin=skin,
        hair=hair,
        lips=lips,
        clothes=palette[int(rng.integers(len(palette)))],
        hair_style=str(rng.choice(HAIR_STYLES[gender])),
        collar=str(rng.choice(["round", "v", "shirt"])),
        glasses=str(rng.choice(["", "", "", "round", "square"])),
        width=around(0.035) * (1.0 if male else 0.965),
        jaw=around(0.05) * (1.05 if male else 0.95),
        chin=around(0.025),
        eye_size=around(0.08) * (0.97 if male else 1.08),
        eye_space=around(0.03),
        eye_tilt=float(rng.normal(0.06, 0.04)),
        double_lid=bool(rng.random() < 0.55),
        brow_weight=around(0.15) * (1.25 if male else 0.85),
        brow_arch=around(0.2),
        nose_width=around(0.08) * (1.06 if male else 0.95),
        nose_length=around(0.04),
        mouth_width=around(0.06),
        lip_fullness=around(0.12) * (0.9 if male else 1.1),
        ears=around(0.1),
        mole=(float(rng.uniform(-0.7, 0.7)), float(rng.uniform(0.35, 1.15))) if rng.random() < 0.25 else None,
    )


def random_expression(weights: Mapping[str, float], rng: np.random.Generator, spread: float = SPREAD) -> Expression:
    """Return a random expression around the weighted mean of several labels.

    Args:
        weights: Korean label -> share; the shares are scaled to sum to 1, other keys are ignored.
        rng: random source.
        spread: standard deviation of every movement.

    Raises:
        ValueError: no label has a weight.
    """
    total = sum(weights.get(label, 0.0) for label in KOREAN)
    if total <= 0:
        raise ValueError(f"no weight on any of {KOREAN}: {dict(weights)}")
    means = {label: asdict(MEANS[label]) for label in KOREAN}
    limits = {"eye_open": (0.3, 1.55), "lip_width": (-1.0, 1.0), "gaze_x": (-1.0, 1.0), "gaze_y": (-1.0, 1.0)}
    values = {}
    for name in asdict(Expression()):
        mean = sum(weights.get(label, 0.0) * means[label][name] for label in KOREAN) / total
        # Movements that the expression does not use stay nearly at rest.
        is_used = abs(mean - (name == "eye_open")) > 0.08 or name in {"eye_open", "gaze_x", "gaze_y"}
        low, high = limits.get(name, (0.0, 1.0))
        values[name] = float(np.clip(rng.normal(mean, spread if is_used else spread / 3), low, high))
    expression = Expression(**values)
    if expression.gaze_x and rng.random() < 0.5:
        expression = replace(expression, gaze_x=-expression.gaze_x)
    return expression


def chin_y(person: Person, expression: Expression) -> float:
    """Return the distance from the eyes to the chin, in face units."""
    return 1.46 * person.chin + 0.2 * expression.jaw_drop


def contour(person: Person, expression: Expression) -> Points:
    """Return control points [16,2] of the outline of the face without hair and ears, in face units."""
    w, jaw, chin = person.width, person.jaw, chin_y(person, expression)
    right = points(
        (0.0, -1.30),
        (0.45 * w, -1.24),
        (0.80 * w, -0.92),
        (0.95 * w, -0.45),
        (0.985 * w, 0.05),
        (0.95 * w, 0.42),
        (0.795 * w * jaw, 0.60 * chin),
        (0.565 * w * jaw, 0.82 * chin),
        (0.27 * w * jaw, 0.965 * chin),
        (0.0, chin),
    )
    left = right[1:-1][::-1] * (-1, 1)
    return np.concatenate([right, left])


def face_box(person: Person, expression: Expression, pose: Pose) -> tuple[float, float, float, float]:
    """Return (minX, minY, maxX, maxY) in pixels: forehead under the hairline to chin, cheek to cheek."""
    outline = contour(person, expression)
    face = outline[outline[:, 1] > -1.0]
    face = np.concatenate([face, points((0.0, FOREHEAD))])
    placed = face * (1, STRETCH) @ rolled(pose.roll) * pose.unit + (pose.x, pose.y)
    (left, top), (right, bottom) = placed.min(axis=0), placed.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


FOREHEAD = -1.05
"""Upper edge of an annotator's box in face units: the upper forehead."""


def turned(flat: Points, pose: Pose, lift: float = 0.0) -> Points:
    """Return face points [N,2] as yaw and pitch move them on an ellipsoid head.

    Points on the outline stay in place, points in the middle move most. ``lift`` is the height of a part above the
    ellipsoid (such as the tip of the nose), in face units.
    """
    depth = 0.85 * np.sqrt(np.clip(1.05 - (flat[:, 0] / 1.02) ** 2 - ((flat[:, 1] - 0.1) / 1.6) ** 2, 0, 1)) + lift
    moved: Points = flat + np.stack([depth * np.sin(pose.yaw), depth * np.sin(pose.pitch)], axis=1)
    return moved
