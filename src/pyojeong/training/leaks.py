"""Images and people that the tables of a run share, so that its scores would be too high."""

import logging
from collections.abc import Iterator, Mapping

from pyojeong.core.errors import counted
from pyojeong.core.geometry import MATCHED_IOU, iou
from pyojeong.training.crop_cache import CropTable

log = logging.getLogger(__name__)


def warn_of_leaks(tables: Mapping[str, CropTable]) -> None:
    """Log a warning for each two of ``train``, ``val`` and ``test`` that share images or people."""
    for name, other_name in (("train", "val"), ("train", "test"), ("val", "test")):
        table, other = tables[name], tables[other_name]
        people = (_people(table) & _people(other)) - {""}
        for what, count in (("image", _shared_faces(table, other)), ("person", len(people))):
            if count:
                shared = counted(count, what)
                log.warning("%s and %s share %s: the scores will be too high", table.csv, other.csv, shared)


def _people(table: CropTable) -> set[str]:
    return set(table.facts["person"]) if "person" in table.facts.columns else set()


def _shared_faces(table: CropTable, other: CropTable) -> int:
    """Count the images that show the same face in both tables: whole images, or boxes that overlap as a match does."""
    other_boxes: dict[str, list[list[float] | None]] = {}
    for path, box in _faces(other):
        other_boxes.setdefault(path, []).append(box)
    return len(
        {
            path
            for path, box in _faces(table)
            if any(
                box is None or other_box is None or iou(box, other_box) >= MATCHED_IOU
                for other_box in other_boxes.get(path, [])
            )
        }
    )


def _faces(table: CropTable) -> Iterator[tuple[str, list[float] | None]]:
    boxes = [None] * len(table.paths) if table.boxes is None else table.boxes.tolist()
    yield from zip(table.paths, boxes, strict=True)
