"""Writes a small synthetic data set in the exact format of AI Hub data set 82, so that everything runs anywhere.

All faces are drawings. Proportions (disagreement of annotators, EXIF orientations, share of the frame) are those
published for the real set. Scores on it say nothing about real faces.
"""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
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
from pyojeong.core.table import BOX_COLUMNS
from pyojeong.core.workspace import SAMPLE_MARKER
from pyojeong.sample.drawing import draw_photo, face_box
from pyojeong.sample.plan import DEFECTS, PARTS, PLACES, Photo, plan

FEWEST_PEOPLE = 6
"""Fewer people cannot fill all seven classes. With eight or more, the validation set is not empty either."""

_PHOTOS_PER_ARCHIVE = 60
_ENCODINGS = ("utf-8", "euc_kr", "utf-8", "euc_kr", "utf-8-sig", "utf-8", "euc_kr")
_ORIENTATION_TAG = 0x0112
_TO_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Sample:
    """The content of ``SAMPLE.json`` at the top of a synthetic data set.

    Attributes:
        people: number of people.
        seed: the seed of everything random.
        version: version of this package.
        images: photographs in the archives.
        records: label records in the archives.
        labels: Korean label -> planned photographs.
        defects: a defect of ``plan.DEFECTS`` -> names of the photographs that have it.
        archives: paths of all archives below the data set's folder.
        synthetic: always True.
    """

    synthetic: bool = field(default=True, init=False)
    people: int
    seed: int
    version: str
    images: int
    records: int
    labels: dict[str, int]
    defects: dict[str, list[str]]
    archives: list[str]


def draw_sample(out: str | Path, *, people: int = 60, seed: int = 1337, workers: int = 1) -> Sample:
    """Write a synthetic data set in AI Hub's format to ``out``.

    Existing archives are kept, so a stopped run resumes and a second run does nothing. The bytes depend on
    ``people``, ``seed`` and the versions of this package, numpy and Pillow, not on ``workers``.

    Args:
        out: a folder that is empty, missing, or was written with the same settings.
        people: number of people, at least 6; each has about 16 photographs.
        seed: 0 or more.
        workers: processes that draw.

    Raises:
        InputError: a number is out of range, or ``out`` holds something else.
    """
    out = Path(out)
    if people < FEWEST_PEOPLE:
        raise InputError(f"--people {people} is too few to fill seven classes; use at least {FEWEST_PEOPLE}")
    if seed < 0 or workers < 1:
        raise InputError(f"--seed {seed} and --workers {workers}: the seed must be at least 0, the workers at least 1")
    photos = plan(people, seed)
    archives = _archives(photos)
    sample = _describe(photos, archives, people, seed)
    _claim(out, sample)
    missing = {path: members for path, members in archives.items() if not (out / path).exists()}
    to_draw = sum(len(members) for path, members in missing.items() if _is_images(path))
    with bar("drawing", to_draw) as advance, _mapper(workers) as mapper:
        for path, members in missing.items():
            if _is_images(path):
                _write_zip(out / path, _image_files(members, mapper, advance))
            else:
                _write_zip(out / path, [_label_file(path, members)])
    return sample


def _archives(photos: list[Photo]) -> dict[str, list[Photo]]:
    """Return path -> photographs of every image archive, and path -> photographs with a record of every label archive.

    Paths are relative to the data set's folder.
    """
    archives: dict[str, list[Photo]] = {}
    for part, (short, _) in PARTS.items():
        for label in KOREAN:
            group = [photo for photo in photos if (photo.part, photo.label) == (part, label)]
            if not group:
                continue
            stem = f"EMOIMG_{label}_{short}"
            archives[f"{part}/[라벨]{stem}.zip"] = [p for p in group if p.defect != "image_without_record"]
            images = [p for p in group if p.defect != "record_without_image"]
            for number, start in enumerate(range(0, len(images), _PHOTOS_PER_ARCHIVE), start=1):
                suffix = "" if part == "Validation" and len(images) <= _PHOTOS_PER_ARCHIVE else f"_{number:02d}"
                archives[f"{part}/[원천]{stem}{suffix}.zip"] = images[start : start + _PHOTOS_PER_ARCHIVE]
    return archives


def _is_images(path: str) -> bool:
    return "[원천]" in path


