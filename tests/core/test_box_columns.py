"""Columns that hold a box as annotation tools write them, and columns that only look like it."""

from pathlib import Path

import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.labels import BASIC7
from pyojeong.core.table import BOX_COLUMNS, read_table

BOXES = [(200.0, 240.0, 490.0, 550.0), (300.0, 2.0, 330.0, 40.0)]
CORNERS = [list(box) for box in BOXES]
SIZES = [[a, b, c - a, d - b] for a, b, c, d in BOXES]
CENTERS = [[(a + c) / 2, (b + d) / 2, c - a, d - b] for a, b, c, d in BOXES]


def read(folder: Path, head: list[str], rows: list[list[float]]) -> list[tuple[float, ...]]:
    lines = [",".join([f"{number}.jpg", "happy", *map(str, row)]) for number, row in enumerate(rows)]
    (folder / "a.csv").write_text("\n".join([",".join(["path", "label", *head]), *lines]), encoding="utf-8")
    frame = read_table(folder / "a.csv", scheme=BASIC7, root=folder, boxes=None)
    return frame.select(BOX_COLUMNS).rows() if "minX" in frame.columns else []


@pytest.mark.parametrize(
    ("head", "rows"),
    [
        (["x_center", "y_center", "width", "height"], CENTERS),
        (["cx", "cy", "w", "h"], CENTERS),
        (["bbox_cx", "bbox_cy", "bbox_width", "bbox_height"], CENTERS),
        (["Center X", "Center Y", "W", "H"], CENTERS),
        (["x_centre", "y_centre", "w", "h"], CENTERS),
        (["bbox[0]", "bbox[1]", "bbox[2]", "bbox[3]"], CORNERS),
        (["bbox[0]", "bbox[1]", "bbox[2]", "bbox[3]"], SIZES),
        (["bbox_0", "bbox_1", "bbox_2", "bbox_3"], SIZES),
        (["box1", "box2", "box3", "box4"], CORNERS),
        (["face_bbox.0", "face_bbox.1", "face_bbox.2", "face_bbox.3"], CORNERS),
        (["bb_left", "bb_top", "bb_width", "bb_height"], SIZES),
        (["rect_x", "rect_y", "rect_w", "rect_h"], SIZES),
        (["roi.x1", "roi.y1", "roi.x2", "roi.y2"], CORNERS),
        (["x", "y", "너비", "높이"], SIZES),
        (["cx", "cy", "너비", "높이"], CENTERS),
        (["왼쪽", "top", "w", "높이"], SIZES),
        (["xmin", "ymin", "width", "height"], SIZES),
        (["left", "위", "xmax", "bottom"], CORNERS),
    ],
)
def test_boxes_are_read_as_tools_write_them(tmp_path: Path, head: list[str], rows: list[list[float]]) -> None:
    assert read(tmp_path, head, rows) == BOXES


def test_the_size_of_the_photograph_is_no_side_of_a_mixed_box(tmp_path: Path) -> None:
    assert (
        read(tmp_path, ["xmin", "y1", "x2", "ymax", "width", "height"], [[*row, 640, 480] for row in CORNERS]) == BOXES
    )
    with pytest.raises(InputError, match=r"a\.csv: has xmin, ymin, xmax of a box, and no bottom; a box is"):
        read(tmp_path, ["xmin", "ymin", "xmax", "width", "height"], [[*row[:3], 640, 480] for row in CORNERS])


@pytest.mark.parametrize("marks", [["x1", "y1", "x3", "y3"], ["x1", "y1", "a", "b"]])
def test_landmarks_are_no_corner_of_a_mixed_box(tmp_path: Path, marks: list[str]) -> None:
    with pytest.raises(InputError, match="of a box, and no right or bottom"):
        read(tmp_path, ["bb_left", "bb_top", *marks], CORNERS)


def via(folder: Path, *shapes: str) -> list[tuple[float, ...]]:
    lines = [f'{number}.jpg,happy,"{shape.replace(chr(34), chr(34) * 2)}"' for number, shape in enumerate(shapes)]
    (folder / "a.csv").write_text("\n".join(["filename,emotion,region_shape_attributes", *lines]), encoding="utf-8")
    return read_table(folder / "a.csv", scheme=BASIC7, root=folder, boxes=None).select(BOX_COLUMNS).rows()


def test_rectangles_of_via_are_read(tmp_path: Path) -> None:
    shape = '{"name":"rect","x":200,"y":240,"width":290,"height":310}'
    assert via(tmp_path, shape, '{"name": "rect", "x": 300.0, "y": 2, "width": 30, "height": 38}') == BOXES
    for other in ("{}", '{"name":"circle","cx":3,"cy":4,"r":5}', "none"):
        with pytest.raises(
            InputError, match=r"a\.csv, line 3: region_shape_attributes is .* not a rectangle with x, y"
        ):
            via(tmp_path, shape, other)


@pytest.mark.parametrize(
    ("head", "rows"),
    [
        (["x_center", "y_center", "width", "height"], [[0.5, 0.5, 0.2, 0.3], [0.9, 0.9, 0.2, 0.2]]),
        (["x", "y", "w", "h"], [[0.9, 0.9, 0.3, 0.3], [0.5, 0.5, 0.2, 0.2]]),
        (["bbox_0", "bbox_1", "bbox_2", "bbox_3"], [[0.1, 0.1, 1.02, 0.3], [0.5, 0.5, 0.9, 0.9]]),
    ],
)
def test_shares_are_refused_in_every_form(tmp_path: Path, head: list[str], rows: list[list[float]]) -> None:
    with pytest.raises(InputError, match=r"in pixels, not in shares of the image\. Multiply x and widths by the width"):
        read(tmp_path, head, rows)


@pytest.mark.parametrize(
    ("head", "names"),
    [
        (["bb_l", "bb_t", "bb_r", "bb_b"], "bb_l, bb_t, bb_r, bb_b"),
        (["face_box_a", "b", "c", "d"], "face_box_a"),
        (["FaceRect", "b", "c", "d"], "FaceRect"),
        (["xmin", "b", "c", "d"], "xmin"),
        (["left", "b", "c", "d"], "left"),
    ],
)
def test_columns_that_look_like_a_box_are_told(
    tmp_path: Path, head: list[str], names: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(tmp_path, head, CORNERS) == []
    assert f"a.csv: {names} cannot be read as a box, so each image counts as a finished face crop; if" in caplog.text


@pytest.mark.parametrize("name", ["checkbox", "direction", "x", "correct", "width", "heroine", "inbox"])
def test_other_columns_are_no_boxes(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert read(tmp_path, [name], [[1.0]]) == []
    assert not caplog.text
