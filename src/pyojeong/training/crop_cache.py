"""The crops of a CSV as one array on disk, decoded once: an epoch never opens an image.

The array is a memory-mapped ``.npy`` file of uint8 [rows, 160, 160, 3] under ``data_shared/pixels_160``, row by row
as the CSV. Its name is made from the rows' paths and boxes and the files' sizes and times, so tables that differ only
in their labels (M1, M2, K7) share one, and changed crops get a new one. Old ones may be deleted at any time.
"""

import hashlib
import json
import logging
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pyojeong.core import geometry, images
from pyojeong.core.errors import InputError
from pyojeong.core.files import lock, read_json, whole_file, write_json
from pyojeong.core.images import ImageError, Pixels
from pyojeong.core.labels import Scheme
from pyojeong.core.metrics import Floats, Ints, encode
from pyojeong.core.progress import bar
from pyojeong.core.table import BOX_COLUMNS, line_of, numbers, read_csv, read_table
from pyojeong.core.workspace import CROP_CACHE
from pyojeong.data.records import VOTES

_CHUNK = 1024


@dataclass(frozen=True)
class Listing:
    """A checked CSV of crops, before any pixel is read.

    Attributes:
        csv: the file.
        paths: of the images, relative to the root, one per row.
        people: who is on each image, where the CSV has the column ``person``.
        boxes: float64 [rows, 4] where the CSV gives the faces in whole photographs, None where images are crops.
        labels: class numbers of the scheme, int64 [rows].
        sets: number of each row's data set (column ``set``), int64 [rows]; all 0 without that column.
        votes: annotators' votes by class, float64 [rows, K]; None without the columns ``votes_<label>``.
        margin: crop margin where there are boxes.
        offset: of the crop from the box, see ``geometry.patch_region``.
        aspect: of the crop, see the same.
        key: identifies the pixels.
    """

    csv: Path
    paths: list[str]
    people: list[str] | None
    boxes: NDArray[np.float64] | None
    labels: Ints
    sets: Ints
    votes: Floats | None
    margin: float
    offset: float
    aspect: float
    key: str


@dataclass(frozen=True)
class Crops:
    """The usable rows of a listing and their pixels.

    Attributes:
        csv: the file.
        paths: of the usable rows [N].
        labels: class numbers, int64 [N].
        sets: see ``Listing``; int64 [N].
        votes: see ``Listing``; float64 [N, K] or None.
        rows: positions of the usable rows in ``pixels``, int64 [N].
        pixels: uint8 [rows of the CSV, 160, 160, 3], memory-mapped, read-only.
        dropped: reason -> number of rows that cannot be used.
    """

    csv: Path
    paths: list[str]
    labels: Ints
    sets: Ints
    votes: Floats | None
    rows: Ints
    pixels: Pixels
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.rows)


log = logging.getLogger(__name__)


def list_crops(
    csv: Path,
    *,
    scheme: Scheme,
    root: Path,
    margin: float,
    offset: float = 0.0,
    aspect: float = 1.0,
    box: str = "annotator",
    box_kind: str = "annotator",
) -> Listing:
    """Read and check a CSV of the contract; with box columns its images are whole photographs.

    Args:
        csv: the table.
        scheme: the labels.
        root: where paths start.
        margin: of the crops, see ``geometry.patch_region``.
        offset: see the same.
        aspect: see the same.
        box: the kind of box, of ``geometry.BOX_KINDS``, that these three refer to.
        box_kind: whose boxes the table holds; they are converted.

    Raises:
        InputError: as ``table.read_table``.
    """
    with_boxes = set(BOX_COLUMNS) <= set(read_csv(csv).columns)
    frame = read_table(csv, scheme=scheme, root=root, boxes=with_boxes)
    paths = frame["path"].to_list()
    boxes = _boxes(frame, box, box_kind) if with_boxes else None
    labels = encode(frame["label"].to_list(), scheme.classes)
    people = frame["person"].to_list() if "person" in frame.columns else None
    votes = _votes(frame, csv, scheme)
    key = _key(paths, boxes, (margin, offset, aspect), root)
    return Listing(csv, paths, people, boxes, labels, _sets(frame), votes, margin, offset, aspect, key)


def open_crops(listing: Listing, root: Path, workers: int = 4) -> Crops:
    """Return the crops of a listing, decoding them with ``workers`` threads where that was not done before.

    Raises InputError when no row at all can be used.
    """
    array, notes = root / CROP_CACHE / f"{listing.key}.npy", root / CROP_CACHE / f"{listing.key}.json"
    found = _stored(array, notes, len(listing.paths))
    if not found:
        _build(listing, root, workers, array, notes)
        found = _stored(array, notes, len(listing.paths))
    if not found:
        raise InputError(f"{array}: does not stay as it was written; free disk space, or set --project-root elsewhere")
    pixels, dropped = found
    rows = np.setdiff1d(np.arange(len(listing.paths)), [int(row) for row in dropped])
    counts = dict(sorted(Counter(dropped.values()).items()))
    if not rows.size:
        raise InputError(
            f"{listing.csv}: none of its {len(listing.paths)} images can be used ({_words(counts)}); "
            f"paths start from --project-root, which is {root.resolve()}"
        )
    paths = [listing.paths[row] for row in rows]
    votes = None if listing.votes is None else listing.votes[rows]
    return Crops(listing.csv, paths, listing.labels[rows], listing.sets[rows], votes, rows, pixels, counts)


