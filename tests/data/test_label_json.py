"""Label files in every wrapping: what is a record is read, and what is not is described."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyojeong.core.errors import InputError
from pyojeong.data.aihub import index, survey
from pyojeong.data.label_json import described, parse_items
from tests.archives import file_name, image_zip, jpeg, record

NAMES = [file_name(who) for who in range(3)]
RECORDS = [record(name) for name in NAMES]
WITHOUT_NAME = [{key: value for key, value in one.items() if key != "filename"} for one in RECORDS]


def dumped(value: Any, encoding: str = "utf-8") -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(encoding)


@pytest.mark.parametrize(
    "data",
    [
        dumped({"info": {"name": "x"}, "annotations": RECORDS}),
        dumped({"data": {"version": 1, "items": {"list": RECORDS}}}),
        dumped([{"info": {}, "annotations": RECORDS}]),
        dumped([{"annotations": [one]} for one in RECORDS]),
        dumped([RECORDS[:2], RECORDS[2:]]),
        dumped(dict(zip(NAMES, WITHOUT_NAME, strict=True))),
        dumped({"images": dict(zip(NAMES, RECORDS, strict=True))}),
        dumped({"0": RECORDS[0], "1": RECORDS[1], "2": RECORDS[2]}),
        b"\n".join(map(dumped, RECORDS)),  # JSON Lines
        b"".join(map(dumped, RECORDS)),
        dumped([{"fileName": name, **one} for name, one in zip(NAMES, WITHOUT_NAME, strict=True)]),
        dumped([{"file_name": name, **one} for name, one in zip(NAMES, WITHOUT_NAME, strict=True)]),
        dumped(RECORDS, "utf-16"),
        dumped({"annotations": RECORDS}, "cp949"),
        dumped({"annotations": RECORDS}, "utf-8-sig"),
        b" \r\n" + dumped(RECORDS) + b"\n\n",
    ],
)
def test_records_are_found_in_every_wrapping(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "labels.json").write_bytes(data)
    image_zip(tmp_path, "기쁨", {name: jpeg() for name in NAMES})
    found = index(survey(tmp_path), "data_raw")
    assert found.rows["name"].to_list() == NAMES
    assert (found.records, dict(found.drops)) == (3, {})


def test_one_record_may_be_a_file(tmp_path: Path) -> None:
    for number, (name, one) in enumerate(zip(NAMES, RECORDS, strict=True)):
        (tmp_path / name).write_bytes(jpeg())
        (tmp_path / f"{Path(name).stem}.json").write_bytes(dumped(one, "cp949" if number else "utf-8"))
    (tmp_path / "more.jsonl").write_bytes(dumped(RECORDS[0]))
    found = index(survey(tmp_path), "data_raw")
    assert found.rows["name"].to_list() == NAMES
    assert found.drops == {"duplicate_record": 1}


def test_endings_match_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_bytes(dumped([record(NAMES[0].replace(".jpg", ".JPG")), *RECORDS[1:]]))
    image_zip(tmp_path, "기쁨", {NAMES[0]: jpeg(), NAMES[1].replace(".jpg", ".JPG"): jpeg(), NAMES[2]: jpeg()})
    assert index(survey(tmp_path), "data_raw").rows.height == 3


def test_what_lies_beside_records_is_counted(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_bytes(dumped({"annotations": [*RECORDS, {"note": 1}, 5]}))
    image_zip(tmp_path, "기쁨", {name: jpeg() for name in NAMES})
    found = index(survey(tmp_path), "data_raw")
    assert (found.rows.height, found.records, found.drops) == (3, 5, {"malformed_record": 2})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"info": 1, "images": [{"id": 3}]}', "an object with the keys info, images"),
        (b'[{"id": 1, "path": "a.jpg"}, 2]', "a list of 2 items, the first of them an object with the keys id, path"),
        (b"[]", "a list"),
        (b"{}", "{}"),
        (b'"text"', "a str"),
        (b"3 4", "a int"),
        (dumped({f"key{number}": 1 for number in range(20)}), "key7, …"),
    ],
)
def test_a_file_without_records_is_described(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in described(data)
    (tmp_path / "other.json").write_bytes(data)
    image_zip(tmp_path, "기쁨", {NAMES[0]: jpeg()})
    with pytest.raises(InputError, match="no label records") as caught:
        index(survey(tmp_path), "data_raw")
    assert words in str(caught.value)
    assert "other.json holds" in str(caught.value)


def test_records_that_lie_too_deep_are_not_searched_for_ever() -> None:
    value: Any = RECORDS
    for _ in range(6):
        value = {"inner": value}
    assert list(parse_items(dumped(value))) == []


def test_json_is_decoded_from_every_seen_encoding() -> None:
    value = [{"filename": "기쁨 뷁.jpg"}]
    text = json.dumps(value, ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig", "cp949", "utf-16", "utf-16-le", "utf-16-be"):
        assert list(parse_items(text.encode(encoding))) == value


JSON_TEXT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(json.dumps)


@given(
    JSON_TEXT | st.lists(JSON_TEXT).map(lambda items: f"[ {' , '.join(items)}\r\n]"), st.integers(0, 60), st.booleans()
)
@pytest.mark.heavy
def test_items_equal_those_of_the_parsed_file(text: str, at: int, damaged: bool) -> None:
    if damaged:
        text = text[:at] + text[at + 1 :]
    try:
        value = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"\w"):
            list(parse_items(text.encode()))
    else:
        assert list(parse_items(text.encode())) == (value if isinstance(value, list) else [])
