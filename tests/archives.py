"""Tiny data sets in AI Hub's shape, with every defect that a test asks for."""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from pyojeong.core.geometry import Box
from pyojeong.core.images import Pixels, decode
from pyojeong.core.labels import KOREAN
from pyojeong.core.table import BOX_COLUMNS

BOX: Box = (20.0, 10.0, 60.0, 70.0)

NO_RECORD = {
    "image_without_record",
    "duplicate_image",
    "unsafe_name",
    "undecodable_name",
    "symbolic_link",
    "unfinished_download",
    "unreadable_archive",
    "other_archive",
    "unreadable_json",
    "other_json",
}
"""Drops that do not count records of a label file."""


def jpeg(size: tuple[int, int] = (96, 80), color: tuple[int, int, int] = (200, 120, 40), orientation: int = 0) -> bytes:
    """A flat JPEG of stored ``size`` (width, height); ``orientation`` 1..8 is written as EXIF."""
    file = io.BytesIO()
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", size, color).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def person(number: int) -> str:
    """The 64-hex hash of person ``number``."""
    return f"{number:064x}"


def file_name(who: int, label: str = "기쁨", shot: int = 1, place: str = "숙박 및 거주공간") -> str:
    """A photograph's name as AI Hub writes it."""
    return f"{person(who)}_여_30_{label}_{place}_20210101120000-{shot:03d}-001.jpg"


def annotator(label: Any = "기쁨", box: Any = BOX, *, face_bb: bool = False) -> dict[str, Any]:
    """One annotator's entry, in the archives' form or (``face_bb``) in that of AI Hub's own document."""
    sides = dict(zip(BOX_COLUMNS, box, strict=True)) if isinstance(box, tuple) else box
    if face_bb:
        return {"boxes": {**sides, "label": label}}
    return {"boxes": sides, "faceExp": label, "bg": "숙박 및 거주공간"}


def record(
    name: str,
    votes: Iterable[Any] = ("기쁨", "기쁨", "기쁨"),
    boxes: Iterable[Any] = (BOX, BOX, BOX),
    *,
    uploader: str = "기쁨",
    face_bb: bool = False,
) -> dict[str, Any]:
    """One record of a label file."""
    entries = {
        f"{'faceBB' if face_bb else 'annot'}_{letter}": annotator(vote, box, face_bb=face_bb)
        for letter, vote, box in zip("ABC", votes, boxes, strict=False)
    }
    return {
        "filename": name,
        "gender": "여",
        "age": 30,
        "isProf": "일반인",
        "faceExp_uploader": uploader,
        "bg_uploader": "숙박 및 거주공간",
        **entries,
    }


def write_zip(path: Path, members: Mapping[str, bytes] | Iterable[tuple[str, bytes]], *, cp949: bool = True) -> Path:
    """Write an archive whose Hangul member names are CP949 without the UTF-8 flag (else UTF-8 with it)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = members.items() if isinstance(members, Mapping) else members
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in pairs:
            info = _Cp949Info(name) if cp949 else zipfile.ZipInfo(name)
            archive.writestr(info, data)
    return path


def label_zip(
    folder: Path, label: str, records: Any, *, part: str = "TRAIN", encoding: str = "utf-8", cp949: bool = True
) -> Path:
    """Write ``[라벨]EMOIMG_<label>_<part>.zip`` with one JSON file in ``encoding``."""
    word = "training" if part == "TRAIN" else "validation"
    text = records if isinstance(records, bytes) else json.dumps(records, ensure_ascii=False).encode(encoding)
    name = f"img_emotion_{word}_data({label}).json"
    return write_zip(folder / f"[라벨]EMOIMG_{label}_{part}.zip", {name: text}, cp949=cp949)


def image_zip(
    folder: Path, label: str, members: Any, *, number: int = 1, part: str = "TRAIN", cp949: bool = True
) -> Path:
    """Write ``[원천]EMOIMG_<label>_<part>_<number>.zip``."""
    return write_zip(folder / f"[원천]EMOIMG_{label}_{part}_{number:02d}.zip", members, cp949=cp949)


def data_set(source: Path, people: int = 20, size: tuple[int, int] = (96, 80)) -> Path:
    """Write two photographs per person and emotion, all seven emotions, two thirds of them turned by EXIF."""
    for number, label in enumerate(KOREAN):
        names = [file_name(who, label, shot) for who in range(people) for shot in (number * 2, number * 2 + 1)]
        label_zip(source, label, [record(name, (label,) * 3, uploader=label) for name in names])
        turned = {
            name: jpeg(size[::-1] if index % 3 else size, orientation=6 if index % 3 else 0)
            for index, name in enumerate(names)
        }
        image_zip(source, label, turned)
    return source


def contents(root: Path) -> dict[str, bytes]:
    """Return every file below ``data_shared``: path -> bytes."""
    folder = root / "data_shared"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class _Cp949Info(zipfile.ZipInfo):
    __slots__ = ()

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 (zipfile's own hook)
        return self.filename.encode("cp949"), self.flag_bits & ~0x800


def london(shared: Path) -> Iterator[Pixels]:
    """The 72 photographs of the London set, upright."""
    for archive in sorted((shared / "data/london_as_aihub").glob("*원천*.zip")):
        with zipfile.ZipFile(archive) as photographs:
            for name in photographs.namelist():
                yield decode(photographs.read(name))
