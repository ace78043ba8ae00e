"""Photographs and tables to evaluate."""

import zipfile
from functools import cache
from itertools import islice
from pathlib import Path

from pyojeong.faceapi.engines import FaceApiContender
from tests.faceapi.faces import jpeg, portrait, scenes

PUBLISHED = ["image", "gt_label", "pred_label", "score", "face_detected", "iou", "correct"]
Row = tuple[str, str, tuple[float, float, float, float]]
FACE_API = FaceApiContender()


def write_table(path: Path, rows: list[Row]) -> Path:
    lines = ["path,orig_kor,minX,minY,maxX,maxY"]
    lines += [",".join([name, label, *map(str, box)]) for name, label, box in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@cache
def _scenes() -> list[tuple[str, bytes, tuple[float, float, float, float]]]:
    return [*islice(scenes(), 11)]


def write_photographs(folder: Path) -> list[Row]:
    """Twelve photographs of every kind, one of them in an archive, one with two annotated faces."""
    (folder / "data_raw").mkdir()
    rows: list[Row] = []
    labels = ("기쁨", "당황", "분노", "불안", "상처", "슬픔", "중립")
    for number, (name, data, box) in enumerate(_scenes()):
        path = f"data_raw/{name}.jpg"
        (folder / path).write_bytes(data)
        rows.append((path, labels[number % 7], box))
    crowd = next(row for row in rows if "crowd-2x1" in row[0])
    second = portrait(1)[1]
    rows.append((crowd[0], "기쁨", (second[0] + 480, second[1], second[2] + 480, second[3])))
    with zipfile.ZipFile(folder / "data_raw" / "x.zip", "w") as archive:
        archive.writestr("하나.jpg", jpeg(portrait(2)[0]))
    rows.append(("data_raw/x.zip!/하나.jpg", "중립", portrait(2)[1]))
    return rows
