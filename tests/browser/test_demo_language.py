"""The demo page in Korean and in English."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from pyojeong.core.labels import ENGLISH, FACEAPI, KOREAN, english_word, korean_word
from pyojeong.demo.files import DEMO
from tests.browser.conftest import FACTS, REPOSITORY, Tab, demo_served, tab_of

pytestmark = pytest.mark.browser

HANGUL = re.compile("[가-힣]+")


@pytest.fixture
def english(browser: Browser, package_origin: str) -> Any:
    with tab_of(browser, "en-GB") as opened:
        opened.page.goto(package_origin + DEMO)
        opened.page.wait_for_function("() => window.api")
        yield opened


def test_the_browser_s_language_is_the_page_s(english: Tab, package_origin: str) -> None:
    page = english.page
    assert page.locator("html").get_attribute("lang") == "en"
    page.get_by_role("button", name="Picture of drawn faces").click()
    page.locator("#box-text", has_text="3 faces found").wait_for()
    page.get_by_label("Compare with face-api.js").check()
    page.locator("#rival-figures", has_text="Same answer as pyojeong").wait_for(timeout=60_000)
    words = page.evaluate("() => document.body.innerText")
    # The name of the project and the switch are left.
    assert HANGUL.findall(words) == ["표정", "한국어"]
    labels = page.evaluate(
        "() => [...document.querySelectorAll('[aria-label], [alt]')].map((each) => each.ariaLabel ?? each.alt)"
    )
    assert labels
    assert not HANGUL.search(" ".join(labels))
    english.assert_clean(package_origin)


def test_the_switch_changes_everything_that_is_shown_and_the_address(english: Tab) -> None:
    page = english.page
    page.get_by_role("button", name="Picture of drawn faces").click()
    page.locator("#answer", has_text="happy").wait_for()
    page.evaluate(
        """() => {
          navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotFoundError'); };
        }"""
    )
    page.get_by_role("button", name="Start camera").click()
    page.locator("#problem", has_text="No camera was found").wait_for()

    page.get_by_role("button", name="한국어").click()
    assert page.locator("html").get_attribute("lang") == "ko"
    assert page.locator("#problem").inner_text().startswith("카메라를 찾지 못했습니다")
    assert page.locator("#answer").inner_text().startswith("기쁨")
    assert page.locator("#faces .face span").first.inner_text().split()[0] in ("기쁨", "놀람", "슬픔")
    assert page.locator("#bars li").first.inner_text().startswith("중립")
    assert page.locator("#truths button").all_inner_texts() == [korean_word(name) for name in FACEAPI]
    assert page.locator("#rows").inner_text() == "읽은 결과 3줄"
    assert page.get_by_role("button", name="한국어").get_attribute("aria-pressed") == "true"
    assert page.get_by_role("button", name="English").get_attribute("aria-pressed") == "false"

    page.reload()
    page.get_by_role("button", name="카메라 켜기").wait_for()
    assert page.url.endswith("?lang=ko")


def test_every_text_of_the_page_is_there_in_both_languages(page: Any) -> None:
    html = (REPOSITORY / "web/demo/index.html").read_text(encoding="utf-8")
    keys = re.findall(r'data-(?:text|label)="(\w+)"', html)
    found = page.evaluate(
        """async () => {
          const { TEXTS } = await import('/web/demo/texts.js');
          const kinds = (texts) => Object.fromEntries(Object.entries(texts).map(([key, value]) => [key, typeof value]));
          return { ko: kinds(TEXTS.ko), en: kinds(TEXTS.en),
            remedies: [Object.keys(TEXTS.ko.remedies), Object.keys(TEXTS.en.remedies)] };
        }"""
    )
    assert len(keys) > 20
    assert {key: found["ko"].get(key) for key in keys} == dict.fromkeys(keys, "string")
    assert found["ko"] == found["en"]
    assert found["remedies"][0] == found["remedies"][1]


PRELUDE = "() => {}"


def test_classes_have_the_words_that_they_have_in_python(page: Any) -> None:
    names = [*KOREAN, *ENGLISH, *FACEAPI, "grim-faced", "웃음", "constructor"]
    korean, english = page.evaluate(
        """async (names) => {
          const { wordIn } = await import('/web/demo/words.js');
          return ['ko', 'en'].map((language) => names.map((name) => wordIn(language, name)));
        }""",
        names,
    )
    assert korean == [korean_word(name) for name in names]
    assert english == [english_word(name) for name in names]


@pytest.mark.parametrize(("count", "korean", "english"), [(3, "세 가지", "three"), (12, "12 가지", "12")])
def test_the_number_of_emotions_is_the_model_s(
    count: int, korean: str, english: str, tab: Any, site: Any, model_writer: Any, tmp_path: Path
) -> None:
    classes = [f"kind{number}" for number in range(count)]
    model_writer(tmp_path / "own.onnx", outputs=count, metadata=FACTS | {"classes": json.dumps(classes)})
    (tmp_path / "classes.json").write_text(json.dumps({"classes": classes}), encoding="utf-8")
    with demo_served(site.root, tmp_path) as origin:
        tab.page.goto(origin + DEMO)
        tab.page.locator("#lead", has_text=korean).wait_for()
        tab.page.get_by_role("button", name="English").click()
        tab.page.locator("#lead", has_text=f"probabilities of {english} emotions").wait_for()
        tab.page.goto("about:blank")
