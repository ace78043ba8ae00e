import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from pyojeong.core.geometry import MARGIN, Box, face_crop
from pyojeong.core.images import decode
from pyojeong.core.workspace import CROP_JOURNAL
from pyojeong.data import crop_files
from pyojeong.data.crop_files import (
    MIN_FACE,
    CropResult,
    CropTask,
    existing_crops,
    fit_box,
    make_crops,
    read_journal,
    task_for,
)
from tests.archives import BOX, file_name, jpeg, person, write_zip


def task(number: int, path: str = "", box: Box = BOX, margin: float = MARGIN) -> CropTask:
    name = file_name(number)
    return task_for(path or f"a.zip!/{name}", f"stamp {number}", name, person(number), box, margin)


def archive(root: Path, count: int) -> list[CropTask]:
    write_zip(root / "a.zip", {file_name(n): jpeg(color=(200, n % 200, 40)) for n in range(count)})
    return [task(number) for number in range(count)]


@pytest.mark.parametrize(
    ("box", "fitted", "reason"),
    [
        ((10, 10, 60, 60), (10, 10, 60, 60), ""),
        ((-10, 10, 60, 60), (0, 10, 60, 60), ""),
        ((50, 40, 120, 95), (50, 40, 100, 80), ""),
        ((-50, -50, 40, 40), (0, 0, 40, 40), "box_outside_image"),
        ((100, 10, 150, 60), (100, 10, 100, 60), "box_outside_image"),
        ((200, 10, 250, 60), None, "box_outside_image"),
        ((10, 10, 10 + MIN_FACE, 60), (10, 10, 10 + MIN_FACE, 60), ""),
        ((10, 10, 9.9 + MIN_FACE, 60), (10, 10, 9.9 + MIN_FACE, 60), "tiny_box"),
        ((-1e8, -1e8, 1e8, 1e8), None, "box_outside_image"),
    ],
)
def test_a_box_is_clipped_or_dropped(box: Box, fitted: tuple[float, ...] | None, reason: str) -> None:
    found, why = fit_box(box, 100, 80)
    assert why == reason
    assert fitted is None or found == fitted


def test_crops_are_made_once_and_hold_the_face(tmp_path: Path) -> None:
    tasks = archive(tmp_path, 3)
    results, made = make_crops(tmp_path, tasks, margin=MARGIN, workers=1)
    assert made == 3
    for number, result in enumerate(results):
        assert result == CropResult(tasks[number].crop, tasks[number].key, "", 96, 80, 0, *BOX, False)
        crop = decode((tmp_path / result.crop).read_bytes())
        expected = face_crop(decode(jpeg(color=(200, number, 40))), BOX)
        assert np.abs(crop.astype(int) - expected).mean() < 3
        with Image.open(tmp_path / result.crop) as image:
            assert image.size == (160, 160)
            assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    assert make_crops(tmp_path, tasks, margin=MARGIN, workers=1) == (results, 0)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}


def test_only_changed_crops_are_remade(tmp_path: Path) -> None:
    tasks = archive(tmp_path, 6)
    make_crops(tmp_path, tasks, margin=MARGIN, workers=1)
    (tmp_path / tasks[0].crop).unlink()
    changed = [*tasks[:1], task(1, box=(0, 0, 50, 50)), tasks[2]._replace(path="moved.zip!/x"), *tasks[3:], task(7)]
    results, made = make_crops(tmp_path, changed, margin=MARGIN, workers=1)
    assert made == 2, "the lost one and the one with another box; not the one that moved, and the new one is missing"
    assert [result.reason for result in results] == [""] * 6 + ["missing_image"]
    assert make_crops(tmp_path, tasks, margin=MARGIN, workers=1)[1] == 1


def test_each_defect_has_its_reason_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = jpeg((200, 160))
    write_zip(
        tmp_path / "a.zip",
        {
            file_name(0): whole[:-9],
            file_name(1): b"no image",
            file_name(2): b"",
            file_name(3): whole,
            file_name(4): whole,
        },
    )
    boxes = {3: (500.0, 500.0, 600.0, 600.0), 4: (10.0, 10.0, 15.0, 90.0)}
    tasks = [task(number, box=boxes.get(number, BOX)) for number in range(6)]
    results, _ = make_crops(tmp_path, tasks, margin=MARGIN, workers=1)
    reasons = [result.reason for result in results]
    assert reasons == ["corrupt_image", "not_an_image", "empty_image", "box_outside_image", "tiny_box", "missing_image"]
    assert set(reasons) <= set(crop_files.DROPS)
    assert existing_crops(tmp_path) == set()
    tried = Mock(side_effect=crop_files.make_crop)
    monkeypatch.setattr(crop_files, "make_crop", tried)
    assert make_crops(tmp_path, tasks, margin=MARGIN, workers=1) == (results, 0)
    assert tried.call_count == 4, "what cannot be read is tried again, what a box forbids is not"


def test_a_photograph_repaired_without_a_new_checksum_gets_its_crop(tmp_path: Path) -> None:
    tasks = archive(tmp_path, 2)
    place = tmp_path / "a.zip"
    whole = place.read_bytes()
    place.rename(tmp_path / "away.zip")
    results, _ = make_crops(tmp_path, tasks, margin=MARGIN, workers=1)
    assert {result.reason for result in results} == {"missing_image"}
    place.write_bytes(whole)
    results, made = make_crops(tmp_path, tasks, margin=MARGIN, workers=1)
    assert ({result.reason for result in results}, made) == ({""}, 2)


