import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import av
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pyojeong.analysis import parts, reading
from pyojeong.analysis.films import Film, Frame
from pyojeong.analysis.reading import PictureFaces
from pyojeong.analysis.run import StoppedError, analyze, watch
from pyojeong.analysis.table import FaceTable
from pyojeong.analyzer import Analyzer
from pyojeong.core.errors import InputError
from pyojeong.core.images import pixels_of
from tests.analysis.clips import face, write_film

pytestmark = pytest.mark.heavy


def test_a_folder_and_a_film_become_one_table(holiday: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "faces.parquet"
    table = analyze(holiday, out, model=model)
    rows = table.to_polars()

    names = [Path(source).name for source in rows["source"].unique(maintain_order=True)]
    assert names == ["1.png", "2.jpg", "damaged.jpg", "film.mp4", "nobody.png"]
    assert rows.filter(pl.col("source").str.ends_with("nobody.png")).select("width", "id", "reason").rows() == [
        (60, None, None)
    ]
    assert table.problems.rows() == [(str(holiday / "damaged.jpg"), "not_an_image")]
    (one,) = Analyzer(model).analyze(holiday / "1.png")
    first = rows.row(0, named=True)
    assert (first["minX"], first["minY"], first["maxX"], first["maxY"]) == one.box
    assert first["score"] == pytest.approx(one.score, abs=1e-6)
    assert [first[f"p_{name}"] for name in table.classes] == pytest.approx([*one.emotions.values()], rel=1e-5)
    assert (first["label"], first["id"], first["frame"], first["time_s"]) == (one.label, 1, None, None)
    film = rows.filter(pl.col("frame").is_not_null())
    assert film["frame"].to_list() == [*range(12)]
    assert film["time_s"].to_list() == pytest.approx([number / 10 for number in range(12)])
    assert film["id"].unique().to_list() == [1], "the second face appears where the first was"
    assert_frame_equal(FaceTable.read(out).to_polars(), rows)
    assert [path.name for path in out.parent.iterdir()] == ["faces.parquet"], "no parts are left"


def test_several_processes_and_every_kind_of_file_give_the_same_rows(
    holiday: Path, model: Path, tmp_path: Path
) -> None:
    expected = analyze(holiday, model=model).to_polars()
    for name, workers in (("a.parquet", 2), ("b.csv", 1), ("c.jsonl", 1)):
        analyze([holiday], tmp_path / name, model=model, workers=workers)
        assert_frame_equal(FaceTable.read(tmp_path / name).to_polars(), expected, abs_tol=1e-5)


def test_pictures_are_watched_one_by_one(holiday: Path, model: Path) -> None:
    seen = [*watch([holiday / "1.png", holiday / "film.mp4", "none.png"], model=model, fps=5)]
    assert [(Path(one.source).name, one.frame, len(one.faces), one.reason) for one in seen] == [
        ("1.png", None, 1, ""),
        *(("film.mp4", frame, 1, "") for frame in range(0, 12, 2)),
        ("none.png", None, 0, "missing"),
    ]
    assert seen[1].faces[0].id == 1
    assert seen[1].to_dict()["faces"][0]["id"] == 1
    assert seen[-1].to_dict() == {"source": "none.png", "reason": "missing", "message": "no such file"}


def test_a_film_s_faces_are_smoothed_and_raw_where_asked(holiday: Path, model: Path) -> None:
    film = str(holiday / "film.mp4")
    with Film(film) as frames:
        raw = [[*Analyzer(model).analyze(frame.pixels)[0].emotions.values()] for frame in frames.read()]
    whole = analyze(film, model=model, half_life=0).to_polars()
    smooth = analyze(film, model=model, half_life=0.1).to_polars()
    for number in range(12):
        ours = [whole[f"p_{name}"][number] for name in ("red", "green", "blue")]
        assert ours == pytest.approx(raw[number], rel=1e-5)
    # The face changes at frame 6, whose weight is one half.
    assert smooth["p_red"][6] == pytest.approx((smooth["p_red"][5] + whole["p_red"][6]) / 2, rel=1e-5)


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] = KeyboardInterrupt) -> None:
    """Let the parts be written at once, and stop the run after so many results."""
    kept = parts.Parts.add
    done = [0]

    def add(self: parts.Parts, result: PictureFaces, position: reading.Position | None) -> None:
        if done[0] == count:
            raise error
        done[0] += 1
        kept(self, result, position)

    monkeypatch.setattr(parts, "FLUSH_EVERY", 0)
    monkeypatch.setattr(parts.Parts, "add", add)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 8, 14, 15])
