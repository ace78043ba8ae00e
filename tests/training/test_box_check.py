"""Tables of drawn photographs whose boxes lie on the faces, beside them, or on them when read in another way."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Box, Framing
from pyojeong.core.labels import M1
from pyojeong.training.box_check import check_boxes, prepared_problem
from pyojeong.training.crop_cache import open_crops, read_crop_table
from tests.faceapi.faces import portrait

PATHS = [f"{number}.png" for number in range(4)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    for number, path in enumerate(PATHS):
        Image.fromarray(portrait(number)[0]).save(folder / path)
    return folder


def boxes(change: Callable[..., Box] = lambda *box: box) -> np.ndarray:
    return np.array([change(*portrait(number)[1]) for number in range(len(PATHS))], np.float64)


def test_boxes_on_faces_pass(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    check_boxes(Path("t.csv"), PATHS, boxes(), root)
    mixed = boxes()
    mixed[:2] = 0, 0, 30, 30
    check_boxes(Path("t.csv"), PATHS, mixed, root)
    check_boxes(Path("t.csv"), ["none.png"] * 4, boxes(), root)
    assert not caplog.text


def test_boxes_beside_the_faces_are_warned_of(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "t.csv").write_text("path,label\n" + "".join(f"{path},happy\n" for path in PATHS))
    check_boxes(root / "t.csv", PATHS, boxes(lambda *_: (0, 0, 30, 30)), root)
    assert "none of the boxes lies on the face that was found (4 photographs; first 0.png, line 2" in caplog.text


def test_prepared_boxes_are_looked_at(root: Path) -> None:
    def written(change: Callable[..., Box]) -> Path:
        rows = [f"{path},{','.join(map(str, box))}" for path, box in zip(PATHS, boxes(change).tolist(), strict=True)]
        (root / "splits.csv").write_text("\n".join(["path,minX,minY,maxX,maxY", *rows]))
        return root / "splits.csv"

    assert prepared_problem(written(lambda *box: box), root) is None
    problem = prepared_problem(written(lambda a, b, c, d: (a, b, c - a, d - b)), root)
    assert problem is not None
    assert "no box lies on the face that was found (4 photographs, first 0.png); read as x, y, width, height" in problem


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, b, c, d: (0, 0, 30, 30), None),
        (
            lambda a, b, c, d: (a / 2, b / 2, c / 2, d / 2),
            "Read as pixels of photographs 0.* times as large, 4 of 4 do",
        ),
        (lambda a, b, c, d: (c, d, a, b), "line 2: maxX is .*none of 4 boxes has an area"),
        (
            lambda a, b, c, d: (a + 9000, b, c + 9000, d),
            "none of its 4 rows can be used: 4 bad_box .first 0.png, line 2",
        ),
    ],
)
def test_training_refuses_boxes_that_fit_no_face(
    root: Path, tmp_path: Path, change: Callable[..., Box], words: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    csv = tmp_path / "t.csv"
    lines = (",".join([path, "happy", *map(str, box)]) for path, box in zip(PATHS, boxes(change), strict=True))
    csv.write_text("path,label,minX,minY,maxX,maxY\n" + "\n".join(lines) + "\n")

    def crops() -> int:
        return len(open_crops(read_crop_table(csv, scheme=M1, root=root, framing=Framing()), root))

    if words is None:
        assert crops() == 4
        assert "t.csv: none of the boxes lies on the face that was found" in caplog.text
    else:
        with pytest.raises(InputError, match=rf"t\.csv.*{words}"):
            crops()
