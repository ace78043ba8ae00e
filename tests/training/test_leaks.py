import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pyojeong.core.table import write_csv
from tests.trainings import run, small_tables


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small_tables(tmp_path)


def test_images_in_two_sets_are_reported(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run(root, epochs=1, test_csv=root / "val.csv")

    assert "share 6 images" in caplog.text


def test_faces_in_two_sets_are_reported(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, left in (("val", 0), ("test", 20)):
        frame = pl.read_csv(root / "val.csv")[:6].select(
            "path", "label_en", minX=pl.lit(left), minY=0, maxX=left + 20, maxY=20
        )
        write_csv(frame, root / f"{name}_boxes.csv")
    common: dict[str, Any] = {"train_csv": root / "train.csv", "val_csv": root / "val_boxes.csv", "epochs": 1}
    with caplog.at_level(logging.WARNING):
        run(root, **common, test_csv=root / "test_boxes.csv")
    assert "share" not in caplog.text
    with caplog.at_level(logging.WARNING):
        run(root, "again", **common, test_csv=root / "val_boxes.csv")
    assert "val_boxes.csv share 6 images" in caplog.text


def test_people_and_whole_images_in_two_sets_are_reported(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = pl.read_csv(root / "val.csv")[:6]
    boxes = {"minX": pl.lit(2), "minY": pl.lit(2), "maxX": pl.lit(25), "maxY": pl.lit(25)}
    write_csv(rows.with_columns(**boxes), root / "val_boxes.csv")
    write_csv(rows.with_columns(person=pl.lit("p")), root / "test_people.csv")
    write_csv(pl.read_csv(root / "train.csv").with_columns(person=pl.lit("p")), root / "train_people.csv")
    csvs: dict[str, Any] = {"train_csv": root / "train_people.csv", "val_csv": root / "val_boxes.csv"}
    with caplog.at_level(logging.WARNING):
        run(root, **csvs, test_csv=root / "test_people.csv", epochs=1)
    assert "val_boxes.csv and" in caplog.text
    assert "test_people.csv share 6 images" in caplog.text
    assert "test_people.csv share 1 person" in caplog.text
