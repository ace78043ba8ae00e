"""The page that ``prepare`` writes, in a real browser."""

from pathlib import Path

import pytest

from pyojeong.core.workspace import SUMMARY_PAGE
from pyojeong.data.prepare import prepare
from tests.archives import data_set

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (380, "dark")])
def test_the_page_fits_any_screen_and_loads_nothing(tab, tmp_path: Path, width: int, scheme: str):
    prepare(data_set(tmp_path / "set", 3), tmp_path)
    tab.page.set_viewport_size({"width": width, "height": 800})
    tab.page.emulate_media(color_scheme=scheme)
    tab.page.goto((tmp_path / SUMMARY_PAGE).as_uri())
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.page.evaluate("[...document.images].filter(image => image.naturalWidth === 112).length") == 21
    light = tab.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(light) > 128) == (scheme == "light")
    tab.assert_clean((tmp_path / "data_shared").as_uri())
