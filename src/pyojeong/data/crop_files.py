"""Photographs -> crop files, in any number of processes, with a journal that lets a stopped run go on.

One crop serves all label schemes. Its name comes from the photograph's name alone, so that other splits, labels
or archives never make it anew; only another box, margin or photograph does.
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
from pyojeong.core.geometry import SIZE, enough_size, patch_region, reduced_crop
from pyojeong.core.images import ImageError, decode_reduced, measure, read_bytes
from pyojeong.core.progress import bar
from pyojeong.core.workspace import CROP_FILES, CROP_JOURNAL

QUALITY = 95
"""JPEG quality of crops; chroma is kept at full resolution (4:4:4)."""

MIN_FACE = 20
"""A face box with a shorter side, in pixels, is dropped: a crop would be enlarged eightfold."""

DROPS = {
    "box_outside_image": "more than half of the face box lies outside the photograph",
    "tiny_box": f"the face box is less than {MIN_FACE} pixels wide or high",
    "corrupt_image": "the photograph cannot be decoded to its end",
    "not_an_image": "the file is no JPEG, PNG, WebP, BMP or GIF",
    "empty_image": "the file has no bytes",
    "too_large_image": "more than 89 million pixels or 256 MiB",
    "encrypted_image": "the archive member needs a password",
    "missing_image": "the photograph disappeared while prepare ran",
    "lost_archive": "the photograph's archive became unreadable while prepare ran",
}
"""Why a photograph of the index has no crop: reason -> meaning."""

# Any other reason may be a disk's or an archive's that has been mended since, without another size or checksum.
_FINAL = ("box_outside_image", "tiny_box")

# Changing how pixels become a crop makes all crops anew.
_FORMAT = 2
_CHUNK = 16
_WRITERS = 4

_REASONS = {
    "corrupt": "corrupt_image",
    "not_an_image": "not_an_image",
    "empty": "empty_image",
    "too_large": "too_large_image",
    "encrypted": "encrypted_image",
    "missing": "missing_image",
    "outside": "missing_image",
    "unreadable_archive": "lost_archive",
}

Box = tuple[float, float, float, float]


class Task(NamedTuple):
    """A crop to make: where the photograph is, where the crop goes (both below the root), and the face box.

    ``key`` changes when the crop would.
    """

    path: str
    crop: str
    key: str
    box: Box


class Done(NamedTuple):
    """What became of a task.

    Attributes:
        crop: path of the crop.
        key: the task's key.
        reason: a key of ``DROPS``, or "" when the crop was made.
        width: of the upright photograph in pixels; 0 when unknown, as are the next five.
        height: of the upright photograph.
        orientation: EXIF orientation 1..8, 0 when the photograph has none.
        min_x: the box inside the photograph; as are ``min_y``, ``max_x``, ``max_y``.
        clipped: whether the annotators' box reached beyond the photograph.
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


def task_for(path: str, stamp: str, name: str, person: str, box: Box, margin: float) -> Task:
    """Return the task for one row of the index."""
    mark = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    crop = f"{CROP_FILES}/{person[:2]}/{person[:12]}_{mark}.jpg"
    key = hashlib.blake2b(repr((_FORMAT, SIZE, QUALITY, margin, box, name, stamp)).encode(), digest_size=12)
    return Task(path, crop, key.hexdigest(), box)


def fit_box(box: Box, width: int, height: int) -> tuple[Box, str]:
    """Clip ``box`` to a photograph of ``width`` x ``height`` pixels; return it with "" or a reason to drop it."""
    left, top, right, bottom = box
    inside = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    inner_width, inner_height = inside[2] - inside[0], inside[3] - inside[1]
    if min(inner_width, inner_height) <= 0 or 2 * inner_width * inner_height < (right - left) * (bottom - top):
        return inside, "box_outside_image"
    return inside, "tiny_box" if min(inner_width, inner_height) < MIN_FACE else ""


def make_crop(root: Path, margin: float, task: Task) -> tuple[Done, bytes]:
    """Make one crop and return it as a JPEG file, empty when there is a reason against it."""
    done = Done(task.crop, task.key, "")
    try:
        data = read_bytes(root, task.path)
        width, height, orientation = measure(data)
        box, reason = fit_box(task.box, width, height)
        done = Done(task.crop, task.key, reason, width, height, orientation, *box, box != task.box)
        if reason:
            return done, b""
        region = patch_region(box, margin)
        image = decode_reduced(data, enough_size(region, width, height))
    except ImageError as error:
        return done._replace(reason=_REASONS[error.reason]), b""
    file = io.BytesIO()
    Image.fromarray(reduced_crop(image, region)).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return done, file.getvalue()


