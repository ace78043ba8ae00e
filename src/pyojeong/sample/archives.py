"""Draws a small data set in the exact shape of AI Hub data set 82, so that everything runs anywhere.

The people are drawn, never photographed. Proportions (annotators who disagree, EXIF orientations, share of the
frame) are those published for the real set; what a model scores on it says nothing about real faces.
"""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from PIL import Image

from pyojeong import __version__
from pyojeong.core.errors import InputError
from pyojeong.core.files import read_json, whole_file, write_json
from pyojeong.core.labels import KOREAN
from pyojeong.core.progress import Advance, bar
from pyojeong.sample.drawing import draw_photo, face_box
from pyojeong.sample.plan import DEFECTS, PARTS, PLACES, Photo, plan

MARKER = "SAMPLE.json"
"""The file at the top of a drawn data set that says that it is drawn."""

FEWEST_PEOPLE = 6
"""Fewer people cannot fill all seven classes; from eight on, the validation set has somebody, too."""

_PER_ARCHIVE = 60
_ENCODINGS = ("utf-8", "euc_kr", "utf-8", "euc_kr", "utf-8-sig", "utf-8", "euc_kr")
_ORIENTATION_TAG = 0x0112
_TURN_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    8: Image.Transpose.ROTATE_270,
}


def draw_sample(out: Path, *, people: int = 60, seed: int = 1337, workers: int = 1) -> dict[str, Any]:
    """Draw a data set in AI Hub's shape under ``out`` and return what ``SAMPLE.json`` there says.

    Archives that are there already are left as they are, so a run that was cut short goes on where it
    stopped, and a second run does nothing. The bytes depend on ``people``, ``seed`` and the versions of
    this package, numpy and Pillow, not on ``workers``.

    Args:
        out: a folder that is empty, missing, or was drawn with the same settings.
        people: how many people to draw, at least 6; about 16 photographs each.
        seed: 0 or more.
        workers: processes that draw.

    Raises:
        InputError: a number is out of range, or ``out`` holds something else.
    """
    if people < FEWEST_PEOPLE:
        raise InputError(f"--people {people} is too few to fill seven classes; draw at least {FEWEST_PEOPLE}")
    if seed < 0 or workers < 1:
        raise InputError(f"--seed {seed} and --workers {workers}: the seed must be at least 0, the workers at least 1")
    photos = plan(people, seed)
    archives = _archives(photos)
    summary = _summary(photos, archives, people, seed)
    _claim(out, summary)
    missing = {path: members for path, members in archives.items() if not (out / path).exists()}
    to_draw = sum(len(members) for path, members in missing.items() if _is_images(path))
    with bar("drawing", to_draw) as advance, _mapper(workers) as mapper:
        for path, members in missing.items():
            if _is_images(path):
                _write_zip(out / path, _drawn(members, mapper, advance))
            else:
                _write_zip(out / path, [_label_file(path, members)])
    return summary


def _archives(photos: list[Photo]) -> dict[str, list[Photo]]:
    """Return each archive's path under the data set -> its photographs; a label archive has those of its records."""
    archives: dict[str, list[Photo]] = {}
    for part, (short, _) in PARTS.items():
        for label in KOREAN:
            mine = [photo for photo in photos if (photo.part, photo.label) == (part, label)]
            if not mine:
                continue
            stem = f"EMOIMG_{label}_{short}"
            archives[f"{part}/[라벨]{stem}.zip"] = [p for p in mine if p.defect != "image_without_record"]
            drawn = [p for p in mine if p.defect != "record_without_image"]
            for number, start in enumerate(range(0, len(drawn), _PER_ARCHIVE), start=1):
                suffix = "" if part == "Validation" and len(drawn) <= _PER_ARCHIVE else f"_{number:02d}"
                archives[f"{part}/[원천]{stem}{suffix}.zip"] = drawn[start : start + _PER_ARCHIVE]
    return archives


def _is_images(path: str) -> bool:
    return "[원천]" in path


def _summary(photos: list[Photo], archives: dict[str, list[Photo]], people: int, seed: int) -> dict[str, Any]:
    return {
        "synthetic": True,
        "people": people,
        "seed": seed,
        "version": __version__,
        "images": sum(photo.defect != "record_without_image" for photo in photos),
        "records": sum(photo.defect != "image_without_record" for photo in photos),
        "labels": {label: Counter(p.label for p in photos)[label] for label in KOREAN},
        "defects": {name: sorted(p.name for p in photos if p.defect == name) for name in DEFECTS},
        "archives": list(archives),
    }


