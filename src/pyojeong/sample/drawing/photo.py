"""Draws a photograph: background, light, body, head and camera noise."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from pyojeong.core.geometry import Box
from pyojeong.sample.drawing.canvas import Canvas, Color, mix
from pyojeong.sample.drawing.hair import paint_back, paint_body, paint_front
from pyojeong.sample.drawing.portrait import paint_head
from pyojeong.sample.drawing.sitter import (
    Expression,
    Light,
    Person,
    Pose,
    Sitting,
    face_box,
    random_expression,
    random_person,
)

_MAX_UNIT = 140.0
"""Largest number of pixels per face unit at which the head is painted; larger photographs are scaled up."""

_NOISE_LIMIT = 8


def random_pose(size: tuple[int, int], rng: np.random.Generator) -> Pose:
    """Return a pose that fills 30-50 % of a frame of ``size`` (width, height) and keeps the face inside.

    The share is the square root of box area over frame area, as in AI Hub data set 82.
    """
    width, height = size
    share = rng.uniform(0.305, 0.47)
    # The box of an average face is 1.9 by 2.7 face units.
    unit = min(share * np.sqrt(width * height / (1.9 * 2.7)), 0.92 * width / 2.2, 0.9 * height / 3.5)
    spare_x, spare_y = width - 2.3 * unit, height - 3.5 * unit
    x = 1.15 * unit + spare_x * np.clip(rng.normal(0.5, 0.13), 0.1, 0.9)
    y = 1.72 * unit + spare_y * np.clip(rng.normal(0.42, 0.1), 0.15, 0.75)
    roll, yaw, pitch = np.clip(rng.normal(0, (0.05, 0.09, 0.05)), (-0.16, -0.22, -0.12), (0.16, 0.22, 0.12))
    return Pose(float(x), float(y), float(unit), float(roll), float(yaw), float(pitch))


def draw_photo(
    person: Person,
    expression: Expression,
    *,
    size: tuple[int, int],
    pose: Pose,
    outdoors: bool,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], Box]:
    """Draw a photograph of ``size`` (width, height).

    Args:
        person: the person in the photograph.
        expression: the person's expression.
        size: width and height in pixels.
        pose: position of the face, in pixels of the photograph.
        outdoors: whether the background is sky and trees or a room.
        rng: random source of background, light and noise.

    Returns:
        Upright RGB pixels uint8 [H,W,3] and the face box (minX, minY, maxX, maxY) in them.
    """
    width, height = size
    scale = min(1.0, _MAX_UNIT / pose.unit)
    small = (round(width * scale), round(height * scale))
    image = _background(small, outdoors, rng)
    light = _light(rng)
    origin = (pose.x * scale, pose.y * scale)
    canvas = Canvas(image, origin, pose.unit * scale, pose.roll)
    sitting = Sitting(canvas, person, expression, pose, light)
    paint_back(sitting)
    paint_body(Canvas(image, origin, pose.unit * scale, 0.4 * pose.roll), sitting)
    paint_head(sitting)
    paint_front(sitting, np.random.default_rng(round(person.width * 1e6)))
    if scale < 1:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return _camera(image, rng), face_box(person, expression, pose)


def draw_face(label: str, seed: int, size: tuple[int, int] = (480, 640)) -> tuple[NDArray[np.uint8], Box]:
    """Draw one face with the expression of ``label``.

    Args:
        label: one of ``labels.KOREAN``.
        seed: the same seed gives the same person, expression and picture.
        size: width and height in pixels.

    Returns:
        Upright RGB pixels uint8 [H,W,3] and the face box (minX, minY, maxX, maxY).
    """
    rng = np.random.default_rng(seed)
    person = random_person(rng)
    expression = random_expression({label: 1.0}, rng)
    pose = random_pose(size, rng)
    return draw_photo(person, expression, size=size, pose=pose, outdoors=bool(rng.random() < 0.3), rng=rng)


def _light(rng: np.random.Generator) -> Light:
    x, y = rng.uniform(-0.55, 0.55), rng.uniform(-0.6, -0.15)
    length = float(np.sqrt(x * x + y * y + 0.85**2))
    return (float(x) / length, float(y) / length, 0.85 / length)


def _background(size: tuple[int, int], outdoors: bool, rng: np.random.Generator) -> Image.Image:
    """Return a blurred background of ``size``; it is painted tiny and scaled up."""
    width = 96
    tiny = (width, max(2, round(width * size[1] / size[0])))
    paint = _park if outdoors else _room
    image = paint(tiny, rng).filter(ImageFilter.GaussianBlur(rng.uniform(1.2, 3.0)))
    return image.resize(size, Image.Resampling.BILINEAR)


def _color(color: Color) -> tuple[int, int, int]:
    return (round(color[0]), round(color[1]), round(color[2]))


def _room(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    width, height = size
    walls = ((222, 214, 202), (200, 206, 210), (216, 204, 196), (186, 190, 186), (228, 226, 222), (196, 182, 166))
    wall = walls[int(rng.integers(len(walls)))]
    image = Image.new("RGB", size, wall)
    draw = ImageDraw.Draw(image)
    x = int(rng.uniform(-0.2, 0.9) * width)
    w, h = int(rng.uniform(0.25, 0.5) * width), int(rng.uniform(0.3, 0.55) * height)
    draw.rectangle((x, int(0.08 * height), x + w, int(0.08 * height) + h), fill=(244, 246, 246))
    draw.line(
        (x + w // 2, int(0.08 * height), x + w // 2, int(0.08 * height) + h),
        fill=_color(mix(wall, (90, 80, 70), 0.3)),
        width=2,
    )
    furniture = ((122, 92, 68), (92, 98, 106), (150, 124, 96), (108, 116, 100), (84, 72, 66))
    for _ in range(int(rng.integers(2, 5))):
        fill = furniture[int(rng.integers(len(furniture)))]
        x, y = int(rng.uniform(-0.1, 1) * width), int(rng.uniform(0.45, 0.85) * height)
        w, h = int(rng.uniform(0.12, 0.4) * width), int(rng.uniform(0.15, 0.6) * height)
        draw.rectangle((x, y, x + w, y + h), fill=_color(mix(fill, wall, 0.35)))
    for _ in range(int(rng.integers(0, 4))):
        x, y, r = int(rng.uniform(0, 1) * width), int(rng.uniform(0.02, 0.4) * height), int(rng.uniform(2, 6))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 238, 206))
    return image


def _park(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    width, height = size
    sky = mix((168, 200, 232), (224, 228, 232), float(rng.uniform(0, 1)))
    image = Image.new("RGB", size, _color(sky))
    draw = ImageDraw.Draw(image)
    horizon = int(rng.uniform(0.45, 0.7) * height)
    ground = mix((124, 142, 98), (168, 158, 142), float(rng.uniform(0, 1)))
    draw.rectangle((0, horizon, width, height), fill=_color(ground))
    leaves = mix((66, 104, 62), (142, 128, 74), float(rng.uniform(0, 1)))
    for _ in range(int(rng.integers(20, 40))):
        x, y, r = rng.uniform(0, width), horizon - abs(rng.normal(0, 0.1)) * height, rng.uniform(0.04, 0.13) * width
        fill = _color(mix(leaves, sky, float(rng.uniform(0, 0.45))))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)
    return image


def _camera(image: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the pixels with exposure, white balance and sensor noise."""
    gain = rng.uniform(0.9, 1.06) * rng.normal(1, 0.015, 3)
    # Tones keep a distance from black and white, so that adding the noise never wraps a byte.
    ramp = np.clip(np.rint(np.arange(256)[None, :] * gain[:, None]), _NOISE_LIMIT, 255 - _NOISE_LIMIT)
    pixels = np.array(image.point(ramp.astype(int).ravel().tolist()))
    # A repeated small tile, because noise for every pixel costs more time than the drawing.
    noise = np.clip(np.rint(rng.normal(0, rng.uniform(1.0, 2.6), (128, 128, 1))), -_NOISE_LIMIT, _NOISE_LIMIT)
    tile = np.repeat(noise.astype(np.int8).view(np.uint8), 3, axis=2)
    height, width = pixels.shape[:2]
    pixels += np.tile(tile, (-(-height // 128), -(-width // 128), 1))[:height, :width]
    return pixels
