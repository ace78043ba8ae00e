"""The region that a box becomes is the one that Python cuts."""

from typing import Any

import numpy as np
import pytest

from pyojeong.core import geometry
from tests.browser.pages import EMOTION_API

pytestmark = pytest.mark.browser

PRELUDE = EMOTION_API


def test_patch_region_equals_that_of_python(page: Any) -> None:
    random = np.random.default_rng(1)
    boxes = random.uniform((-500, -500, 0.01, 0.01), (4000, 4000, 3000, 3000), (3000, 4))
    # Halves and quarters are where roundings part.
    boxes[::2] = np.maximum(np.round(boxes[::2] * 4) / 4, (-500, -500, 0.25, 0.25))
    margins = random.choice([0, 0.15, 0.25, 0.5, -0.1, -0.4], len(boxes))
    offsets = random.choice([0, 0.1, -0.1, 0.25, -0.37], len(boxes))
    aspects = random.choice([1, 0.5, 0.75, 0.76, 1.3, 2, *random.uniform(*geometry.ASPECTS, 20)], len(boxes))
    regions = page.evaluate(
        """async (rows) => {
          const { boxAs, patchRegion } = await import('/web/patch.js');
          return rows.map(([x, y, width, height, margin, offset, aspect]) => {
            const given = { x, y, width, height };
            const boxes = [given, boxAs('annotator', given, 'detector'), boxAs('detector', given, 'annotator')];
            return boxes.map((box) => {
              const found = patchRegion(box, margin, offset, aspect);
              return [box.x, box.y, box.x + box.width, box.y + box.height, found.x, found.y, found.width, found.height];
            });
          });
        }""",
        np.column_stack((boxes, margins, offsets, aspects)).tolist(),
    )
    rows = zip(boxes, margins, offsets, aspects, regions, strict=True)
    for (x, y, width, height), margin, offset, aspect, found in rows:
        box = (x, y, x + width, y + height)
        expected = [box, geometry.annotator_box(box), geometry.detector_box(box)]
        assert found == [[*one, *geometry.patch_region(one, margin, offset, aspect)] for one in expected]