def _claim(out: Path, summary: dict[str, Any]) -> None:
    """Write the marker; refuse a folder that is not ours or was drawn with other settings."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder for the drawn data set with --out")
    marker = out / MARKER
    if not marker.exists():
        if out.is_dir() and any(out.iterdir()):
            raise InputError(f"{out}: the folder is not empty; name an empty or a new one with --out")
        write_json(marker, summary)
        return
    before = read_json(marker)
    # A new version of the package is no reason to stop somebody's second run.
    if not isinstance(before, dict) or before | {"version": ""} != summary | {"version": ""}:
        was = ", ".join(f"{key} {before.get(key)}" for key in ("people", "seed", "version"))
        raise InputError(f"{out}: holds a data set drawn with other settings ({was}); name another --out or delete it")


@contextmanager
def _mapper(workers: int) -> Iterator[Any]:
    """Yield ``map`` or its counterpart in ``workers`` processes."""
    if workers == 1:
        yield map
        return
    # Forking a process that runs threads (torch, onnxruntime) can hang, so workers start afresh.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield pool.map


def _drawn(photos: list[Photo], mapper: Any, advance: Advance) -> Iterator[tuple[str, bytes]]:
    for photo, data in zip(photos, mapper(jpeg, photos), strict=True):
        yield photo.name, data
        advance()


def jpeg(photo: Photo) -> bytes:
    """Draw ``photo`` and return its JPEG, stored the way its EXIF orientation says."""
    rng = np.random.default_rng(photo.seed)
    outdoors = PLACES[photo.place]
    pixels, _ = draw_photo(photo.person, photo.expression, size=photo.size, pose=photo.pose, outdoors=outdoors, rng=rng)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    if photo.orientation:
        exif[_ORIENTATION_TAG] = photo.orientation
    if photo.orientation in _TURN_BACK:
        image = image.transpose(_TURN_BACK[photo.orientation])
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(78, 92)), exif=exif if photo.orientation else b"")
    data = buffer.getvalue()
    return data[: len(data) * 2 // 5] if photo.defect == "corrupt_image" else data


def _record(photo: Photo) -> dict[str, Any]:
    record: dict[str, Any] = {
        "filename": photo.name,
        "gender": photo.person.gender,
        "age": photo.person.age,
        "isProf": "전문인" if photo.professional else "일반인",
        "faceExp_uploader": photo.label,
        "bg_uploader": photo.place,
    }
    rng = np.random.default_rng([*photo.seed, 3])
    for name, vote in zip("ABC", photo.votes, strict=True):
        boxes = _spoil(_annotated_box(photo, rng), photo, name)
        record[f"annot_{name}"] = {"boxes": boxes, "faceExp": vote, "bg": photo.place}
    return record


def _annotated_box(photo: Photo, rng: np.random.Generator) -> dict[str, int]:
    """Return the face's box as a hand draws it, a few pixels off, in whole pixels of the upright picture."""
    box = np.array(face_box(photo.person, photo.expression, photo.pose))
    box = np.clip(np.rint(box + rng.normal(0, 0.008 * (box[2] - box[0]), 4)), 0, [*photo.size, *photo.size])
    return dict(zip(("minX", "minY", "maxX", "maxY"), map(int, box), strict=True))


def _spoil(box: dict[str, int], photo: Photo, annotator: str) -> dict[str, int]:
    width = photo.size[0]
    if photo.defect == "zero_area_box" or (photo.defect == "one_bad_box" and annotator == "A"):
        return box | {"maxX": box["minX"]}
    if photo.defect == "negative_box":
        return box | {"minX": -width // 40}
    if photo.defect == "outside_box":
        return box | {"minX": width + 20, "maxX": width + 20 + box["maxX"] - box["minX"]}
    if photo.defect == "tiny_box":
        return box | {"maxX": box["minX"] + 3, "maxY": box["minY"] + 4}
    return box


def _label_file(path: str, photos: list[Photo]) -> tuple[str, bytes]:
    """Return the name and the bytes of the JSON in a label archive."""
    part = path.split("/")[0]
    label = path.split("_")[1]
    encoding = _ENCODINGS[(KOREAN.index(label) + tuple(PARTS).index(part)) % len(_ENCODINGS)]
    text = json.dumps([_record(photo) for photo in photos], ensure_ascii=False, indent=1)
    return f"img_emotion_{PARTS[part][1]}_data({label}).json", text.encode(encoding)


class _KoreanName(ZipInfo):
    """A zip member whose name is CP949 without the UTF-8 flag, as Korean archivers write it.

    ``zipfile`` offers no encoding for writing: it turns every name that is not ASCII into flagged UTF-8.
    """

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - the name is zipfile's
        return self.filename.encode("cp949"), self.flag_bits & ~0x800


def _write_zip(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip archive, whole or not at all, whose bytes depend on ``members`` only."""
    with whole_file(path) as file, ZipFile(file, "w", ZIP_STORED) as archive:
        for name, data in members:
            info = _KoreanName(name, (2021, 3, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
