"""The scripts beside the package, run as a user runs them."""

import subprocess
import sys
import zipfile
from pathlib import Path

import polars as pl

from tests.conftest import REPOSITORY


def test_rafdb_becomes_three_tables_without_common_faces(tmp_path: Path) -> None:
    rows = [
        (f"rafdb/{split}/{n}.jpg", "happy", split)
        for split, count in (("train", 40), ("test", 7))
        for n in range(count)
    ]
    lines = ["path,label_en,split", *(",".join(row) for row in rows)]
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr("rafdb/labels.csv", "\n".join(lines))
    script = [
        sys.executable,
        REPOSITORY / "scripts" / "rafdb.py",
        tmp_path / "faces.zip",
        "--project-root",
        tmp_path / "work",
    ]
    for _ in range(2):
        done = subprocess.run([str(part) for part in script], check=True, capture_output=True, text=True)
        assert "val_BASIC7.csv: 4 faces" in done.stdout
    parts = {name: pl.read_csv(tmp_path / f"work/data_raw/{name}_BASIC7.csv") for name in ("train", "val", "test")}
    assert {name: part.height for name, part in parts.items()} == {"train": 36, "val": 4, "test": 7}
    assert pl.concat(parts.values())["path"].n_unique() == 47
    assert parts["test"]["path"].str.starts_with("data_raw/faces.zip!/rafdb/test/").all()
    assert parts["val"]["path"].str.contains("/train/").all()
    assert (tmp_path / "work/data_raw/faces.zip").resolve() == tmp_path / "faces.zip"
