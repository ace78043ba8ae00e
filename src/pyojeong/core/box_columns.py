"""Which columns of a table hold its boxes, and in which form."""

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Literal

from pyojeong.core.csv_text import column_word
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import BOX_KEYS

Form = Literal["corners", "size", "center", "numbered"]
"""What four columns hold: two corners; the left upper corner and the size; the center and the size; or, where they are
only numbered, one of the first two."""

VIA_COLUMN = "regionshapeattributes"
"""``column_word`` of the column in which the VGG Image Annotator writes a box as JSON."""

VIA_SIDES = ("x", "y", "width", "height")
"""The keys of the rectangle in it."""

# As box_word writes them; the contract's come first.
_CORNERS = (
    ("minx", "miny", "maxx", "maxy"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("x0", "y0", "x1", "y1"),
    ("left", "top", "right", "bottom"),
    ("leftx", "topy", "rightx", "bottomy"),
    ("xtl", "ytl", "xbr", "ybr"),
    ("xleft", "ytop", "xright", "ybottom"),
    ("startx", "starty", "endx", "endy"),
    ("topleftx", "toplefty", "bottomrightx", "bottomrighty"),
    ("왼쪽", "위", "오른쪽", "아래"),
    ("좌", "상", "우", "하"),
)
_SIZES = (
    ("x", "y", "width", "height"),
    ("x", "y", "w", "h"),
    ("left", "top", "width", "height"),
    ("왼쪽", "위", "너비", "높이"),
)
_CENTERS = tuple(
    start + size
    for start, size in product(
        (
            *(("xcenter", "ycenter"), ("centerx", "centery"), ("xcentre", "ycentre"), ("centrex", "centrey")),
            *(("cx", "cy"), ("xc", "yc")),
        ),
        (("width", "height"), ("w", "h")),
    )
)
_NUMBERED = (("box0", "box1", "box2", "box3"), ("box1", "box2", "box3", "box4"))
_FORMS: dict[tuple[str, ...], Form] = {
    **dict.fromkeys(_CORNERS, "corners"),
    **dict.fromkeys(_SIZES, "size"),
    **dict.fromkeys(_CENTERS, "center"),
    **dict.fromkeys(_NUMBERED, "numbered"),
}
# Width and height are also those of the photograph.
_BOX_WORDS = {name for names in _FORMS for name in names} - {"width", "height", "너비", "높이"}
# What each form consists of, for boxes whose sides are named in different ways; corners come first.
_SIDES: dict[tuple[str, ...], Form] = {
    ("left", "top", "right", "bottom"): "corners",
    ("left", "top", "width", "height"): "size",
    ("center x", "center y", "width", "height"): "center",
}
# Among other names, x1 and y1 may be either corner of x0,y0,x1,y1.
_SIDE_OF = {
    word: side
    for sides, form in _SIDES.items()
    for names in _FORMS
    if _FORMS[names] == form and names[0] != "x0"
    for word, side in zip(names, sides, strict=True)
}
_WHOLE_BOX_WORDS = {"box", "bbox", "rect", *(name for names in _CENTERS for name in names[:2])}

_BOX = "(bounding|face)?(b?box|bb|rect(angle)?|roi)"
_PREFIX = re.compile(f"^{_BOX}|^face")
_NUMBER = re.compile(f"^{_BOX}([0-4])$")
# A checkbox or a direction is no box.
_LOOKS_LIKE = re.compile(r"(^|[^a-z])(bounding|face)?(b?box|bb|rect|rectangle|roi)(es|s)?([^a-z]|$)", re.IGNORECASE)


def find_box_columns(columns: Sequence[str], path: Path) -> dict[tuple[str, ...], Form]:
    """Return the four columns of each box of which all are there, and their form; empty where there is none.

    Raises InputError where two columns could be the same side of a box.
    """
    prefixed = [name for name in columns if box_word(name) != column_word(name)]
    # The contract's names, then those that say box or face: beside them, x1 to y2 may be landmarks.
    for names in ([name for name in BOX_KEYS if name in columns], prefixed, columns):
        if found := _complete(_by_box_word(names, path)):
            return found
    return _mixed(_by_box_word(columns, path))


def box_word(name: str) -> str:
    """Return the name of a box's column without what may stand before it: ``bbox_x``, ``face-left``, ``Box X``.

    Numbered columns such as ``bbox[0]`` and ``box_0`` become ``box0``.
    """
    word = column_word(name)
    if number := _NUMBER.match(word):
        return f"box{number[4]}"
    return _PREFIX.sub("", word) or word


def part_of_a_box(columns: Sequence[str], path: Path) -> bool:
    """Whether some of the columns surely belong to a box, of which others are missing."""
    words = _by_box_word(columns, path)
    return sum(word in _BOX_WORDS for word in words) > 1 or any(word in _WHOLE_BOX_WORDS for word in words)


def incomplete(columns: Sequence[str], path: Path) -> str:
    """Say why columns that belong to a box are none: which side is missing, or that there are too many.

    It is measured by the form that most of the columns fit. Empty where no column is a side of it.
    """
    present = _by_box_word(columns, path)
    surely = {word: name for word, name in present.items() if word in _BOX_WORDS}
    sides_of, surely_of = _by_side(present), _by_side(surely)
    form = max(_SIDES, key=lambda form: (len({*form} & {*surely_of}), len({*form} & {*sides_of})))
    there = [name for side in form for name in sides_of.get(side, [])]
    if there and (lacking := [side for side in form if side not in sides_of]):
        return f"has {', '.join(there)} of a box, and no {' or '.join(lacking)}"
    there += [name for name in surely.values() if name not in there]
    if len(there) <= len(form):
        return ""
    return f"{', '.join(there)} could all belong to a box; remove or rename those that do not"


def like_a_box(columns: Sequence[str]) -> list[str]:
    """Return the columns that may belong to a box by their names: ``bb_l``, ``xmin``, ``face_rect``."""
    words = {word for word in _BOX_WORDS if len(word) > 1}
    return [name for name in columns if _LOOKS_LIKE.search(name) or box_word(name) in words]


def _by_box_word(names: Sequence[str], path: Path) -> dict[str, str]:
    """Return ``box_word`` -> column; InputError where two columns have the same one."""
    present: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name not in BOX_KEYS):
        word = box_word(name)
        if word in present and word in _BOX_WORDS and present[word] not in BOX_KEYS:
            raise InputError(f"{path}: {present[word]} and {name} could both belong to a box; remove or rename one")
        present[word] = present.get(word, name)
    return present