def _stored(array: Path, notes: Path, rows: int) -> tuple[Pixels, dict[str, str]] | None:
    """Return the decoded rows and why some are none; None where they were not decoded yet, or the files are damaged."""
    if not (array.is_file() and notes.is_file()):
        return None
    try:
        pixels = np.load(array, mmap_mode="r")
        dropped: dict[str, str] = read_json(notes)["dropped"]
    except (InputError, ValueError, EOFError, KeyError, TypeError):
        pixels, dropped = np.empty(0, np.uint8), {}
    if pixels.shape != (rows, geometry.SIZE, geometry.SIZE, 3) or pixels.dtype != np.uint8:
        log.warning("%s: damaged, the images are decoded again", array)
        return None
    return pixels, dropped


def _boxes(frame: pl.DataFrame, wanted: str, given: str) -> NDArray[np.float64]:
    boxes = np.array(frame.select(BOX_COLUMNS).to_numpy(), np.float64)
    if wanted == given:
        return boxes
    # A box without an area would get one.
    usable = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes[usable] = [geometry.box_as(wanted, box, given) for box in boxes[usable].tolist()]
    return boxes


def _sets(frame: pl.DataFrame) -> Ints:
    if "set" not in frame.columns:
        return np.zeros(frame.height, np.int64)
    names = frame["set"].unique().sort()
    return encode(frame["set"].to_list(), names.to_list())


def _votes(frame: pl.DataFrame, csv: Path, scheme: Scheme) -> Floats | None:
    named = {name: name.removeprefix("votes_") for name in frame.columns if name.startswith("votes_")}
    columns = {name: scheme.class_of(label) for name, label in named.items() if name in VOTES or scheme.class_of(label)}
    if unknown := sorted(set(named) - set(columns)):
        log.warning("%s: %s: no label of %s, so these votes are left out", csv, ", ".join(unknown), scheme.name)
    if not columns:
        return None
    votes = np.zeros((frame.height, len(scheme.classes)))
    for name, found in columns.items():
        if found is not None:
            # Where data sets are mixed, some have no votes.
            given = frame.with_columns(pl.col(name).str.strip_chars().replace("", "0"))
            votes[:, scheme.classes.index(found)] += numbers(given, name, csv).to_numpy()
    if (negative := (votes < 0).any(1)).any():
        raise InputError(f"{csv}, line {line_of(int(negative.argmax()))}: fewer than no votes; correct the row")
    return votes


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason}: {number}" for reason, number in counts.items())


def _key(paths: list[str], boxes: NDArray[np.float64] | None, framing: tuple[float, ...], root: Path) -> str:
    @cache
    def state(file: str) -> tuple[int, int]:
        for form in (file, unicodedata.normalize("NFC", file)):  # as images.read_bytes looks for it
            try:
                found = (root / form).stat()
            except OSError:
                continue
            return found.st_size, found.st_mtime_ns
        return -1, 0

    rows: list[Any] = [(path, *state(images.split_path(path)[0])) for path in paths]
    digest = hashlib.sha256(json.dumps([geometry.SIZE, rows], ensure_ascii=False).encode())
    if boxes is not None:
        digest.update(np.ascontiguousarray(boxes).tobytes() + repr(framing).encode())
    return digest.hexdigest()[:16]


def _build(listing: Listing, root: Path, workers: int, array: Path, notes: Path) -> None:
    dropped: dict[int, str] = {}
    count = len(listing.paths)

    def crop(row: int) -> Pixels | str:
        return _crop(listing, root, row)

    _sweep(array.parent)
    with whole_file(array) as file, bar(f"Decoding {listing.csv.name}", count) as advance:
        lock(file, array)
        _write_header(file, count)
        for row, result in _in_order(crop, count, workers):
            if isinstance(result, str):
                dropped[row] = result
                result = np.zeros((geometry.SIZE, geometry.SIZE, 3), np.uint8)
            file.write(result.tobytes())
            advance()
        # The notes come first: an array without notes is never taken for whole.
        write_json(notes, {"csv": str(listing.csv), "rows": count, "dropped": dropped})


def _sweep(folder: Path) -> None:
    """Remove what killed runs have left half-written; a run that is at work has locked its own."""
    for left in folder.glob(".*.npy.*.part"):
        try:
            with left.open("rb") as file:
                lock(file, left)
            left.unlink()
        except (InputError, OSError):
            continue


def _crop(listing: Listing, root: Path, row: int) -> Pixels | str:
    try:
        image = images.decode(images.read_bytes(root, listing.paths[row]))
        if listing.boxes is not None:
            box = listing.boxes[row].tolist()
            return geometry.face_crop(image, box, listing.margin, listing.offset, listing.aspect)
        height, width = image.shape[:2]
        return geometry.face_crop(image, (0, 0, width, height), margin=0)
    except ImageError as error:
        return error.reason
    except ValueError:
        return "bad_box"


def _in_order(crop: Callable[[int], Pixels | str], count: int, workers: int) -> Iterator[tuple[int, Pixels | str]]:
    # By chunks, because a pool that runs ahead of the disk would fill the memory.
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for start in range(0, count, _CHUNK):
            rows = range(start, min(start + _CHUNK, count))
            yield from zip(rows, pool.map(crop, rows), strict=True)


def _write_header(file: IO[bytes], count: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, geometry.SIZE, geometry.SIZE, 3)}
    np.lib.format.write_array_header_1_0(file, header)
