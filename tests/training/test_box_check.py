"""Tables of drawn photographs whose boxes lie on the faces, beside them, or on them when read in another way."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Box, Framing
from pyojeong.core.labels import M1
from pyojeong.training.box_check import check_boxes, look_if_installed
from pyojeong.training.crop_cache import open_crops, read_crop_table
from tests.faceapi.faces import jpeg, portrait, stored_as

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
    mixed[:2] = 0, 0, 30, 30  # no more than half
    check_boxes(Path("t.csv"), PATHS, mixed, root)
    check_boxes(Path("t.csv"), ["none.png"] * 4, boxes(), root)
    assert not caplog.text


def test_boxes_beside_the_faces_are_warned_of(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "t.csv").write_text("path,label\n" + "".join(f"{path},happy\n" for path in PATHS))
    check_boxes(root / "t.csv", PATHS, boxes(lambda *_: (0, 0, 30, 30)), root)
    assert "none of the boxes lies on the face that was found (4 photographs; first 0.png, line 2" in caplog.text
    three = boxes()
    three[1:] = 0, 0, 30, 30
    check_boxes(root / "t.csv", PATHS, three, root)
    assert "3 of the boxes do not lie on the face that was found (4 photographs; first 1.png, line 3" in caplog.text


def test_without_the_detector_nothing_is_looked_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(look_if_installed(PATHS, boxes(), root)) == 4

    def missing() -> Path:
        raise InputError("run `npm ci`")

    monkeypatch.setattr("pyojeong.training.box_check.graph_path", missing)
    assert look_if_installed(PATHS, boxes(), root) == []


def test_boxes_of_the_stored_photograph_are_refused(root: Path, tmp_path: Path) -> None:
    stored = []
    for number, path in enumerate(PATHS[:2]):
        pixels, (left, top, right, bottom) = portrait(number)
        (tmp_path / path).write_bytes((root / path).read_bytes())
        # Far from the middle, where a turned box cannot lie on the face by chance.
        high = np.vstack([np.full((640, 480, 3), 128, np.uint8), pixels])
        (tmp_path / f"turned {path}").write_bytes(jpeg(stored_as(high, 6), 6))
        stored.append((top + 640, 480 - right, bottom + 640, 480 - left))
    paths = [*PATHS[:2], *(f"turned {path}" for path in PATHS[:2])]
    (tmp_path / "t.csv").write_text("path,label\n" + "".join(f"{path},happy\n" for path in paths))
    with pytest.raises(
        InputError, match=r"t\.csv, line 4: no box lies on a face in photographs that EXIF turns. Read"
    ) as e:
        check_boxes(tmp_path / "t.csv", paths, np.array([*boxes()[:2], *stored]), tmp_path)
    assert "as it is stored, before EXIF turns it, 2 of 2 do; turn the boxes as EXIF turns their" in str(e.value)


def test_photographs_that_were_shrunk_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    large = np.array([portrait(number)[1] for number in range(6)], np.float64)
    paths = [f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        Image.fromarray(portrait(number)[0]).resize((432, 576)).save(tmp_path / path)
    (tmp_path / "t.csv").write_text("path,label\n" + "".join(f"{path},happy\n" for path in paths))
    check_boxes(tmp_path / "t.csv", paths, large * 0.9, tmp_path)
    assert not caplog.text
    check_boxes(tmp_path / "t.csv", paths, large, tmp_path)
    assert "t.csv: the boxes fit the faces better when they are read as pixels of photographs 1.1" in caplog.text


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
