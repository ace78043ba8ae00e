import os
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyojeong.analysis.films import Film
from pyojeong.analysis.problems import SourceError
from pyojeong.core.errors import InputError
from tests.analysis.clips import numbered, turn, write_film, write_sound


def brightness(film: Film, after: tuple[int, float] | None = None) -> list[tuple[int, float, int]]:
    """Number, time and frame content: the number that ``numbered`` gave it."""
    return [
        (frame.number, round(frame.time_s, 3), round((float(frame.pixels.mean()) - 20) / 6))
        for frame in film.read(after)
    ]


def reason_of(path: object, **options: int) -> str:
    with pytest.raises(SourceError) as caught, Film(str(path), **options) as film:
        [*film.read()]
    return caught.value.reason


def test_every_frame_comes_with_the_container_s_time(tmp_path: Path) -> None:
    with Film(str(write_film(tmp_path / "a.mp4", numbered(12)))) as film:
        assert (film.frames, film.rate) == (12, 10)
        assert film.duration == pytest.approx(1.2, abs=0.1)
        assert brightness(film) == [(number, number / 10, number) for number in range(12)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    times = [0.0, 0.04, 0.3, 0.35, 1.0, 1.5, 1.52]
    with Film(str(write_film(tmp_path / f"a{suffix}", numbered(7), times=times))) as film:
        assert [time for _, time, _ in brightness(film)] == pytest.approx(times, abs=0.002)


def test_frames_are_thinned_out_by_number_or_by_time(tmp_path: Path) -> None:
    path = str(write_film(tmp_path / "a.mp4", numbered(20)))
    with Film(path, every=3) as film:
        assert film.frames == 7
        assert [number for number, *_ in brightness(film)] == [0, 3, 6, 9, 12, 15, 18]
    with Film(path, fps=5) as film:
        assert film.frames == 10
        assert [number for number, *_ in brightness(film)] == [*range(0, 20, 2)]
    with Film(path, fps=3) as film:
        # The first frame at or behind each third of a second.
        assert [number for number, *_ in brightness(film)] == [0, 4, 7, 10, 14, 17]
    with Film(path, fps=100) as film:
        assert len(brightness(film)) == film.frames == 20
    for options in ({"every": 0}, {"fps": 0}, {"fps": float("nan")}, {"every": 2, "fps": 5}):
        with pytest.raises(InputError, match=r"every|fps"):
            Film(path, **options)


@pytest.mark.parametrize("options", [{}, {"every": 3}, {"fps": 4.0}])
@pytest.mark.parametrize("stop", [0, 1, 4, 6])
def test_reading_goes_on_behind_a_frame_as_if_it_had_not_stopped(
    tmp_path: Path, options: dict[str, Any], stop: int
) -> None:
    path = str(write_film(tmp_path / "a.mp4", numbered(30), key_every=7))
    with Film(path, **options) as film:
        whole = [(frame.number, frame.time_s) for frame in film.read()]
    with Film(path, **options) as film:
        assert [(frame.number, frame.time_s) for frame in film.read(whole[stop])] == whole[stop + 1 :]


def test_a_turned_film_is_upright(tmp_path: Path) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, :32, 0] = 255  # the left half, which the turn brings to the top
    with Film(str(turn(write_film(tmp_path / "a.mp4", [pixels])))) as film:
        (frame,) = film.read()
    assert frame.pixels.shape == (64, 48, 3)
    assert frame.pixels[:28, :, 0].mean() > 200
    assert frame.pixels[36:, :, 0].mean() < 50


def test_a_film_in_an_archive_is_read(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4", numbered(3))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(film, "폴더/영화.mp4")
    with Film(f"{tmp_path}/b.zip!/폴더/영화.mp4") as inside:
        assert len(brightness(inside)) == 3
    assert reason_of(f"{tmp_path}/b.zip!/none.mp4") == "missing"
    assert reason_of(f"{tmp_path}/none.zip!/none.mp4") == "missing"
    (tmp_path / "c.zip").write_bytes(b"PK")
    assert reason_of(f"{tmp_path}/c.zip!/none.mp4") == "unreadable_archive"


def test_what_is_no_film_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a film " * 100)
    assert reason_of(tmp_path / "empty.mp4") == "empty"
    assert reason_of(tmp_path / "text.mp4") == "not_a_film"
    assert reason_of(tmp_path / "none.mp4") == "missing"
    assert reason_of(write_sound(tmp_path / "sound.mp4")) == "no_picture_stream"


def test_a_playlist_reaches_no_other_file(tmp_path: Path) -> None:
    write_film(tmp_path / "a.ts", numbered(3))
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    assert reason_of(tmp_path / "list.mp4") == "not_a_film"


def test_a_truncated_film_gives_its_frames_and_then_the_reason(tmp_path: Path) -> None:
    frames = [np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8) for seed in range(60)]
    whole = write_film(tmp_path / "a.mkv", frames).read_bytes()
    (tmp_path / "b.mkv").write_bytes(whole[: len(whole) // 2])
    seen: list[int] = []
    with pytest.raises(SourceError) as caught, Film(str(tmp_path / "b.mkv")) as film:
        seen.extend(frame.number for frame in film.read())
    assert caught.value.reason == "ends_early"
    assert 20 <= len(seen) <= 40
    index_at_end = write_film(tmp_path / "c.mp4", frames).read_bytes()
    (tmp_path / "d.mp4").write_bytes(index_at_end[: len(index_at_end) // 2])
    assert reason_of(tmp_path / "d.mp4") == "not_a_film"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_film_without_a_length_is_read_from_a_pipe(tmp_path: Path) -> None:
    data = write_film(tmp_path / "a.ts", numbered(30)).read_bytes()
    os.mkfifo(tmp_path / "live.ts")
    threading.Thread(target=(tmp_path / "live.ts").write_bytes, args=[data]).start()
    with Film(str(tmp_path / "live.ts")) as film:
        assert film.frames is None
        assert len([*film.read()]) == 30


def test_damaged_frames_are_left_out_and_told(tmp_path: Path) -> None:
    frames = [np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8) for seed in range(60)]
    data = bytearray(write_film(tmp_path / "a.mp4", frames, key_every=1).read_bytes())
    start = data.index(b"mdat") + len(data) // 4
    data[start : start + len(data) // 10] = bytes(len(data) // 10)
    (tmp_path / "b.mp4").write_bytes(data)
    seen: list[int] = []
    with pytest.raises(SourceError) as caught, Film(str(tmp_path / "b.mp4")) as film:
        seen.extend(frame.number for frame in film.read())
    assert caught.value.reason == "damaged_frames"
    assert 30 <= len(seen) < 60


@pytest.mark.skipif(sys.platform != "linux" or Path("/dev/video63").exists(), reason="needs Linux without a camera 63")
def test_a_camera_that_is_missing_or_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    assert reason_of("camera:63") == "no_camera"
    for error, reason in ((16, "camera_taken"), (13, "camera_denied")):

        def refuse(*_: object, error: int = error, **__: object) -> None:
            raise OSError(error, "no")

        monkeypatch.setattr(av, "open", refuse)
        assert reason_of("camera:0") == reason


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SourceError, match=r"a\.mp4: films and cameras need .*pip install 'pyojeong\[film\]'"):
        Film("a.mp4")