def _by_side(present: dict[str, str]) -> dict[str, list[str]]:
    """Return side -> the columns that hold it by their names."""
    sides: dict[str, list[str]] = {}
    for word, name in present.items():
        if word in _SIDE_OF:
            sides.setdefault(_SIDE_OF[word], []).append(name)
    return sides


def _mixed(present: dict[str, str]) -> dict[tuple[str, ...], Form]:
    """Return the box whose sides are named in different ways, such as x, y, 너비, 높이.

    Empty where a side is there twice, and where another column would surely belong to a box.
    """
    sides_of = _by_side(present)
    surely = {name for word, name in present.items() if word in _BOX_WORDS}
    for sides, form in _SIDES.items():
        names = [name for side in sides for name in sides_of.get(side, [])]
        if len(names) == len(sides) and all(side in sides_of for side in sides) and surely <= {*names}:
            return {tuple(names): form}
    return {}


def _complete(present: dict[str, str]) -> dict[tuple[str, ...], Form]:
    found = [names for names in _FORMS if all(name in present for name in names)]
    starts = [names[:2] for names in found]
    if len(found) > 1:
        # Beside another box with the same corner, width and height are those of the photograph.
        found = [names for names in found if names[2:] != ("width", "height") or starts.count(names[:2]) == 1]
    return {tuple(present[name] for name in names): _FORMS[names] for names in found}
