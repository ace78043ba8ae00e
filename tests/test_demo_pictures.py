"""The demo page's samples are what their script draws."""

import importlib.util
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import REPOSITORY

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def script() -> Any:
    path = REPOSITORY / "scripts/demo_pictures.py"
    specification = importlib.util.spec_from_file_location("demo_pictures", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_sample_picture_is_the_drawn_one(script: Any) -> None:
    drawn = script.draw_still().astype(float)
    sample = np.asarray(Image.open(script.PICTURE)).astype(float)
    assert sample.shape == drawn.shape
    # What JPEG and the camera's noise leave; another person is 30 or more.
    assert np.abs(sample - drawn).mean() < 4


def test_an_expression_turns_into_the_next_one(script: Any) -> None:
    calm, glad = (script.expression_of(label, 1) for label in ("중립", "기쁨"))
    assert script.between(calm, glad, 0) == calm
    half = script.between(calm, glad, 0.5)
    assert half.lip_corner_pull == pytest.approx((calm.lip_corner_pull + glad.lip_corner_pull) / 2)
    end = script.between(calm, glad, 1)
    assert end.lip_corner_pull == pytest.approx(glad.lip_corner_pull)
