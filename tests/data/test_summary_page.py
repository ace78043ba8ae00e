import base64
import io
import re
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pyojeong.core.labels import KOREAN
from pyojeong.core.workspace import SUMMARY_PAGE, SYNTHETIC_NOTICE
from pyojeong.data import aihub, crop_files
from pyojeong.data.prepare import prepare
from pyojeong.data.splits import SPLITS
from pyojeong.data.summary import warnings_of
from pyojeong.data.summary_page import KOREAN_MEANINGS, KOREAN_WARNINGS, SHEET, render
from tests.archives import data_set, file_name, image_zip, jpeg, label_zip, record


class Outline(HTMLParser):
    """Text, sources and balance of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.images: list[tuple[str, bytes]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)
        if tag == "img":
            kind, _, data = str(values["src"]).partition(",")
            assert kind == "data:image/jpeg;base64"
            self.images.append((str(values["alt"]), base64.b64decode(data)))
        assert "href" not in values
        assert tag not in ("script", "link", "iframe", "object")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    root = tmp_path_factory.mktemp("page")
    source = data_set(root / "set", 16)
    label_zip(source / "more", "기쁨", [record(file_name(90)), record(file_name(91), ("기쁨", "슬픔", "분노"))])
    image_zip(source / "more", "기쁨", {file_name(91): jpeg()})
    summary = asdict(prepare(source, root))
    return summary, (root / SUMMARY_PAGE).read_text(encoding="utf-8")


def test_the_page_shows_every_figure_and_holds_everything(prepared: tuple[dict[str, Any], str]) -> None:
    summary, html = prepared
    page = Outline(html)
    assert page.open == []
    assert "default-src 'none'" in html
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:|//)", html)
    for figure in (summary["kept"], summary["people"], summary["records"], *summary["orientations"].values()):
        assert f"{figure:,}" in page.words
    for reason in ("no_majority", "record_without_image"):
        assert reason in page.words
        assert KOREAN_MEANINGS[reason] in page.words
        assert summary["drop_meanings"][reason] in page.words
    for label in KOREAN:
        assert page.words.count(label) >= 4


def test_the_contact_sheet_has_small_crops_of_different_people(prepared: tuple[dict[str, Any], str]) -> None:
    _, html = prepared
    images = Outline(html).images
    assert [label for label, _ in images] == [label for label in KOREAN for _ in range(SHEET)]
    for _, data in images:
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (112, 112)
            assert image.format == "JPEG"


def test_each_reason_is_explained_in_korean() -> None:
    assert set(KOREAN_MEANINGS) == {*aihub.DROPS, *crop_files.DROPS}


def test_each_warning_is_explained_in_korean(prepared: tuple[dict[str, Any], str]) -> None:
    summary, _ = prepared
    empty = dict.fromkeys(SPLITS, dict.fromkeys(KOREAN, 0))
    one = empty | {"train": empty["train"] | {"기쁨": 1}}
    other = empty | {"val": empty["val"] | {"기쁨": 1}}
    for warning in {*warnings_of(empty), *warnings_of(one), *warnings_of(other)}:
        html = render(summary | {"warnings": [warning]}, {label: [] for label in KOREAN})
        label, _, meaning = warning.partition(": ")
        assert f"{label}: {KOREAN_WARNINGS[meaning]} · {meaning}" in html


def test_what_comes_from_the_data_cannot_become_markup(prepared: tuple[dict[str, Any], str]) -> None:
    summary, _ = prepared
    evil = "<script>alert(1)</script>"
    hostile = summary | {
        "unreadable": [f"{evil}.zip (no zip)"],
        "warnings": [evil],
        "uploader": {"기쁨": {evil: 3, "": 2}},
        "synthetic": True,
    }
    page = Outline(render(hostile, dict.fromkeys(KOREAN, ())))
    assert page.open == []
    assert page.words.count(evil) == 2
    assert SYNTHETIC_NOTICE in page.words
    assert page.images == []


@pytest.mark.parametrize("policy", ["unanimous", "uploader"])
@pytest.mark.parametrize("split", ["person", "image"])
def test_every_setting_has_its_page(tmp_path: Path, policy: str, split: str) -> None:
    source = data_set(tmp_path / "set", 1)
    name = file_name(50, shot=50)
    label_zip(source / "more", "기쁨", [record(name, ("슬픔", "슬픔", "분노"), uploader="기쁨")])
    image_zip(source / "more", "기쁨", {name: jpeg()})
    prepare(source, tmp_path, policy=policy, split=split)
    page = Outline((tmp_path / SUMMARY_PAGE).read_text(encoding="utf-8"))
    assert policy in page.words
    assert split in page.words
    assert ("0 of 3" in page.words) == (policy == "uploader")
