"""Makes tables of photographs that lie in folders named after their classes (the command ``pyojeong collect``).

A photograph lies in ``FOLDER/CLASS/`` or, where its person is known, in ``FOLDER/CLASS/PERSON/``. Its face is found by
a detector that the caller passes. What was found is kept in a journal, from which a stopped run resumes.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pyojeong.core.errors import InputError, counted
from pyojeong.core.files import alone_in, write_text
from pyojeong.core.geometry import Box
from pyojeong.core.images import PROBLEMS, ImageError, Pixels, decode, read_bytes
from pyojeong.core.labels import Scheme
from pyojeong.core.progress import track
from pyojeong.core.table import BOX_COLUMNS, write_csv
from pyojeong.core.workspace import COLLECTED
from pyojeong.data import splits
from pyojeong.data.folder_files import Photograph, photographs_in
from pyojeong.data.folder_scheme import checked_name, default_name, own_scheme
from pyojeong.data.source import base_of

Find = Callable[[Pixels], Sequence[Box]]
"""Finds the faces of an upright image, uint8 [H, W, 3]; boxes in its pixels, any order."""

MIN_PHOTOGRAPHS = 7
"""Fewest photographs of a class: then each of the three sets has one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collection:
    """What ``collect`` wrote.

    Attributes:
        scheme: the TOML file of the label scheme; None where the caller gave the scheme.
        tables: split -> its CSV, with the detector's boxes.
        photographs: split -> class -> photographs.
        people: people in the tables; None where the folders do not name them.
        several_faces: photographs with more than one face, of which the largest is taken.
        drops: reason of ``folder_files.DROPS`` -> files that are in no table.
    """

    scheme: Path | None
    tables: dict[str, Path]
    photographs: dict[str, dict[str, int]]
    people: int | None
    several_faces: int
    drops: dict[str, int]


class _Found(NamedTuple):
    """A line of the journal: path, stamp, hash, number of faces, the largest one's box, or why there is none."""

    path: str
    stamp: str
    content: str
    faces: int
    box: list[float] | None
    reason: str


def collect(
    folder: Path,
    root: Path,
    find: Find,
    *,
    name: str | None = None,
    scheme: Scheme | None = None,
    seed: int = splits.SEED,
) -> Collection:
    """Write ``data_shared/collected/{train,val,test}_NAME.csv`` and, without ``scheme``, the scheme ``NAME.toml``.

    Photographs of a person are in one set where all photographs lie in a folder of their person; otherwise the
    photographs of each class are split regardless of the person.

    Args:
        folder: holds a folder for each class; read in place. Where it lies outside ``root``, a link is made.
        root: the project root.
        find: the detector.
        name: of the scheme: letters, digits, ``_`` and ``-``, and no scheme's of the package in it; by default that of
            ``folder``, with ``_`` for the rest.
        scheme: the label scheme; every folder must have the name of a class, or another word for it.
        seed: of the split.

    Raises:
        InputError: there are fewer than two folders, they are sets instead of classes, one is no class of ``scheme``
            or has a name that cannot be one or that Windows reserves, a class has fewer than
            ``MIN_PHOTOGRAPHS`` with a face, or another run is collecting in ``root``.
    """
    base = base_of(folder, root)
    if scheme and name not in (None, scheme.name):
        raise InputError(f"the tables are named after the scheme {scheme.name}; leave out --name {name}")
    name = scheme.name if scheme else checked_name(default_name(base) if name is None else name)
    out = root / COLLECTED
    with alone_in(out):
        drops: Counter[str] = Counter()
        photographs = [*photographs_in(root, base, scheme, drops)]
        written = out / f"{name}.toml"
        is_new = not scheme and not written.exists()
        try:
            classes = sorted({photograph.label for photograph in photographs})
            if len(classes) < 2 and not scheme:
                raise InputError(f"{folder}: only {counted(len(classes), 'folder')} has photographs; add another class")
            own = scheme or own_scheme(written, root / base, classes)
            found = _find_all(photographs, root, find, out / f"{name}.faces.jsonl")
            drops.update(face.reason for face in found.values() if face.reason)
            kept = [photograph for photograph in photographs if found[photograph.path].box]
            kept = _without_copies(folder, kept, found, drops)
            _tell_unread(folder, found)
            _require_enough(folder, own, kept, drops)
        except InputError:
            # A scheme of folders that are about to change would be in their way.
            if is_new:
                written.unlink(missing_ok=True)
            raise
        rows = _split(folder, kept, found, seed)
        tables = {}
        for split in splits.SPLITS:
            tables[split] = out / f"{split}_{own.name}.csv"
            write_csv(rows.filter(pl.col("split") == split).drop("split", "name"), tables[split])
    counts = {split: Counter(rows.filter(pl.col("split") == split)["label"]) for split in splits.SPLITS}
    for split, labels in counts.items():
        if absent := [label for label in own.classes if not labels[label]]:
            log.warning("%s: has no photograph of %s; add people", tables[split], ", ".join(absent))
    return Collection(
        scheme=None if scheme else out / f"{own.name}.toml",
        tables=tables,
        photographs={split: {label: counts[split][label] for label in own.classes} for split in splits.SPLITS},
        people=rows["person"].n_unique() if "person" in rows.columns else None,
        several_faces=sum(found[photograph.path].faces > 1 for photograph in kept),
        drops=dict(sorted(drops.items())),
    )