def test_two_processes_make_the_same_bytes(tmp_path: Path) -> None:
    for folder, workers in (("one", 1), ("two", 2)):
        tasks = archive(tmp_path / folder, 40)
        make_crops(tmp_path / folder, tasks, margin=MARGIN, workers=workers)
    contents = [
        {
            path.relative_to(tmp_path / folder): path.read_bytes()
            for path in (tmp_path / folder / "data_shared").rglob("*.*")
        }
        for folder in ("one", "two")
    ]
    assert len(contents[0]) == 41
    assert contents[0] == contents[1]


def test_a_stopped_run_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = archive(tmp_path, 50)
    real = crop_files.make_crop
    seen: list[str] = []

    def stop_later(root: Path, margin: float, task: CropTask) -> tuple[CropResult, bytes]:
        if len(seen) == 35:
            raise KeyboardInterrupt
        seen.append(task.crop)
        return real(root, margin, task)

    monkeypatch.setattr(crop_files, "make_crop", stop_later)
    with pytest.raises(KeyboardInterrupt):
        make_crops(tmp_path, tasks, margin=MARGIN, workers=1)
    monkeypatch.setattr(crop_files, "make_crop", real)
    journal = tmp_path / CROP_JOURNAL
    assert len(read_journal(journal)) == 32, "whole chunks are on record"
    with journal.open("a") as file:
        file.write('["data_shared/cropped_faces_160/00/half')
    leftover = (tmp_path / tasks[40].crop).parent / ".half.jpg.abc.part"
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.write_bytes(b"half")
    results, made = make_crops(tmp_path, tasks, margin=MARGIN, workers=1)
    assert made == 18
    assert len(existing_crops(tmp_path)) == 50
    assert not leftover.exists()

    undisturbed = tmp_path / "undisturbed"
    archive(undisturbed, 50)
    assert make_crops(undisturbed, tasks, margin=MARGIN, workers=1)[0] == results
    assert (undisturbed / CROP_JOURNAL).read_bytes() == journal.read_bytes()


def test_a_journal_in_the_order_of_the_work_is_sorted(tmp_path: Path) -> None:
    tasks = archive(tmp_path, 20)
    make_crops(tmp_path, tasks, margin=MARGIN, workers=1)
    journal = tmp_path / CROP_JOURNAL
    ordered = journal.read_bytes()
    journal.write_bytes(b"".join(reversed(ordered.splitlines(keepends=True))))
    assert make_crops(tmp_path, tasks, margin=MARGIN, workers=1)[1] == 0
    assert journal.read_bytes() == ordered


def test_crops_that_another_run_has_begun_are_remade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = archive(tmp_path, 40)
    make_crops(tmp_path, tasks, margin=MARGIN, workers=1)
    crops = {path: (tmp_path / path).read_bytes() for path in existing_crops(tmp_path)}
    real = crop_files._lines
    monkeypatch.setattr(crop_files, "_lines", lambda made: pytest.fail("killed") if len(made) == 16 else real(made))
    # Killed between the first crops and their lines in the journal.
    with pytest.raises(pytest.fail.Exception):
        make_crops(tmp_path, [task(number, box=(0, 0, 50, 50)) for number in range(40)], margin=MARGIN, workers=1)
    monkeypatch.undo()
    assert {path: (tmp_path / path).read_bytes() for path in crops} != crops
    make_crops(tmp_path, tasks, margin=MARGIN, workers=1)
    assert {path: (tmp_path / path).read_bytes() for path in crops} == crops


@pytest.mark.parametrize("line", ["", "{}", "[1]", "[1,2,3,4,5,6,7,8,9,10,11,12]", "null", "\udcff", '"text"'])
def test_a_foreign_line_in_the_journal_is_ignored(tmp_path: Path, line: str) -> None:
    good = CropResult("a.jpg", "key", "")
    path = tmp_path / "journal"
    path.write_bytes((line + "\n" + json.dumps(good) + "\n" + line).encode(errors="surrogateescape"))
    assert read_journal(path) == {"a.jpg": good}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_write_is_raised_and_finished_crops_stay(tmp_path: Path, workers: int) -> None:
    tasks = archive(tmp_path, 40)
    blocked = tmp_path / tasks[20].crop
    blocked.mkdir(parents=True)
    with pytest.raises(OSError, match=blocked.name):
        make_crops(tmp_path, tasks, margin=MARGIN, workers=workers)
    blocked.rmdir()
    left = 40 - len(read_journal(tmp_path / CROP_JOURNAL))
    assert left >= 16
    assert make_crops(tmp_path, tasks, margin=MARGIN, workers=workers)[1] == left
    assert len(existing_crops(tmp_path)) == 40


def test_crop_names_are_plain_and_depend_only_on_the_photograph() -> None:
    first, second = task(1), task(1, path="elsewhere/x.jpg", box=(1, 2, 30, 40), margin=0.3)
    assert first.crop == second.crop
    assert first.key != second.key
    assert task(1).key == first.key
    assert first.crop.isascii()
    assert " " not in first.crop
    assert len({task(number).crop for number in range(50)}) == 50


def test_the_journal_is_what_it_was_before_crops_had_an_aspect(tmp_path: Path) -> None:
    make_crops(tmp_path, archive(tmp_path, 1), margin=MARGIN, workers=1)
    (crop,) = existing_crops(tmp_path)
    line = f'["{crop}","KEY","",96,80,0,20.0,10.0,60.0,70.0,false]\n'
    assert (tmp_path / CROP_JOURNAL).read_text() == line.replace("KEY", task(0).key)
    assert [task(number).key for number in (0, 1)] == ["885aa32a576fdd326f5e5a76", "12566a0b7693fb2cd4d84d6e"]
