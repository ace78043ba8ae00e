import json
import unicodedata
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyojeong.core.labels import KOREAN, UNKNOWN
from pyojeong.core.table import BOX_COLUMNS, VOTES
from pyojeong.data.records import POLICIES, SCHEMA, choose_box, read_records, votes_of
from tests import archives
from tests.archives import BOX, file_name, person, record


def row_of(value: Any, policy: str = "majority") -> dict[str, Any]:
    return read_records([value], str, policy, "training").row(0, named=True)


@pytest.mark.parametrize(
    ("votes", "uploader", "majority", "unanimous", "by_uploader"),
    [
        (("기쁨", "기쁨", "기쁨"), "슬픔", "기쁨", "기쁨", "슬픔"),
        (("기쁨", "슬픔", "기쁨"), "기쁨", "기쁨", "not_unanimous", "기쁨"),
        (("불안", "당황", "슬픔"), "불안", "no_majority", "not_unanimous", "불안"),
        ((UNKNOWN, "당황", UNKNOWN), "불안", "unknown_label", "not_unanimous", "불안"),
        ((UNKNOWN, UNKNOWN, UNKNOWN), "", "unknown_label", "unknown_label", "unknown_label"),
        ((UNKNOWN, "당황", "당황"), "놀람", "당황", "not_unanimous", "unknown_label"),
        (("놀람", "놀람", "당황"), "당황", "unknown_label", "not_unanimous", "당황"),
        (("기쁨", "기쁨"), "기쁨", "기쁨", "not_unanimous", "기쁨"),
        (("기쁨",), "기쁨", "no_majority", "not_unanimous", "기쁨"),
        ((), "기쁨", "no_majority", "not_unanimous", "no_box"),
        ((None, 7, ["기쁨"]), "기쁨", "no_majority", "not_unanimous", "기쁨"),
    ],
)
def test_each_policy_chooses_its_label_or_says_why_not(
    votes: Sequence[Any], uploader: str, majority: str, unanimous: str, by_uploader: str
) -> None:
    value = record(file_name(1), votes, uploader=uploader)
    expected = {"majority": majority, "unanimous": unanimous, "uploader": by_uploader}
    assert set(expected) == set(POLICIES)
    for policy, outcome in expected.items():
        row = row_of(value, policy)
        assert (row["reason"] or row["label"]) == outcome, policy


def test_a_row_keeps_who_where_and_all_votes() -> None:
    row = row_of(record(file_name(7), ("슬픔", "상처", "슬픔"), uploader="상처"))
    assert row["person"] == person(7)
    assert (row["gender"], row["age"], row["profession"], row["place"]) == ("여", 30, "일반인", "숙박 및 거주공간")
    assert (row["label"], row["uploader"], row["agreement"], row["official"]) == ("슬픔", "상처", 2, "training")
    assert {name: row[name] for name in VOTES if row[name]} == {"votes_슬픔": 2, "votes_상처": 1}


@pytest.mark.parametrize(
    ("age", "years"),
    [(30, 30), ("30", 30), (30.0, 30), ("30세", 30), (" 41 살", 41), (True, None), ("old", None), (-3, None)],
)
def test_an_age_may_be_text(age: Any, years: int | None) -> None:
    assert row_of(record(file_name(1), ("기쁨",) * 3) | {"age": age})["age"] == years


def test_other_words_are_counted_as_unknown() -> None:
    row = row_of(record(file_name(1), ("기쁨", "기쁨", "놀람")))
    assert row[f"votes_{UNKNOWN}"] == 1


@pytest.mark.parametrize("face_bb", [False, True])
def test_both_formats_of_annotators_are_read(face_bb: bool) -> None:
    value = record(file_name(1), ("분노", "분노", "슬픔"), face_bb=face_bb)
    assert [vote.label for vote in votes_of(value)] == ["분노", "분노", "슬픔"]
    assert [vote.box for vote in votes_of(value)] == [BOX] * 3


def test_a_null_entry_yields_to_the_other_format() -> None:
    value = record(file_name(1), face_bb=True) | {"annot_A": None}
    assert len(votes_of(value)) == 3


def test_decomposed_labels_count() -> None:
    row = row_of(record(file_name(1), [unicodedata.normalize("NFD", "상처")] * 3))
    assert (row["label"], row["votes_상처"]) == ("상처", 3)


def test_the_box_comes_from_those_who_voted_for_the_label() -> None:
    boxes = [(10, 10, 50, 60), (500, 500, 600, 600), (12, 10, 52, 60)]
    value = record(file_name(1), ("기쁨", "슬픔", "기쁨"), boxes)
    assert choose_box(votes_of(value), "기쁨") == ((10, 10, 50, 60), None)
    assert choose_box(votes_of(value), "슬픔") == ((500, 500, 600, 600), None)


def test_the_box_is_the_one_that_agrees_best_with_the_others() -> None:
    middle = (12, 12, 52, 62)
    boxes = [(4, 12, 44, 62), middle, (16, 14, 56, 64)]
    assert choose_box(votes_of(record(file_name(1), ("기쁨",) * 3, boxes)), "기쁨") == (middle, None)
    # Of two voters the one counts whose box the third annotator's supports.
    two = record(file_name(1), ("기쁨", "기쁨", "슬픔"), boxes)
    assert choose_box(votes_of(two), "기쁨") == (middle, None)