def _tell_unread(folder: Path, found: dict[str, _Found]) -> None:
    """Log how many photographs could not be read, and the first for each reason."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for path, one in found.items():
        if one.reason in PROBLEMS:
            first.setdefault(one.reason, path)
            counts[one.reason] += 1
    for reason, count in counts.items():
        log.warning(
            "%s: %s left out (first %s): %s",
            folder,
            _are(count, "photograph"),
            first[reason],
            PROBLEMS[reason],
        )


def _find_all(photographs: Sequence[Photograph], root: Path, find: Find, journal: Path) -> dict[str, _Found]:
    """Return what was found in each photograph, by path; what the journal has is not searched again."""
    known = {(found.path, found.stamp): found for found in _read_journal(journal)}
    kept = {each.path: known[each.path, each.stamp] for each in photographs if (each.path, each.stamp) in known}
    # Rewritten without what no longer exists, and without a line that a kill has cut off.
    write_text(journal, "".join(_line(found) for found in kept.values()))
    with journal.open("a", encoding="utf-8") as file:
        for photograph in track([each for each in photographs if each.path not in kept], "finding faces"):
            kept[photograph.path] = _find_one(photograph, root, find)
            file.write(_line(kept[photograph.path]))
            file.flush()
    return kept


def _find_one(photograph: Photograph, root: Path, find: Find) -> _Found:
    path, _, _, stamp = photograph
    content = ""
    try:
        data = read_bytes(root, path)
        content = hashlib.blake2b(data, digest_size=16).hexdigest()
        boxes = find(decode(data))
    except ImageError as error:
        return _Found(path, stamp, content, 0, None, error.reason)
    if not boxes:
        return _Found(path, stamp, content, 0, None, "no_face")
    largest = max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    return _Found(path, stamp, content, len(boxes), [round(side, 2) for side in largest], "")


def _line(found: _Found) -> str:
    return json.dumps(found, ensure_ascii=False) + "\n"


def _read_journal(path: Path) -> Iterator[_Found]:
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            values: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, list) and len(values) == len(_Found._fields):
            yield _Found(*values)


def _without_copies(
    folder: Path, photographs: Sequence[Photograph], found: dict[str, _Found], drops: Counter[str]
) -> list[Photograph]:
    """Return each file once, and none that is in two classes: which of them is right cannot be known."""
    same: dict[str, list[Photograph]] = {}
    for photograph in photographs:
        same.setdefault(found[photograph.path].content, []).append(photograph)
    several = [group for group in same.values() if len(group) > 1]
    torn = [group for group in several if len({photograph.label for photograph in group}) > 1]
    repeated = [group for group in several if group not in torn]
    if torn:
        drops["two_classes"] = sum(map(len, torn))
        log.warning(
            "%s: %s in more than one class and left out (first %s and %s); keep each in one class",
            folder,
            _are(drops["two_classes"], "file"),
            *_two_of(torn[0]),
        )
    if repeated:
        drops["repeated"] = sum(map(len, repeated)) - len(repeated)
        log.warning(
            "%s: %s there under another name too and left out (first %s, which is %s); the other one counts",
            folder,
            _are(drops["repeated"], "photograph"),
            *reversed(_two_of(repeated[0])),
        )
    left_out = {photograph.path for group in torn for photograph in group}
    left_out |= {photograph.path for group in repeated for photograph in group[1:]}
    return [photograph for photograph in photographs if photograph.path not in left_out]


def _are(number: int, noun: str) -> str:
    return f"{counted(number, noun)} {'is' if number == 1 else 'are'}"


def _two_of(group: Sequence[Photograph]) -> tuple[str, str]:
    """Return the paths of the first photograph and of the next one, in another class if there is one."""
    first = group[0]
    other = next((photograph for photograph in group if photograph.label != first.label), group[1])
    return first.path, other.path


def _require_enough(folder: Path, scheme: Scheme, kept: Sequence[Photograph], drops: Counter[str]) -> None:
    counts = Counter(photograph.label for photograph in kept)
    for label in scheme.classes:
        if counts[label] < MIN_PHOTOGRAPHS:
            left_out = ", ".join(f"{count:,} {reason}" for reason, count in drops.most_common())
            raise InputError(
                f"{folder}: {MIN_PHOTOGRAPHS} photographs of {label} with a face are needed, and there "
                f"{'is' if counts[label] == 1 else 'are'} {counts[label]}"
                f"{left_out and f' (left out: {left_out})'}; add photographs"
            )


def _split(folder: Path, kept: Sequence[Photograph], found: dict[str, _Found], seed: int) -> pl.DataFrame:
    rows = pl.DataFrame([photograph._asdict() for photograph in kept]).select("path", "label", "person", name="path")
    boxes = [found[path].box for path in rows["path"]]
    rows = rows.with_columns(pl.DataFrame(boxes, schema=BOX_COLUMNS, orient="row").get_columns())
    unknown = int((rows["person"] == "").sum())
    if 0 < unknown < len(rows):
        log.warning(
            "%s: %s of %s photographs are in no folder of a person, so the same person may be in training and test; "
            "put each into one",
            folder,
            f"{unknown:,}",
            f"{len(rows):,}",
        )
    by_person = not unknown
    rows = rows.with_columns(splits.assign(rows, by="person" if by_person else "image", seed=seed))
    if empty := [split for split in splits.SPLITS if split not in set(rows["split"])]:
        raise InputError(
            f"{folder}: the sub-folders of its classes are people, and {counted(rows['person'].n_unique(), 'person')} "
            f"cannot fill three sets ({' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty); add "
            "photographs of other people, or put all photographs straight into the folder of their class if the "
            "sub-folders are no people"
        )
    return rows if by_person else rows.drop("person")
