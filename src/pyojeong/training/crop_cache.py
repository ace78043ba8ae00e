"""Decode the crops of a CSV once into one array on disk, so that no epoch opens an image.

The array is a memory-mapped ``.npy`` file of uint8 [rows, 160, 160, 3] under ``data_shared/pixels_160``, in the order
of the CSV. Its name is a hash of the rows' paths and boxes and of the files' sizes and times. Tables that differ only
in their labels (M1, M2, K7) share an array, and changed crops get a new one. Old arrays may be deleted at any time.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from pyojeong.core import geometry, images
from pyojeong.core.alignment import aligned_crop, face_points
from pyojeong.core.boxes import BAD_BOX
from pyojeong.core.errors import InputError, counted
from pyojeong.core.files import read_json, remove_leftovers, stored_path, whole_file, write_json
from pyojeong.core.geometry import ALIGNMENTS, SIZE, Framing
from pyojeong.core.images import ImageError, Pixels
from pyojeong.core.labels import Scheme
from pyojeong.core.left_out import left_out
from pyojeong.core.metrics import Floats, Ints, encode
from pyojeong.core.progress import bar
from pyojeong.core.table import BOX_COLUMNS, GROUP_COLUMNS, VOTES, VOTES_PREFIX, line_of, numbers, read_table
from pyojeong.core.workspace import CROP_CACHE
from pyojeong.detection import graph
from pyojeong.detection.detector import Detector
from pyojeong.training.box_check import check_boxes

POINT_COLUMNS = ("rightEyeX", "rightEyeY", "leftEyeX", "leftEyeY", "mouthX", "mouthY")
"""Landmarks in pixels of the upright image that a crop is aligned by, see ``alignment``; empty where none are known."""

_CHUNK = 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CropTable:
    """A checked CSV of crops or of photographs with boxes, before any pixel is read.

    Attributes:
        csv: the file.
        paths: of the images, relative to the root, one per row.
        facts: the columns ``person`` and ``table.GROUP_COLUMNS`` that the CSV has, [rows].
        boxes: float64 [rows, 4], the faces in whole photographs, of the framing's kind; None where images are crops.
        labeled: the same as the CSV gives them.
        points: float64 [rows, 3, 2], right eye, left eye and mouth, by which faces are aligned; NaN in rows without.
            None where the CSV lacks ``POINT_COLUMNS`` or the framing is not by landmarks.
        labels: class numbers of the scheme, int64 [rows].
        sets: number of each row's data set (column ``set``), int64 [rows]; all 0 without that column.
        set_names: of the data sets, by number.
        votes: annotators' votes by class, float64 [rows, K]; None without the columns ``votes_<label>``.
        framing: of the crops to cut where there are boxes; landmarks are looked for around them.
        key: identifies the pixels.
    """

    csv: Path
    paths: list[str]
    facts: pl.DataFrame
    boxes: NDArray[np.float64] | None
    labeled: NDArray[np.float64] | None
    points: NDArray[np.float64] | None
    labels: Ints
    sets: Ints
    set_names: tuple[str, ...]
    votes: Floats | None
    framing: Framing
    key: str

    def left_out(self, dropped: Mapping[int, str], root: Path) -> str | None:
        """Return one line about dropped rows (row -> reason), see ``core.left_out``; None where there are none."""
        reasons = [dropped.get(row) for row in range(len(self.paths))]
        return left_out(self.csv, self.paths, reasons, root, None if self.labeled is None else self.labeled.tolist())


@dataclass(frozen=True)
class CropSet:
    """The usable rows of a crop table and their pixels.

    Attributes:
        csv: the file.
        paths: of the usable rows [N].
        labels: class numbers, int64 [N].
        sets: see ``CropTable``; int64 [N].
        set_names: see ``CropTable``.
        facts: see ``CropTable``; [N].
        votes: see ``CropTable``; float64 [N, K] or None.
        rows: positions of the usable rows in ``pixels``, int64 [N].
        pixels: uint8 [rows of the CSV, 160, 160, 3], memory-mapped, read-only.
        dropped: reason -> number of unusable rows.
        left_out: one line about them; None where every row can be used.
    """

    csv: Path
    paths: list[str]
    labels: Ints
    sets: Ints
    set_names: tuple[str, ...]
    facts: pl.DataFrame
    votes: Floats | None
    rows: Ints
    pixels: Pixels
    dropped: dict[str, int]
    left_out: str | None = None

    def __len__(self) -> int:
        return len(self.rows)


def read_crop_table(
    csv: Path, *, scheme: Scheme, root: Path, framing: Framing, box_kind: str = "annotator"
) -> CropTable:
    """Read and check a CSV of the contract; with box columns its images are whole photographs.

    Args:
        csv: the table.
        scheme: the labels.
        root: where relative paths start.
        framing: of the crops.
        box_kind: the kind of the table's boxes; they are converted to the framing's kind.

    Raises:
        InputError: as ``table.read_table``, or the column ``aligned_by`` says that crops are aligned in another way.
    """
    frame = read_table(csv, scheme=scheme, root=root, boxes=None)
    has_boxes = BOX_COLUMNS[0] in frame.columns
    if not has_boxes:
        _check_alignment(frame, csv, framing.aligned_by)
    paths = frame["path"].to_list()
    labeled = np.array(frame.select(BOX_COLUMNS).to_numpy(), np.float64) if has_boxes else None
    boxes = None if labeled is None else _converted(labeled, box_kind, framing.box_kind)
    points = _points(frame, csv) if framing.aligned_by == "landmarks" else None
    sets, set_names = _sets(frame)
    return CropTable(
        csv=csv,
        paths=paths,
        facts=frame.select(cs.by_name("person", *GROUP_COLUMNS, require_all=False)),
        boxes=boxes,
        labeled=labeled,
        points=points,
        labels=encode(frame["label"].to_list(), scheme.classes),
        sets=sets,
        set_names=set_names,
        votes=_votes(frame, csv, scheme),
        framing=framing,
        key=_key(paths, boxes, points, framing, root),
    )


def open_crops(table: CropTable, root: Path, workers: int = 4) -> CropSet:
    """Return the crops of a table; they are decoded with ``workers`` threads unless that was done before.

    Raises InputError when no row can be used, or the boxes must be read in another way (``box_check``).
    """
    array, notes = root / CROP_CACHE / f"{table.key}.npy", root / CROP_CACHE / f"{table.key}.json"
    stored = _load(array, notes, len(table.paths))
    if not stored:
        if table.labeled is not None:
            check_boxes(table.csv, table.paths, table.labeled, root)
        _build(table, root, workers, array, notes)
        stored = _load(array, notes, len(table.paths))
    if not stored:
        raise InputError(
            f"{array}: does not keep what was written to it; free disk space, or choose another --project-root"
        )
    pixels, dropped = stored
    reasons = {int(row): reason for row, reason in dropped.items()}
    rows = np.setdiff1d(np.arange(len(table.paths)), [*reasons])
    counts = dict(sorted(Counter(dropped.values()).items()))
    message = table.left_out(reasons, root)
    if not rows.size:
        raise InputError(message)
    paths = [table.paths[row] for row in rows]
    votes = None if table.votes is None else table.votes[rows]
    labels, sets, facts = table.labels[rows], table.sets[rows], table.facts.select(pl.all().gather(rows))
    return CropSet(table.csv, paths, labels, sets, table.set_names, facts, votes, rows, pixels, counts, message)


def _load(array: Path, notes: Path, rows: int) -> tuple[Pixels, dict[str, str]] | None:
    """Return the decoded rows and the reason of each dropped row; None where there are none or they are damaged."""
    if not (array.is_file() and notes.is_file()):
        return None
    try:
        pixels = np.load(array, mmap_mode="r")
        dropped: dict[str, str] = read_json(notes)["dropped"]
    except (InputError, ValueError, EOFError, KeyError, TypeError):
        pixels, dropped = np.empty(0, np.uint8), {}
    if pixels.shape != (rows, SIZE, SIZE, 3) or pixels.dtype != np.uint8:
        log.warning("%s: damaged; the images are decoded again", array)
        return None
    return pixels, dropped


def _check_alignment(frame: pl.DataFrame, csv: Path, wanted: str) -> None:
    """Raise InputError for the first finished crop whose ``aligned_by`` is not ``wanted``; empty means not known."""
    if "aligned_by" not in frame.columns:
        return
    for index, text in enumerate(frame["aligned_by"]):
        value = text.strip()
        if value and value not in ALIGNMENTS:
            raise InputError(
                f"{csv}, line {line_of(csv, index)}: aligned_by is {text!r}; it must be {' or '.join(ALIGNMENTS)}"
            )
        if value and value != wanted:
            raise InputError(
                f"{csv}, line {line_of(csv, index)}: this crop is aligned by {value}, and the recipe needs crops "
                f"aligned by {wanted}; give aligned_by={value} to the recipe, or train on photographs with boxes"
            )


def _converted(labeled: NDArray[np.float64], from_kind: str, to_kind: str) -> NDArray[np.float64]:
    if from_kind == to_kind:
        return labeled
    boxes = labeled.copy()
    # Converting a box without an area would give it one.
    usable = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes[usable] = [geometry.convert_box(box, from_kind, to_kind) for box in boxes[usable].tolist()]
    return boxes


def _points(frame: pl.DataFrame, csv: Path) -> NDArray[np.float64] | None:
    if not set(POINT_COLUMNS) <= set(frame.columns):
        return None
    empty = pl.col(POINT_COLUMNS[0]).str.strip_chars() == ""
    filled = frame.with_columns(pl.when(empty).then(pl.lit("0")).otherwise(pl.col(POINT_COLUMNS)).name.keep())
    points = np.stack([numbers(filled, name, csv).to_numpy() for name in POINT_COLUMNS], 1).reshape(-1, 3, 2)
    points[frame.select(empty).to_series().to_numpy()] = np.nan
    return points


def _sets(frame: pl.DataFrame) -> tuple[Ints, tuple[str, ...]]:
    if "set" not in frame.columns:
        return np.zeros(frame.height, np.int64), ("",)
    names = frame["set"].unique().sort().to_list()
    return encode(frame["set"].to_list(), names), tuple(names)


def _votes(frame: pl.DataFrame, csv: Path, scheme: Scheme) -> Floats | None:
    labels = {name: name.removeprefix(VOTES_PREFIX) for name in frame.columns if name.startswith(VOTES_PREFIX)}
    classes = {
        name: scheme.class_of(label) for name, label in labels.items() if name in VOTES or scheme.class_of(label)
    }
    if unknown := sorted(set(labels) - set(classes)):
        log.warning("%s: %s: not labels of %s, so these votes are ignored", csv, ", ".join(unknown), scheme.name)
    if not classes:
        return None
    votes = np.zeros((frame.height, len(scheme.classes)))
    for name, class_name in classes.items():
        if class_name is not None:
            # In a mixture of data sets some rows have no votes.
            filled = frame.with_columns(pl.col(name).str.strip_chars().replace("", "0"))
            votes[:, scheme.classes.index(class_name)] += numbers(filled, name, csv).to_numpy()
    if (negative := (votes < 0).any(1)).any():
        raise InputError(
            f"{csv}, line {line_of(csv, int(negative.argmax()))}: a negative number of votes; correct the row"
        )
    return votes


def _key(
    paths: list[str],
    boxes: NDArray[np.float64] | None,
    points: NDArray[np.float64] | None,
    framing: Framing,
    root: Path,
) -> str:
    @cache
    def size_and_time(file: str) -> tuple[int, int]:
        try:
            status = stored_path(root, file).stat()
        except OSError:
            return -1, 0
        return status.st_size, status.st_mtime_ns

    rows: list[Any] = [(path, *size_and_time(images.split_path(path)[0])) for path in paths]
    digest = hashlib.sha256(json.dumps([SIZE, rows], ensure_ascii=False).encode())
    if boxes is not None:
        # Landmarks change with the detector.
        detector = [graph.VERSION, graph.FORMAT] if framing.aligned_by == "landmarks" else []
        digest.update(np.ascontiguousarray(boxes).tobytes() + json.dumps([asdict(framing), detector]).encode())
    if points is not None:
        digest.update(points.tobytes())
    return digest.hexdigest()[:16]


def _build(table: CropTable, root: Path, workers: int, array: Path, notes: Path) -> None:
    dropped: dict[int, str] = {}
    count = len(table.paths)
    by_landmarks = table.boxes is not None and table.framing.aligned_by == "landmarks"
    detector = Detector(threads=1) if by_landmarks else None
    without_landmarks: list[int] = []

    def crop(row: int) -> Pixels | str:
        return _crop(table, root, row, detector, without_landmarks)

    remove_leftovers(array.parent / "*.npy")
    with whole_file(array, locked=True) as file, bar(f"Decoding {table.csv.name}", count) as advance:
        _write_header(file, count)
        for row, result in _in_order(crop, count, workers):
            if isinstance(result, str):
                dropped[row] = result
                result = np.zeros((SIZE, SIZE, 3), np.uint8)
            file.write(result.tobytes())
            advance()
        # Notes first: an array counts as whole only when its notes exist.
        write_json(notes, {"csv": str(table.csv), "rows": count, "dropped": dropped})
    if without_landmarks:
        log.warning("%s: no landmarks in %s, cut by the box", table.csv, counted(len(without_landmarks), "face"))


def _crop(
    table: CropTable, root: Path, row: int, detector: Detector | None, without_landmarks: list[int]
) -> Pixels | str:
    """Return a crop or why there is none; ``detector`` looks for the landmarks of a face that is aligned by them."""
    try:
        image = images.decode(images.read_bytes(root, table.paths[row]))
        if table.points is not None and np.isfinite(table.points[row]).all():
            return aligned_crop(image, table.points[row].tolist(), SIZE)
        if table.boxes is not None and table.labeled is not None:
            height, width = image.shape[:2]
            if not geometry.can_be_face(table.labeled[row].tolist(), width, height):
                return BAD_BOX
            box = table.boxes[row].tolist()
            face = detector.look_at(image, box) if detector else None
            if face:
                return aligned_crop(image, face_points(face.landmarks), SIZE)
            crop = geometry.face_crop(image, box, table.framing)
            if detector:
                without_landmarks.append(row)
            return crop
        height, width = image.shape[:2]
        return geometry.face_crop(image, (0, 0, width, height), Framing(margin=0))
    except ImageError as error:
        return error.reason
    except ValueError:
        return BAD_BOX


def _in_order(crop: Callable[[int], Pixels | str], count: int, workers: int) -> Iterator[tuple[int, Pixels | str]]:
    # In chunks, because a pool that is faster than the disk would fill the memory.
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for start in range(0, count, _CHUNK):
            rows = range(start, min(start + _CHUNK, count))
            yield from zip(rows, pool.map(crop, rows), strict=True)


def _write_header(file: IO[bytes], count: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, SIZE, SIZE, 3)}
    np.lib.format.write_array_header_1_0(file, header)