def _describe(photos: list[Photo], archives: dict[str, list[Photo]], people: int, seed: int) -> Sample:
    counts = Counter(photo.label for photo in photos)
    return Sample(
        people=people,
        seed=seed,
        version=__version__,
        images=sum(photo.defect != "record_without_image" for photo in photos),
        records=sum(photo.defect != "image_without_record" for photo in photos),
        labels={label: counts[label] for label in KOREAN},
        defects={name: sorted(p.name for p in photos if p.defect == name) for name in DEFECTS},
        archives=list(archives),
    )


def _claim(out: Path, sample: Sample) -> None:
    """Write the marker; refuse a folder with other content or a sample with other settings."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder for the synthetic data set with --out")
    marker = out / SAMPLE_MARKER
    content = asdict(sample)
    if not marker.exists():
        if out.is_dir() and any(out.iterdir()):
            raise InputError(f"{out}: the folder is not empty; name an empty or a new one with --out")
        write_json(marker, content)
        return
    existing = read_json(marker)
    if not isinstance(existing, dict):
        raise InputError(f"{marker}: does not describe a synthetic data set; name another --out or delete the folder")
    # The version may differ: after an update of this package a second run still does nothing.
    if existing | {"version": ""} != content | {"version": ""}:
        settings = ", ".join(f"{key} {existing.get(key)}" for key in ("people", "seed", "version"))
        raise InputError(
            f"{out}: holds a synthetic data set with other settings ({settings}); name another --out or delete it"
        )


@contextmanager
def _mapper(workers: int) -> Iterator[Any]:
    """Yield ``map`` or its counterpart in ``workers`` processes."""
    if workers == 1:
        yield map
        return
    # Forking a process that runs threads (torch, onnxruntime) can hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield pool.map


def _image_files(photos: list[Photo], mapper: Any, advance: Advance) -> Iterator[tuple[str, bytes]]:
    for photo, data in zip(photos, mapper(jpeg, photos), strict=True):
        yield photo.name, data
        advance()


def jpeg(photo: Photo) -> bytes:
    """Draw ``photo`` and return it as a JPEG file whose pixels are stored as its EXIF orientation says."""
    rng = np.random.default_rng(photo.seed)
    outdoors = PLACES[photo.place]
    pixels, _ = draw_photo(photo.person, photo.expression, size=photo.size, pose=photo.pose, outdoors=outdoors, rng=rng)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    if photo.orientation:
        exif[_ORIENTATION_TAG] = photo.orientation
    if photo.orientation in _TO_STORED:
        image = image.transpose(_TO_STORED[photo.orientation])
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
        boxes = _with_defect(_annotated_box(photo, rng), photo, name)
        record[f"annot_{name}"] = {"boxes": boxes, "faceExp": vote, "bg": photo.place}
    return record


def _annotated_box(photo: Photo, rng: np.random.Generator) -> dict[str, int]:
    """Return the face box as an annotator would draw it: a few pixels off, in whole pixels of the upright picture."""
    box = np.array(face_box(photo.person, photo.expression, photo.pose))
    box = np.clip(np.rint(box + rng.normal(0, 0.008 * (box[2] - box[0]), 4)), 0, [*photo.size, *photo.size])
    return dict(zip(BOX_COLUMNS, map(int, box), strict=True))


def _with_defect(box: dict[str, int], photo: Photo, annotator: str) -> dict[str, int]:
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
    """Return the name and bytes of the JSON file in the label archive at ``path``."""
    part = path.split("/")[0]
    label = path.split("_")[1]
    encoding = _ENCODINGS[(KOREAN.index(label) + tuple(PARTS).index(part)) % len(_ENCODINGS)]
    text = json.dumps([_record(photo) for photo in photos], ensure_ascii=False, indent=1)
    return f"img_emotion_{PARTS[part][1]}_data({label}).json", text.encode(encoding)


class _KoreanName(ZipInfo):
    """A zip member whose name is CP949 without the UTF-8 flag, as Korean archivers write it.

    ``zipfile`` has no option for it: it writes every non-ASCII name as UTF-8 with the flag set.
    """

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - the name is zipfile's
        return self.filename.encode("cp949"), self.flag_bits & ~0x800


def _write_zip(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip archive, whole or not at all, whose bytes depend only on ``members``."""
    with whole_file(path) as file, ZipFile(file, "w", ZIP_STORED) as archive:
        for name, data in members:
            info = _KoreanName(name, (2021, 3, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
