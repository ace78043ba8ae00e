"""The quick check of the documentation, done as a person does it."""

import re
from typing import Any

import pytest

from pyojeong.core.labels import KOREAN

pytestmark = pytest.mark.browser

PAGE = "/tests/js_api_smoke_test.html"


def rows_of(page: Any) -> dict[str, float]:
    rows = page.locator("#result tbody tr").all()
    return {
        row.locator("th").inner_text(): float(row.locator("td").first.inner_text().removesuffix(" %")) for row in rows
    }


def test_an_uploaded_image_becomes_a_table_of_probabilities(
    tab: Any, site: Any, oracle: Any, painter: Any, tmp_path: Any
) -> None:
    image = painter(200, 150, seed=11)
    image.save(tmp_path / "얼굴.png")
    page = tab.page
    page.goto(site.origin + PAGE)
    page.get_by_label("얼굴 사진").set_input_files(tmp_path / "얼굴.png")
    page.get_by_role("button", name="Run Inference").click()
    page.locator("#result").wait_for()
    shown = rows_of(page)
    expected = oracle(image, None)
    assert tuple(shown) == KOREAN
    assert all(abs(shown[name] - 100 * expected[name]) <= 0.06 for name in KOREAN)
    assert page.locator("tr.top th").inner_text() == max(expected, key=expected.__getitem__)
    assert tuple(page.evaluate("() => api.outputKeys")) == KOREAN
    assert page.evaluate("() => api.remap") is None
    tab.assert_clean(site.origin)


def test_a_second_image_replaces_the_first(tab: Any, site: Any, oracle: Any, painter: Any, tmp_path: Any) -> None:
    page = tab.page
    page.goto(site.origin + PAGE)
    for seed in (12, 13):
        image = painter(90, 120, seed=seed)
        image.save(tmp_path / f"{seed}.png")
        page.get_by_label("얼굴 사진").set_input_files(tmp_path / f"{seed}.png")
        assert page.locator("#result").is_hidden()
        page.get_by_role("button", name="Run Inference").click()
        page.locator("#result").wait_for()
        expected = oracle(image, None)
        assert all(abs(value - 100 * expected[name]) <= 0.06 for name, value in rows_of(page).items())


def test_without_a_model_the_page_says_what_to_run(tab: Any, site: Any) -> None:
    tab.page.goto(f"{site.origin}{PAGE}?model=/models/none.onnx")
    tab.page.locator("#status", has_text=re.compile("make run")).wait_for()
    assert tab.page.get_by_role("button", name="Run Inference").is_disabled()


def test_a_model_of_another_site_is_not_loaded(tab: Any, site: Any) -> None:
    tab.page.goto(f"{site.origin}{PAGE}?model=http://localhost:1/k7.onnx")
    tab.page.locator("#status[data-kind=error]").wait_for()
    assert not any(url.startswith("http://localhost:1/") for url in tab.requests)


def test_a_file_that_is_no_image_is_refused_in_words(tab: Any, site: Any, tmp_path: Any) -> None:
    (tmp_path / "notes.png").write_text("not a picture")
    tab.page.goto(site.origin + PAGE)
    tab.page.get_by_label("얼굴 사진").set_input_files(tmp_path / "notes.png")
    tab.page.get_by_role("button", name="Run Inference").click()
    tab.page.locator("#status", has_text=re.compile("사진으로 열 수 없습니다")).wait_for()


def test_the_page_fits_a_small_phone(tab: Any, site: Any) -> None:
    tab.page.set_viewport_size({"width": 360, "height": 640})
    tab.page.goto(site.origin + PAGE)
    tab.page.locator("#status", has_text="준비되었습니다").wait_for()
    assert tab.page.evaluate("() => document.documentElement.scrollWidth") <= 360