def test_a_degenerate_box_yields_to_a_valid_one() -> None:
    flat, good = (30, 30, 30, 80), (10, 10, 50, 60)
    of_voter = record(file_name(1), ("기쁨", "기쁨", "슬픔"), [flat, good, (0, 0, 5, 5)])
    assert choose_box(votes_of(of_voter), "기쁨") == (good, None)
    of_other = record(file_name(1), ("기쁨", "기쁨", "슬픔"), [flat, flat, good])
    assert choose_box(votes_of(of_other), "기쁨") == (good, None)
    none = record(file_name(1), boxes=[flat] * 3)
    assert choose_box(votes_of(none), "기쁨") == (None, "zero_area_box")


def test_swapped_corners_give_the_same_box() -> None:
    value = record(file_name(1), boxes=[(50, 60, 10, 10)] * 3)
    assert choose_box(votes_of(value), "기쁨") == ((10, 10, 50, 60), None)


@pytest.mark.parametrize(
    "sides",
    [
        {},
        None,
        "1234",
        [1, 2, 3],
        [1, 2, 3, "x"],
        [300, 200, 100, 120],  # x, y, width, height
        {"x": 1, "y": 2, "width": 3},
        {"minX": 1, "minY": 2, "maxX": 3},
        {"minX": "left", "minY": 2, "maxX": 3, "maxY": 4},
        {"minX": float("nan"), "minY": 2, "maxX": 3, "maxY": 4},
        {"minX": 1, "minY": 2, "maxX": float("inf"), "maxY": 4},
        {"minX": 1, "minY": 2, "maxX": 10**400, "maxY": 4},
        {"minX": [1], "minY": 2, "maxX": 3, "maxY": 4},
    ],
)
def test_an_unusable_box_is_ignored(sides: Any) -> None:
    row = row_of(record(file_name(1), boxes=[sides] * 3))
    assert row["reason"] == "no_box"


def test_numbers_written_as_text_count() -> None:
    sides = {"minX": "1", "minY": "2.5", "maxX": "30", "maxY": "40"}
    assert choose_box(votes_of(record(file_name(1), boxes=[sides] * 3)), "기쁨")[0] == (1, 2.5, 30, 40)


@pytest.mark.parametrize("sides", [[1, 2.5, 30, "40"], {"x": 1, "y": 2.5, "width": "29", "height": 37.5}])
def test_a_box_may_be_a_list_of_corners_or_have_a_size(sides: Any) -> None:
    row = row_of(record(file_name(1), boxes=[sides] * 3))
    assert [row[name] for name in BOX_COLUMNS] == [1, 2.5, 30, 40]


@pytest.mark.parametrize("value", [None, 3, "x", [], {}, {"filename": 5}, {"filename": ""}, {"annot_A": {}}])
def test_a_record_without_a_name_is_malformed(value: Any) -> None:
    row = row_of(value)
    assert (row["name"], row["reason"]) == (None, "malformed_record")


def test_a_name_without_a_person_is_dropped() -> None:
    assert row_of(record("IMG_0001.jpg"))["reason"] == "no_person"
    assert row_of(record("IMG_0001.jpg", ("기쁨", "슬픔", "분노")))["reason"] == "no_person"
    assert row_of(record(person(255).upper() + "_a.jpg"))["person"] == person(255)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([*KOREAN, UNKNOWN]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from([*record(file_name(1)), "faceBB_A", "boxes"])
SIDES = st.dictionaries(st.sampled_from(["minX", "minY", "maxX", "maxY", "label"]), JSON)
ENTRY = st.fixed_dictionaries({}, optional={"boxes": SIDES | JSON, "faceExp": JSON, "bg": JSON})


@given(st.lists(JSON | st.dictionaries(KEYS, ENTRY | JSON), max_size=5), st.sampled_from(sorted(POLICIES)))
def test_json_of_any_shape_becomes_usable_rows_or_a_reason(values: list[Any], policy: str) -> None:
    rows = read_records(values, archives.person(1).join, policy, "validation")
    assert rows.height == len(values)
    assert rows.columns == list(SCHEMA)
    usable = rows.filter(rows["reason"].is_null())
    assert usable["label"].is_in(KOREAN).all()
    assert (usable["minX"] < usable["maxX"]).all()
    assert (usable["minY"] < usable["maxY"]).all()


def test_hangul_may_be_decomposed_anywhere_in_a_record() -> None:
    plain = record(file_name(1), ("슬픔", "슬픔", "상처"), uploader="상처") | {"age": "30세"}
    decomposed = json.loads(unicodedata.normalize("NFD", json.dumps(plain, ensure_ascii=False)))
    assert decomposed != plain
    assert row_of(plain)["age"] == 30
    assert row_of(decomposed) | {"name": ""} == row_of(plain) | {"name": ""}
