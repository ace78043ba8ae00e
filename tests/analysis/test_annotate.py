from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pyojeong.analysis import annotate
from pyojeong.analysis.annotate import Annotator
from pyojeong.analysis.films import Frame
from pyojeong.analysis.sources import Source
from pyojeong.analyzer import Face
from pyojeong.core.errors import InputError
from tests.analysis.clips import numbered

COLORS = {"happy": "#d99a1c", "sad": "#3f6fb0"}
FACE = Face((40.0, 50.0, 120.0, 130.0), 0.9, {}, {"happy": 0.93, "sad": 0.07}, "happy", id=2)
GRAY = np.full((200, 160, 3), 128, np.uint8)


def test_a_box_and_a_label_are_drawn_in_the_color_of_the_class(tmp_path: Path) -> None:
    image = np.asarray(Annotator(tmp_path, COLORS).drawn(GRAY, [FACE])).astype(int)
    orange = np.asarray(np.abs(image - [0xD9, 0x9A, 0x1C]).max(2) < 3)
    assert orange[130, 60:100].all(), "the lower side of the box"
    assert orange[60:120, 40].all(), "the left side"
    assert orange[50 - 10 : 48, 41].any(), "the label's ground above it"
    assert (image == GRAY)[60:120, 60:100].all(), "nothing covers the face"
    white = np.asarray(image.min(2) > 240)
    assert white[30:50].sum() > 20


def test_the_text_is_korean_or_english_and_says_when_it_is_unsure(tmp_path: Path) -> None:
    assert Annotator(tmp_path, COLORS).text(FACE) == "2 기쁨 93 %"
    assert Annotator(tmp_path, COLORS, korean=False).text(FACE) == "2 happy 93 %"
    assert Annotator(tmp_path, COLORS).text(replace(FACE, unsure=True, id=None)) == "기쁨? 93 %"


@pytest.mark.parametrize("box", [(-50.0, -20.0, 60.0, 90.0), (100.0, 0.0, 400.0, 300.0), (0.0, 190.0, 10.0, 199.0)])
def test_a_box_beyond_the_picture_and_a_picture_smaller_than_its_label_are_drawn(
    tmp_path: Path, box: tuple[float, float, float, float]
) -> None:
    annotator = Annotator(tmp_path, COLORS)
    for pixels in (GRAY, GRAY[:9, :7]):
        assert annotator.drawn(pixels, [replace(FACE, box=box)]).size == (pixels.shape[1], pixels.shape[0])


@pytest.mark.parametrize(
    ("place", "copy", "kind"),
    [
        ("a/b.jpg", "a/b.jpg", "JPEG"),
        ("x.heic", "x.heic.png", "PNG"),
        ("y.PNG", "y.PNG.png", "PNG"),
        ("z.png", "z.png", "PNG"),
    ],
)
def test_a_copy_lies_where_the_source_says(tmp_path: Path, place: str, copy: str, kind: str) -> None:
    Annotator(tmp_path / "out", COLORS).picture(Source("none", "photograph", place), GRAY, [FACE])
    with Image.open(tmp_path / "out" / copy) as image:
        assert (image.format, image.size) == (kind, (160, 200))


def test_a_picture_is_never_replaced_by_its_copy(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.jpg")
    before = (tmp_path / "a.jpg").read_bytes()
    with pytest.raises(InputError, match=r"a\.jpg: the annotated copy would replace the picture itself"):
        Annotator(tmp_path, COLORS).picture(Source(str(tmp_path / "a.jpg"), "photograph", "a.jpg"), GRAY, [FACE])
    assert (tmp_path / "a.jpg").read_bytes() == before


@pytest.mark.parametrize("codecs", [{"libx264"}, set()])
def test_a_film_keeps_its_times_and_even_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codecs: set[str]
) -> None:
    monkeypatch.setattr(av, "codecs_available", codecs)
    times = [0.0, 0.1, 0.15, 0.9]
    with Annotator(tmp_path, COLORS).film(Source("a.mov", "film", "a.mov"), 10.0) as draw:
        for number, (pixels, time) in enumerate(zip(numbered(4, (65, 49)), times, strict=True)):
            draw(Frame(number, time, pixels), [])
    with av.open(tmp_path / "a.mov.mp4") as film:
        frames = [*film.decode(video=0)]
    assert [frame.time for frame in frames] == pytest.approx(times, abs=0.001)
    assert (frames[0].width, frames[0].height) == (64, 48)
    levels = [float(frame.to_ndarray(format="rgb24").mean()) for frame in frames]
    assert levels == pytest.approx([20, 26, 32, 38], abs=3)


def test_a_film_that_breaks_off_leaves_no_copy(tmp_path: Path) -> None:
    def broken() -> None:
        with Annotator(tmp_path, COLORS).film(Source("a", "film", "a.mp4"), 10) as draw:
            draw(Frame(0, 0.0, GRAY), [])
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        broken()
    assert not [*tmp_path.iterdir()]


def test_without_the_font_the_extra_is_named_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ModuleNotFoundError("No module named 'koreanize_matplotlib'", name="koreanize_matplotlib")

    monkeypatch.setattr(annotate, "hangul_fonts", missing)
    with pytest.raises(ModuleNotFoundError):
        Annotator(tmp_path / "out", COLORS)
    assert not (tmp_path / "out").exists()
