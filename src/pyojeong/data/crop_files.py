"""Cuts photographs into crop files in any number of processes, with a journal from which a stopped run resumes.

One crop serves all label schemes. Its name depends only on the photograph's name, so changing splits, labels or
archives never remakes it; only a changed box, margin or photograph does.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from pyojeong.core.executors import map_unordered
from pyojeong.core.files import write_bytes, write_text
from pyojeong.core.geometry import SIZE, Box, enough_size, patch_region, reduced_crop
from pyojeong.core.images import ImageError, decode_reduced, measure, read_bytes
from pyojeong.core.progress import bar
from pyojeong.core.workspace import CROP_FILES, CROP_JOURNAL

QUALITY = 95
"""JPEG quality of the crops; chroma keeps full resolution (4:4:4)."""

MIN_FACE = 20
"""Shortest allowed side of a face box in pixels; a smaller face would be enlarged about eightfold."""

DROPS = {
    "box_outside_image": "more than half of the face box lies outside the photograph",
    "tiny_box": f"the face box is less than {MIN_FACE} pixels wide or high",
    "corrupt_image": "the photograph cannot be decoded completely",
    "not_an_image": "the file is not an image in a supported format",
    "empty_image": "the file is empty",
    "too_large_image": "more than 89 million pixels or 256 MiB",
    "encrypted_image": "the archive member needs a password",
    "missing_image": "the photograph disappeared while prepare ran",
    "lost_archive": "the photograph's archive became unreadable while prepare ran",
}
"""Why an indexed photograph has no crop: reason -> meaning."""

# All other reasons are retried: a disk or archive may have been repaired without a change of size or checksum.
_FINAL = ("box_outside_image", "tiny_box")

# Increase it when pixels become a crop differently; all crops are then remade.
_FORMAT = 2
_CHUNK = 16
_WRITER_THREADS = 4

_REASONS = {
    "corrupt": "corrupt_image",
    "not_an_image": "not_an_image",
    "needs_heif": "not_an_image",
    "needs_codec": "not_an_image",
    "camera_raw": "not_an_image",
    "empty": "empty_image",
    "too_large": "too_large_image",
    "encrypted": "encrypted_image",
    "missing": "missing_image",
    "folder": "missing_image",
    "outside": "missing_image",
    "unreadable_archive": "lost_archive",
}


class CropTask(NamedTuple):
    """A crop to make.

    Attributes:
        path: the photograph, relative to the root.
        crop: the crop file to write, relative to the root.
        key: hash of everything that the crop's pixels depend on.
        box: face box in pixels of the upright photograph.
    """

    path: str
    crop: str
    key: str
    box: Box


class CropResult(NamedTuple):
    """The outcome of a task, and one line of the journal.

    Attributes:
        crop: the task's crop file.
        key: the task's key.
        reason: a key of ``DROPS``, or "" when the crop was made.
        width: width of the upright photograph in pixels; 0 when unknown, like the six numbers that follow.
        height: height of the upright photograph in pixels.
        orientation: EXIF orientation 1..8, 0 when the photograph has none.
        min_x: left side of the box, clipped to the photograph; ``min_y``, ``max_x``, ``max_y`` are the other sides.
        clipped: whether the annotators' box extended beyond the photograph.
    """

    crop: str
    key: str
    reason: str
    width: int = 0
    height: int = 0
    orientation: int = 0
    min_x: float = 0
    min_y: float = 0
    max_x: float = 0
    max_y: float = 0
    clipped: bool = False


def task_for(path: str, stamp: str, name: str, person: str, box: Box, margin: float) -> CropTask:
    """Return the task for one row of the index."""
    name_hash = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    crop = f"{CROP_FILES}/{person[:2]}/{person[:12]}_{name_hash}.jpg"
    key = hashlib.blake2b(repr((_FORMAT, SIZE, QUALITY, margin, box, name, stamp)).encode(), digest_size=12)
    return CropTask(path, crop, key.hexdigest(), box)


def fit_box(box: Box, width: int, height: int) -> tuple[Box, str]:
    """Clip ``box`` to a photograph of ``width`` x ``height`` pixels; return it and "" or the reason to drop it."""
    left, top, right, bottom = box
    inside = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    inner_width, inner_height = inside[2] - inside[0], inside[3] - inside[1]
    if min(inner_width, inner_height) <= 0 or 2 * inner_width * inner_height < (right - left) * (bottom - top):
        return inside, "box_outside_image"
    return inside, "tiny_box" if min(inner_width, inner_height) < MIN_FACE else ""


def make_crop(root: Path, margin: float, task: CropTask) -> tuple[CropResult, bytes]:
    """Return the result of a task and its JPEG file, which is empty when the photograph is dropped."""
    result = CropResult(task.crop, task.key, "")
    try:
        data = read_bytes(root, task.path)
        width, height, orientation = measure(data)
        box, reason = fit_box(task.box, width, height)
        result = CropResult(task.crop, task.key, reason, width, height, orientation, *box, box != task.box)
        if reason:
            return result, b""
        region = patch_region(box, margin)
        image = decode_reduced(data, enough_size(region, width, height))
    except ImageError as error:
        return result._replace(reason=_REASONS[error.reason]), b""
    file = io.BytesIO()
    Image.fromarray(reduced_crop(image, region)).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return result, file.getvalue()


def make_crops(
    root: Path, tasks: Sequence[CropTask], *, margin: float, workers: int, scheduler: str | None = None
) -> tuple[list[CropResult], int]:
    """Make the crops that do not exist yet.

    Args:
        root: the project root.
        tasks: one per photograph.
        margin: margin around the face box, as a share of its longer side.
        workers: number of processes; the files are the same for any number.
        scheduler: address of a dask.distributed scheduler whose workers make the crops instead. They need this
            package, and ``root`` at the same path.

    Returns:
        The result of each task, in their order, and how many crops were made in this run.

    Raises:
        InputError: workers were lost, or the scheduler does not answer.
        OSError: the disk is full or not writable. Finished crops stay, and the next run resumes from there.
    """
    journal = root / CROP_JOURNAL
    results = read_journal(journal)
    existing = existing_crops(root)
    todo = [task for task in tasks if not _is_finished(results.get(task.crop), task, existing)]
    if todo:
        # Forget the crops that are about to be remade, because after a kill nothing else tells the old file from the
        # new one. Rewriting the journal also removes a line that an earlier kill has cut off.
        for task in todo:
            results.pop(task.crop, None)
        write_text(journal, _lines(results))
        with journal.open("a", encoding="utf-8") as file, bar("cropping faces", len(todo)) as advance:
            for chunk in _map(partial(make_chunk, root.absolute(), margin), _chunks(todo), workers, scheduler):
                new_results = {result.crop: result for result in chunk}
                file.write(_lines(new_results))
                file.flush()
                results |= new_results
                advance(len(chunk))
        if scheduler:
            existing_crops(root)  # the work of a lost worker is redone, but its half-written file is still there
    # The journal was appended to in the order of the work, in this run or in one killed at its very end; sort it.
    lines = _lines(results)
    if not journal.exists() or journal.read_bytes() != lines.encode():
        write_text(journal, lines)
    return [results[task.crop] for task in tasks], sum(not results[task.crop].reason for task in todo)


def read_journal(path: Path) -> dict[str, CropResult]:
    """Return the last entry of each crop; a line that a kill has cut off is ignored."""
    results = {}
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, list) and len(values) == len(CropResult._fields):
            results[str(values[0])] = CropResult(*values)
    return results


def existing_crops(root: Path) -> set[str]:
    """Return the paths of all crops below the root, and remove files that a killed process left half-written."""
    crops = set()
    for folder in (root / CROP_FILES).glob("*/"):
        for entry in os.scandir(folder):
            if entry.name.endswith(".part"):
                Path(entry.path).unlink()
            else:
                crops.add(f"{CROP_FILES}/{folder.name}/{entry.name}")
    return crops


def _is_finished(result: CropResult | None, task: CropTask, existing: set[str]) -> bool:
    if result is None or result.key != task.key:
        return False
    return task.crop in existing if not result.reason else result.reason in _FINAL


def _lines(results: dict[str, CropResult]) -> str:
    return "".join(json.dumps(results[crop], separators=(",", ":")) + "\n" for crop in sorted(results))


def _chunks(tasks: Sequence[CropTask]) -> list[Sequence[CropTask]]:
    return [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]


def make_chunk(root: Path, margin: float, tasks: Sequence[CropTask]) -> list[CropResult]:
    """Make several crop files, each whole or not at all. Raises OSError when one cannot be written."""
    results = []
    # A disk takes milliseconds to confirm a file; meanwhile the next photograph is decoded.
    with ThreadPoolExecutor(_WRITER_THREADS) as writers:
        writes = []
        for task in tasks:
            result, data = make_crop(root, margin, task)
            results.append(result)
            if data:
                writes.append(writers.submit(write_bytes, root / task.crop, data))
    for write in writes:
        write.result()
    return results


def _map(
    make: partial[list[CropResult]], chunks: Sequence[Sequence[CropTask]], workers: int, scheduler: str | None
) -> Iterator[list[CropResult]]:
    if scheduler is None and (workers <= 1 or len(chunks) == 1):
        return map(make, chunks)
    return map_unordered(make, chunks, workers=workers, scheduler=scheduler)
