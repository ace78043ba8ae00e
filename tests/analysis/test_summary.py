from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pyojeong.analysis.reading import PictureFaces
from pyojeong.analysis.summary import draw
from pyojeong.core.errors import InputError
from tests.analysis.test_table import seen, table

pytestmark = pytest.mark.heavy


def film(*moments: tuple[float, dict[int, float]], source: str = "film.mp4") -> list[PictureFaces]:
    """Frames at times in seconds; id -> probability of happy."""
    return [
        PictureFaces(source, frame, time, 64, 48, [seen(number, happy) for number, happy in faces.items()])
        for frame, (time, faces) in enumerate(moments)
    ]


def test_time_is_shared_among_the_emotions_of_each_face() -> None:
    # Frames are shown for 1, 3, 2 and (the median) 2 seconds.
    frames = film((0.0, {1: 0.9}), (1.0, {1: 0.2, 2: 0.9}), (4.0, {}), (6.0, {1: 0.9}))
    first, second = table(*frames).summary().table.rows(named=True)
    assert (first["source"], first["id"], first["pictures"], first["first_s"], first["last_s"]) == (
        *("film.mp4", 1, 3),
        *(0.0, 6.0),
    )
    assert first["seconds"] == 1 + 3 + 2
    assert (first["share_happy"], first["share_sad"]) == (0.5, 0.5)
    assert (second["id"], second["seconds"], second["share_happy"], second["share_sad"]) == (2, 3.0, 1.0, 0.0)


def test_photographs_are_summed_up_in_one_row() -> None:
    pictures = [
        PictureFaces(f"{n}.jpg", width=9, height=9, faces=[seen(1, happy)])
        for n, happy in enumerate((0.9, 0.8, 0.5, 0.1))
    ]
    (row,) = table(*pictures, PictureFaces("x.jpg", reason="corrupt")).summary().table.rows(named=True)
    assert (row["source"], row["id"], row["pictures"], row["seconds"]) == ("photographs", None, 4, None)
    assert (row["share_happy"], row["share_sad"], row["share_unsure"]) == (0.75, 0.25, 0.25)


def test_a_single_frame_and_an_empty_table_can_be_summed_up() -> None:
    (row,) = table(*film((0.0, {1: 0.9}))).summary().table.rows(named=True)
    assert (row["seconds"], row["share_happy"]) == (0.0, 1.0)
    assert table().summary().table.is_empty()
    assert table(PictureFaces("a.jpg", width=9, height=9)).summary().table.is_empty()


def test_the_plot_shows_each_face_over_its_time_in_hangul(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    moments = [(n / 10, {1: 0.9, 2: 0.3} if n < 40 else {1: 0.2} if n > 80 else {}) for n in range(120)]
    summary = table(*film(*moments), *film((0.0, {1: 0.5}), source="다른 영화.mp4")).summary()
    figure = draw(summary)
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        "film.mp4, face 1 얼굴",
        "film.mp4, face 2 얼굴",
        "다른 영화.mp4, face 1 얼굴",
    ]
    assert len(figure.axes[0].collections) == 2 * 2, "two stretches of two classes"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["기쁨 happy", "슬픔 sad"]
    summary.plot(tmp_path / "plot.png")
    assert Image.open(tmp_path / "plot.png").size[0] == 1300
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_a_long_film_is_averaged() -> None:
    summary = table(*film(*((n / 25, {1: 0.25 + 0.5 * (n % 2)}) for n in range(20_000)))).summary()
    (panel,) = draw(summary).axes
    outline = np.asarray(panel.collections[0].get_paths()[0].vertices, float)
    assert len(outline) < 2000
    middle = outline[(outline[:, 0] > 10) & (outline[:, 0] < 700) & (outline[:, 1] > 0)][:, 1]
    assert middle == pytest.approx(0.5, abs=0.02)


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no face of a film"):
        table(PictureFaces("a.jpg", width=9, height=9, faces=[seen(1)])).summary().plot(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.pdf: the plot is a PNG"):
        table(*film((0.0, {1: 0.9}))).summary().plot(tmp_path / "a.pdf")
    assert not [*tmp_path.iterdir()]


def test_frames_without_a_face_count_as_time_of_nobody() -> None:
    frames = film((0.0, {1: 0.9}), (1.0, {}), (2.0, {}), (3.0, {1: 0.9}))
    (row,) = table(*frames).summary().table.rows(named=True)
    assert row["seconds"] == 2.0
    assert pl.Series([row["first_s"], row["last_s"]]).to_list() == [0.0, 3.0]