def make_crops(
    root: Path, tasks: Sequence[Task], *, margin: float, workers: int, scheduler: str | None = None
) -> tuple[list[Done], int]:
    """Make the crops that do not exist yet.

    Args:
        root: the project root.
        tasks: one per photograph.
        margin: of the patch around the face box.
        workers: number of processes; the files are the same for any number.
        scheduler: address of a dask.distributed scheduler whose workers do it instead. They need this package, and
            ``root`` at the same place.

    Returns:
        What became of each task, in their order, and how many photographs were read in this run.

    Raises:
        InputError: workers were lost, or the scheduler does not answer.
        OSError: the disk is full or not writable. What was made stays, and the next run goes on from there.
    """
    journal = root / CROP_JOURNAL
    known = read_journal(journal)
    existing = existing_crops(root)
    todo = [task for task in tasks if not _is_done(known.get(task.crop), task, existing)]
    if todo:
        # Of a crop that is about to be made anew a stopped run could not tell which of the two it is. And the half line
        # of a killed run is gone before anything is added behind it.
        for task in todo:
            known.pop(task.crop, None)
        write_text(journal, _lines(known))
        with journal.open("a", encoding="utf-8") as file, bar("cropping faces", len(todo)) as advance:
            for chunk in _map(partial(make_chunk, root.absolute(), margin), _chunks(todo), workers, scheduler):
                made = {done.crop: done for done in chunk}
                file.write(_lines(made))
                file.flush()
                known |= made
                advance(len(chunk))
        if scheduler:
            existing_crops(root)  # another worker has done the work of a lost one, but not removed its half file
    # Entries come in the order of the work; a run that was killed after its last one has left them so.
    lines = _lines(known)
    if not journal.exists() or journal.read_bytes() != lines.encode():
        write_text(journal, lines)
    return [known[task.crop] for task in tasks], len(todo)


def read_journal(path: Path) -> dict[str, Done]:
    """Return the last entry of each crop; a line that a kill has cut off is ignored."""
    found = {}
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, list) and len(values) == len(Done._fields):
            found[str(values[0])] = Done(*values)
    return found


def existing_crops(root: Path) -> set[str]:
    """Return the paths of all crops below the root; what a killed process left half-written is removed."""
    found = set()
    for folder in (root / CROP_FILES).glob("*/"):
        for entry in os.scandir(folder):
            if entry.name.endswith(".part"):
                Path(entry.path).unlink()
            else:
                found.add(f"{CROP_FILES}/{folder.name}/{entry.name}")
    return found


def _is_done(done: Done | None, task: Task, existing: set[str]) -> bool:
    if done is None or done.key != task.key:
        return False
    return task.crop in existing if not done.reason else done.reason in _FINAL


def _lines(entries: dict[str, Done]) -> str:
    return "".join(json.dumps(entries[crop], separators=(",", ":")) + "\n" for crop in sorted(entries))


def _chunks(tasks: Sequence[Task]) -> list[Sequence[Task]]:
    return [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]


def make_chunk(root: Path, margin: float, tasks: Sequence[Task]) -> list[Done]:
    """Make crop files, each whole or not at all. Raises OSError when one cannot be written."""
    found = []
    # A disk takes milliseconds to confirm a file; meanwhile the next photograph is decoded.
    with ThreadPoolExecutor(_WRITERS) as disk:
        writing = []
        for task in tasks:
            done, data = make_crop(root, margin, task)
            found.append(done)
            if data:
                writing.append(disk.submit(write_bytes, root / task.crop, data))
    for written in writing:
        written.result()
    return found


def _map(
    make: partial[list[Done]], chunks: Sequence[Sequence[Task]], workers: int, scheduler: str | None
) -> Iterator[list[Done]]:
    if scheduler is None and (workers <= 1 or len(chunks) == 1):
        return map(make, chunks)
    return map_unordered(make, chunks, workers=workers, scheduler=scheduler)
