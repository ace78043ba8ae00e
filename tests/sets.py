"""Small archives of the data sets that the scripts join, and a way to run a script."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import polars as pl
from PIL import Image

from pyojeong.core.labels import FACEAPI
from tests.conftest import REPOSITORY

VOTES = [f"votes_{label}" for label in FACEAPI]


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / script), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def write_archive(path: Path, rows: list[dict[str, object]]) -> None:
    """Write an archive with a list of labels and a plain picture for each row."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/labels.csv", pl.DataFrame(rows).write_csv())
        for number, row in enumerate(rows):
            picture = io.BytesIO()
            Image.new("RGB", (48, 48), (5 * number, 100, 100)).save(picture, "PNG")
            archive.writestr(str(row["path"]), picture.getvalue())


def write_sets(folder: Path) -> None:
    """Write a small archive of every set."""
    write_archive(folder / "rafdb.zip", [face("rafdb", n, split="test" if n > 19 else "train") for n in range(24)])
    counted = dict.fromkeys(VOTES, 0) | dict.fromkeys(("votes_contempt", "votes_unknown", "votes_no_face"), 0)
    fer = [
        face("fer2013", n, split="test" if n > 45 else "train", near_test=int(n == 3), **{**counted, "votes_sad": 8})
        for n in range(50)
    ]
    fer[5]["votes_sad"] = 4
    fer[47] |= {"votes_contempt": 8}
    write_archive(folder / "fer2013.zip", fer)
    cohn = [face("ckplus48", n, person=f"S{n // 2:02}", split="train") for n in range(24)]
    cohn[7]["label_en"] = "contempt"
    write_archive(folder / "ckplus48.zip", cohn)
    shares = {f"share_{label}": 0.0 for label in FACEAPI if label != "neutral"}
    rated = [
        face("taiwan_odd", n, person=f"T{n % 4:02}", split="train", raters=50, **{**shares, "share_sad": 0.5})
        for n in range(8)
    ]
    rated[0] |= {"label_en": "neutral", "raters": None, **dict.fromkeys(shares)}
    write_archive(folder / "taiwan_odd.zip", rated)
    write_archive(folder / "jaffe.zip", [face("jaffe", n, person="KA", split="val") for n in range(2)])
    write_archive(folder / "utk_asian.zip", [{"path": f"utk_asian/{n}.png", "age": 30} for n in range(24)])


def face(name: str, number: int, **columns: object) -> dict[str, object]:
    return {"path": f"{name}/{number}.png", "label_en": "sad", **columns}
