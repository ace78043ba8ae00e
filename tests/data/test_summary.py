from collections import Counter

import polars as pl
import pytest

from pyojeong.core.geometry import Box
from pyojeong.core.labels import KOREAN, UNKNOWN
from pyojeong.core.workspace import CROP_FILES
from pyojeong.data import aihub, crop_files
from pyojeong.data.records import read_records
from pyojeong.data.summary import BOX_EDGES, Summary, summarize
from tests.archives import file_name, record


def rows_of(*people: tuple[int, str, str, Box, str]) -> pl.DataFrame:
    """Finished rows from (person, label, uploader, box, split)."""
    records = [
        record(file_name(who, label, shot), (label,) * 3, [box] * 3, uploader=uploader)
        for shot, (who, label, uploader, box, _) in enumerate(people)
    ]
    return read_records(records, str, "majority", "training").with_columns(
        split=pl.Series([split for *_, split in people], dtype=pl.String),
        crop=pl.Series([f"{CROP_FILES}/{n}.jpg" for n in range(len(people))], dtype=pl.String),
        width=pl.lit(1000),
        height=pl.lit(800),
        orientation=pl.lit(3),
    )


def summary_of(rows: pl.DataFrame) -> Summary:
    return summarize(aihub.Index(rows, 9, 8, Counter(), []), rows, [])


def test_people_labels_and_uploaders_are_counted() -> None:
    box = (0.0, 0.0, 100.0, 200.0)
    rows = rows_of(
        (1, "기쁨", "기쁨", box, "train"), (1, "슬픔", "상처", box, "train"), (2, "슬픔", "슬픔", box, "test")
    )
    summary = summary_of(rows)
    assert (summary.people, summary.kept, summary.records, summary.photographs) == (2, 3, 9, 8)
    assert summary.people_per_split == {"train": 1, "val": 0, "test": 1}
    assert summary.uploader == {"기쁨": {"기쁨": 1}, "슬픔": {"상처": 1, "슬픔": 1}}
    assert summary.agreement == {"기쁨": {"3": 1}, "슬픔": {"3": 2}}
    assert summary.orientations == {"3": 3}
    assert summary.images_per_class["M1"]["train"] == {
        **dict.fromkeys(("neutral", "angry", "fearful", "surprised"), 0),
        "happy": 1,
        "sad": 1,
    }
    assert summary.photographs_per_person["0.95"] == 2
    assert {line.split(":")[0] for line in summary.warnings} == set(KOREAN)


def test_other_uploader_words_count_as_unknown() -> None:
    box = (0.0, 0.0, 100.0, 200.0)
    words = ["기쁨", "", UNKNOWN, *(f"말 {number}" for number in range(40))]
    rows = rows_of(*((number, "기쁨", word, box, "train") for number, word in enumerate(words)))
    assert summary_of(rows).uploader == {"기쁨": {"": 1, "기쁨": 1, UNKNOWN: 41}}


def test_box_sizes_fall_into_their_bins() -> None:
    sides = [20, 79.9, 80, 1280, 9000]
    rows = rows_of(*((n, "기쁨", "기쁨", (0.0, 0.0, 10.0, float(side)), "train") for n, side in enumerate(sides)))
    sizes = summary_of(rows).box_sizes
    assert list(sizes["longer_side_from"].values()) == [2, 1, 0, 0, 0, 1, 1]
    assert list(sizes["longer_side_from"]) == [str(edge) for edge in BOX_EDGES]
    assert sizes["height"]["0.5"] == 80
    assert sizes["width"]["0.05"] == 10
    assert sizes["share_of_photograph"]["0.05"] == pytest.approx(10 * 20 / 800_000, abs=1e-4)


def test_drops_of_both_stages_add_up_and_have_meanings() -> None:
    done = [
        crop_files.CropResult("a", "k", "tiny_box"),
        crop_files.CropResult("b", "k", ""),
        crop_files.CropResult("c", "k", "", clipped=True),
    ]
    index = aihub.Index(rows_of(), 3, 3, Counter(no_majority=4, tiny_box=1), ["a.zip (no zip)"])
    summary = summarize(index, rows_of(), done)
    assert summary.drops == {"no_majority": 4, "tiny_box": 2}
    assert summary.drop_meanings["no_majority"] == aihub.DROPS["no_majority"]
    assert (summary.clipped_boxes, summary.unreadable) == (1, ["a.zip (no zip)"])
    assert summary.box_sizes["width"]["0.5"] is None, "of no photograph there is no median"