def test_a_stopped_run_goes_on_where_it_stopped(
    count: int, holiday: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = analyze(holiday, model=model).to_polars()
    out = tmp_path / "faces.csv"
    with monkeypatch.context() as patched:
        stop_after(count, patched)
        with pytest.raises(StoppedError, match=r"faces\.csv: stopped; the same command goes on from here"):
            analyze(holiday, out, model=model)
    assert not out.exists()
    read = Mock(side_effect=reading._picture)
    monkeypatch.setattr(reading, "_picture", read)
    assert_frame_equal(analyze(holiday, out, model=model).to_polars(), expected)
    # 1.png, 2.jpg, damaged.jpg, twelve frames, nobody.png
    assert read.call_count == 4 - min(count, 3) - max(0, count - 15)
    assert [path.name for path in tmp_path.glob("faces*")] == ["faces.csv"]


def test_a_killed_process_loses_seconds_only(model: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", [face(6)] * 400, rate=25)
    out = tmp_path / "faces.jsonl"
    script = (
        "import sys; from pyojeong.analysis import parts; parts.FLUSH_EVERY = 0.05\n"
        "from pyojeong.analysis.run import analyze\n"
        "if __name__ == '__main__': analyze(*sys.argv[1:3], model=sys.argv[3])\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, film, out, model])
    folder = tmp_path / "faces.jsonl.parts"
    while len([*folder.glob("*.parquet")]) < 3:
        assert child.poll() is None
        time.sleep(0.01)
    os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    child.wait()
    kept = pl.concat(pl.read_parquet(file) for file in sorted(folder.glob("*.parquet"))).height
    assert 0 < kept < 400
    rows = analyze(str(film), str(out), model=str(model)).to_polars()
    assert_frame_equal(rows, analyze(film, model=model).to_polars())
    assert rows["frame"].to_list() == [*range(400)]


def test_an_annotated_film_starts_again_and_its_rows_come_once(
    holiday: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, copies = tmp_path / "faces.parquet", tmp_path / "copies"
    with monkeypatch.context() as patched:
        stop_after(8, patched)
        with pytest.raises(StoppedError):
            analyze(holiday, out, annotate=copies, model=model)
    assert sorted(path.name for path in (copies / "holiday").iterdir()) == ["1.png", "2.jpg"]
    rows = analyze(holiday, out, annotate=copies, model=model).to_polars()
    assert_frame_equal(rows, analyze(holiday, model=model).to_polars())
    assert "film.mp4" in [path.name for path in (copies / "holiday").iterdir()]


def test_unfinished_work_of_another_call_is_kept_and_named(
    holiday: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "faces.parquet"
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        with pytest.raises(StoppedError):
            analyze(holiday, out, model=model)
    for other in ({"min_face": 0.1}, {"half_life": 1.0}, {"append": True}):
        with pytest.raises(InputError, match=r"faces\.parquet\.parts: holds unfinished work of another call"):
            analyze(holiday, out, model=model, **other)
    assert len(analyze(holiday, out, model=model)) == 16


def test_new_sources_are_appended_and_known_ones_left_alone(holiday: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.csv"
    old = analyze(holiday / "1.png", out, model=model).to_polars()
    both = analyze([holiday / "1.png", holiday / "2.jpg"], out, model=model, append=True).to_polars()
    assert_frame_equal(both[:1], old)
    assert [Path(source).name for source in both["source"]] == ["1.png", "2.jpg"]
    assert len(analyze(holiday / "2.jpg", out, model=model)) == 1, "otherwise the table is replaced"
    with pytest.raises(InputError, match=r"faces\.csv: has the classes red, green, blue, not the model's"):
        analyze(holiday, out, append=True)


def test_a_run_killed_after_it_wrote_the_table_adds_its_rows_once(
    holiday: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "faces.csv"
    analyze(holiday / "1.png", out, model=model)
    with monkeypatch.context() as patched:
        patched.setattr(parts, "rmtree", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            analyze(holiday / "2.jpg", out, model=model, append=True)
    assert len(FaceTable.read(out)) == 2
    again = analyze(holiday / "2.jpg", out, model=model, append=True).to_polars()
    assert [Path(source).name for source in again["source"]] == ["1.png", "2.jpg"]


class Camera:
    """Stands in for a film of a camera that never ends."""

    frames, rate, live = None, 30.0, True

    def __init__(self, path: str, **_: object) -> None:
        self.path = path

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, _: object = None) -> Iterator[Frame]:
        number = 0
        while True:
            yield Frame(number, number / 30, face(6))
            number += 1


def test_ctrl_c_ends_a_camera_and_its_rows_are_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "Film", Camera)
    stop_after(4, monkeypatch)
    out = tmp_path / "faces.parquet"
    rows = analyze("camera:0", out, annotate=tmp_path / "copies", model=model).to_polars()
    assert len(rows) == 4
    with av.open(tmp_path / "copies" / "camera_0.mp4") as copy:
        assert len([*copy.decode(video=0)]) >= 4
    assert rows["source"].unique().to_list() == ["camera:0"]
    assert_frame_equal(FaceTable.read(out).to_polars(), rows)


def test_a_film_that_breaks_off_keeps_its_rows_its_copy_and_has_a_reason(model: Path, tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mkv", [face(6), face(3)] * 20).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    sources: list[str | Path] = [tmp_path / "cut.mkv", "none.png"]
    out = tmp_path / "out"
    table = analyze(sources, tmp_path / "a.csv", annotate=out, model=model)
    assert_frame_equal(analyze(sources, model=model, workers=3).to_polars(), table.to_polars(), abs_tol=1e-5)
    assert table.problems.rows() == [(str(tmp_path / "cut.mkv"), "ends_early"), ("none.png", "missing")]
    assert 8 < len(table) - 2 < 32
    with av.open(tmp_path / "out" / "cut.mkv.mp4") as copy:
        assert len([*copy.decode(video=0)]) == len(table) - 2


def test_a_table_stays_where_no_source_is_found(
    holiday: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "faces.csv"
    table = analyze(holiday / "2.jpg", out, model=model)
    whole = out.read_bytes()
    monkeypatch.chdir(tmp_path)
    message = f"no source can be read; the first is {tmp_path / 'none'}: no such file. Check the sources"
    with pytest.raises(InputError, match=re.escape(message)):
        analyze(["none", "*.png"], out, model=model)
    assert (out.read_bytes(), [*tmp_path.glob("*.parts")]) == (whole, [])
    assert len(analyze(["none"], out, model=model, append=True)) == len(table) + 1
    assert len(analyze(["none"], tmp_path / "new.csv", model=model)) == 1


def test_a_place_that_cannot_be_written_is_told_before_the_work(holiday: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        analyze(holiday, tmp_path / "file" / "faces.csv", model=model)
    with pytest.raises(InputError, match=r"faces\.xlsx: a table ends in \.parquet, \.csv, \.jsonl"):
        analyze(holiday, tmp_path / "faces.xlsx", model=model)
    assert not [*tmp_path.glob("faces*")]


def test_a_picture_is_read_as_the_analyzer_reads_it(holiday: Path, model: Path) -> None:
    (result,) = watch(holiday / "2.jpg", model=model)
    assert (result.height, result.width) == pixels_of(holiday / "2.jpg").shape[:2]
