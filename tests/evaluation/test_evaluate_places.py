import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pyojeong.core.errors import InputError
from pyojeong.core.files import file_lock
from pyojeong.core.geometry import Box
from pyojeong.core.labels import M1
from pyojeong.evaluation.evaluate import evaluate
from pyojeong.evaluation.evaluation_csv import EvaluationTable
from pyojeong.faceapi.engines import FaceApiContender
from tests.evaluations import FACE_API, Row, write_photographs, write_table
from tests.faceapi.faces import jpeg, stored_as


@pytest.fixture
def workspace(tmp_path: Path) -> tuple[Path, list[Row]]:
    return tmp_path, write_photographs(tmp_path)


def test_a_missing_photograph_is_tried_again(workspace, caplog):
    root, rows = workspace
    table = write_table(root / "t_M1.csv", rows[:2])
    first = (root / rows[0][0]).read_bytes()
    (root / rows[1][0]).rename(root / "later.jpg")
    (summary,) = evaluate([EvaluationTable(table, M1, root / "out.csv")], FACE_API, root=root)
    assert summary.unreadable == {"missing": 1}
    assert "t_M1.csv: 1 of 2 rows left out: 1 missing" in caplog.text
    (root / "later.jpg").rename(root / rows[1][0])
    (root / rows[0][0]).unlink()  # answered already
    (summary,) = evaluate([EvaluationTable(table, M1, root / "out.csv")], FACE_API, root=root)
    assert summary.unreadable == {}
    (root / rows[0][0]).write_bytes(first)
    evaluate([EvaluationTable(table, M1, root / "whole.csv")], FACE_API, root=root)
    assert (root / "out.csv").read_bytes() == (root / "whole.csv").read_bytes()


def resaved(rows: list[Row], change: Callable[..., Box]) -> list[Row]:
    return [(path, label, change(*box)) for path, label, box in rows]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda a, b, c, d: (a, b, c - a + a / 9, d - b),
            "no box lies on a face. Read as x, y, width, height, 4 of 4 do",
        ),
        (
            lambda a, b, c, d: (a + 9000, b, c + 9000, d),
            "none of its 5 rows can be used: 5 bad_box .first data_raw/single-0",
        ),
        (lambda a, b, c, d: (c, d, a, b), "line 2: maxX is 152.001 and minX 330.886, and none of 5 boxes has an area"),
    ],
)
def test_boxes_that_fit_no_face_are_refused_and_other_tables_evaluated(workspace, change, words):
    root, rows = workspace
    good = write_table(root / "good_M1.csv", rows[:5])
    bad = write_table(root / "bad_M1.csv", resaved(rows[:5], change))
    tables = [EvaluationTable(bad, M1, root / "bad_eval.csv"), EvaluationTable(good, M1, root / "good_eval.csv")]
    with pytest.raises(InputError, match=rf"bad_M1\.csv.*{words}"):
        evaluate(tables, FACE_API, root=root)
    assert not (root / "bad_eval.csv").exists()
    assert not [*root.glob("*.jsonl")]


def test_boxes_of_the_stored_photograph_are_refused(workspace):
    root, rows = workspace
    for path, _, _ in rows[:5]:
        with Image.open(root / path) as image:
            turned = jpeg(stored_as(np.asarray(image), 6), 6)
            width = image.width
        (root / path).write_bytes(turned)
    stored = write_table(root / "t_M1.csv", resaved(rows[:5], lambda a, b, c, d: (b, width - c, d, width - a)))
    words = (
        "in photographs that EXIF turns. Read as pixels of the photograph as it is stored, before EXIF turns it, 5 of 5"
    )
    with pytest.raises(InputError, match=words.replace(".", "[.]")):
        evaluate([EvaluationTable(stored, M1, root / "out.csv")], FACE_API, root=root)
    upright = write_table(root / "t_M1.csv", rows[:5])
    evaluate([EvaluationTable(upright, M1, root / "out.csv")], FACE_API, root=root)


def test_a_table_is_evaluated_beside_one_whose_boxes_fit_no_face(workspace):
    root, rows = workspace
    good = write_table(root / "good_M1.csv", rows[:5])
    bad = write_table(root / "bad_M1.csv", resaved(rows[:5], lambda a, b, c, d: (a + 9000, b, c + 9000, d)))
    tables = [EvaluationTable(bad, M1, root / "bad_eval.csv"), EvaluationTable(good, M1, root / "good_eval.csv")]
    with pytest.raises(InputError, match="bad_box"):
        evaluate(tables, FACE_API, root=root)
    assert len(pl.read_csv(root / "good_eval.csv")) == 5


def test_boxes_beside_the_faces_are_warned_of(workspace, caplog):
    root, rows = workspace
    table = write_table(root / "t_M1.csv", resaved(rows[:5], lambda a, b, c, d: (0, 0, 40, 40)))
    (summary,) = evaluate([EvaluationTable(table, M1, root / "out.csv")], FACE_API, root=root)
    assert summary.coverage.value == 0
    assert (
        "t_M1.csv: none of the boxes lies on the face that was found (5 photographs; first data_raw/single-0.jpg"
        in caplog.text
    )


def test_an_incomplete_archive_is_tried_again(workspace):
    root, rows = workspace
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("a.jpg", (root / rows[0][0]).read_bytes())
    place = root / "data_raw/a.zip"
    place.write_bytes(whole.getvalue()[:-30])
    table = write_table(root / "t_M1.csv", [("data_raw/a.zip!/a.jpg", *rows[0][1:]), rows[0]])
    (summary,) = evaluate([EvaluationTable(table, M1, root / "out.csv")], FACE_API, root=root)
    assert summary.unreadable == {"unreadable_archive": 1}
    place.write_bytes(whole.getvalue())
    (summary,) = evaluate([EvaluationTable(table, M1, root / "out.csv")], FACE_API, root=root)
    assert summary.unreadable == {}


def test_only_boxes_without_an_answer_are_analyzed(workspace):
    root, rows = workspace
    (root / "whole").mkdir()
    tables = [write_table(root / "a_M1.csv", rows[:3]), root / "b_M1.csv"]
    # The second table has the same photographs without boxes, so each has one face that is known and one that is not.
    tables[1].write_text("path,label\n" + "".join(f"{path},happy\n" for path, *_ in rows[:3]))
    jobs = [EvaluationTable(table, M1, root / f"{table.stem}_eval.csv") for table in tables]
    whole = [EvaluationTable(job.csv, M1, root / "whole" / job.out.name) for job in jobs]
    evaluate(whole, FACE_API, root=root)
    hidden, known = ((root / rows[number][0]) for number in (2, 0))
    content = {path: path.read_bytes() for path in (hidden, known)}
    hidden.unlink()
    evaluate(jobs[:1], FACE_API, root=root)
    hidden.write_bytes(content[hidden])
    known.unlink()
    evaluate(jobs, FACE_API, root=root)
    first, second = (pl.read_csv(job.out) for job in jobs)
    assert first["error"].to_list() == [None, None, None]
    assert second["error"].to_list() == ["missing", None, None]
    known.write_bytes(content[known])
    evaluate(jobs, FACE_API, root=root)
    for job in jobs:
        assert job.out.read_bytes() == (root / "whole" / job.out.name).read_bytes()


def test_answers_are_kept_for_their_own_photographs_only(workspace, caplog):
    root, rows = workspace
    table, out = write_table(root / "t_M1.csv", rows[:3]), root / "out.csv"
    evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root)
    whole = out.read_text()
    header, *lines = whole.splitlines(keepends=True)
    out.write_text(header + "".join(reversed(lines)))
    evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root)
    assert out.read_text() == whole
    assert "out.csv: was made with other settings or from another table, or is damaged" in caplog.text
    pl.read_csv(out).drop("p_sad").write_csv(out)
    evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root)
    assert out.read_text() == whole


def test_people_are_added_to_an_evaluation_without_analyzing_again(workspace):
    root, rows = workspace
    table, out = root / "t_M1.csv", root / "out.csv"
    # More numbers than polars reads to infer a column's type.
    write_table(table, rows[:1] * 120)
    lines = table.read_text().splitlines()
    people = [*range(119), "anna"]
    table.write_text(
        "\n".join([lines[0] + ",person", *(f"{line},{who}" for line, who in zip(lines[1:], people, strict=True))])
    )
    evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root)
    whole = out.read_text()
    assert pl.read_csv(out, infer_schema=False)["person"].to_list() == [str(who) for who in people]
    pl.read_csv(out, infer_schema=False).drop("person").write_csv(out)
    (root / rows[0][0]).unlink()
    evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root)
    assert out.read_text() == whole


@pytest.mark.parametrize("damage", [lambda text: "", lambda text: text.split("\n")[0] + "\n"])
def test_a_damaged_evaluation_is_made_again(workspace, damage, caplog):
    root, rows = workspace
    table, out = write_table(root / "t_M1.csv", rows[:2]), root / "out.csv"
    evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root)
    whole = out.read_text()
    out.write_text(damage(whole))
    evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root)
    assert out.read_text() == whole
    assert "out.csv: was made with other settings or from another table, or is damaged" in caplog.text


def test_two_runs_do_not_write_the_same_evaluation(workspace):
    root, rows = workspace
    table, out = write_table(root / "t_M1.csv", rows), root / "out.csv"
    with (
        file_lock(root / "out.partial.jsonl"),
        pytest.raises(InputError, match=r"out\.partial\.jsonl: another run is using it"),
    ):
        evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root)
    assert not out.exists()
    evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root)
    assert len(pl.read_csv(out)) == len(rows)


@pytest.mark.parametrize(
    ("outs", "words"),
    [
        (["t_M1.csv", "b.csv"], "t_M1.csv: is an input table"),
        (["a.json", "b.csv"], "a.json: an evaluation must be a file whose name ends in .csv"),
        (["folder.csv", "b.csv"], "folder.csv: an evaluation must be a file"),
        (["folder.csv/../b.csv", "b.csv"], "two tables have the same evaluation CSV"),
        (["mine.csv", "b.csv"], "mine.csv: exists and is not an evaluation"),
        (["notes.csv", "b.csv"], "notes.partial.jsonl: exists and is not an evaluation"),
        (["b.csv", "sizes.csv"], "sizes.json: exists and does not hold an evaluation's settings"),
        (["b.csv", "list.csv"], "list.json: exists and does not hold an evaluation's settings"),
    ],
)
def test_an_evaluation_never_overwrites_anything_else(workspace, outs, words):
    root, rows = workspace
    (root / "folder.csv").mkdir()
    (root / "mine.csv").write_text("path,label\n")
    (root / "mine.json").write_text('{"csv": "mine.csv", "sha256": "", "scheme": "M1", "summary": {}}')
    (root / "notes.partial.jsonl").write_text("precious\n")
    (root / "sizes.json").write_text('{"csv": "mine.csv"}')
    (root / "list.json").write_text("[]")
    tables = [write_table(root / name, rows[:1]) for name in ("t_M1.csv", "u_M1.csv")]
    before = tables[0].read_bytes()
    jobs = [EvaluationTable(csv, M1, root / out) for csv, out in zip(tables, outs, strict=True)]
    with pytest.raises(InputError, match=re.escape(words)):
        evaluate(jobs, FACE_API, root=root)
    assert tables[0].read_bytes() == before
    assert not (root / "b.csv").exists()
    with pytest.raises(InputError, match="nowhere: no such folder"):
        evaluate([EvaluationTable(tables[0], M1, root / "out.csv")], FACE_API, root=root / "nowhere")
    assert not (root / "nowhere").exists()


def test_the_wrong_project_root_leaves_a_finished_evaluation_as_it_is(workspace, tmp_path_factory, caplog):
    root, rows = workspace
    plain = [row for row in rows if "!/" not in row[0]][:3]
    table, out = write_table(root / "t_M1.csv", plain), root / "out.csv"
    first = evaluate([EvaluationTable(table, M1, out)], FACE_API, root=root)
    files = {path: path.read_bytes() for path in (out, out.with_suffix(".json"))}
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert evaluate([EvaluationTable(table, M1, out)], FACE_API, root=elsewhere) == first
    assert not caplog.text, "the table is the same"
    path = plain[0][0]
    tables = [
        EvaluationTable(table, M1, out),
        EvaluationTable(write_table(root / "u_M1.csv", plain), M1, root / "u.csv"),
    ]
    for item in tables:
        with pytest.raises(InputError) as caught:
            evaluate([item], FaceApiContender(input_size=320), root=elsewhere)
        assert f"{item.csv}: none of its 3 rows can be used: 3 missing (first {path}, line 2)" in str(caught.value)
        assert f"but {root / path}; give --project-root {root}" in str(caught.value)
    assert {path: path.read_bytes() for path in files} == files
    assert not (root / "u.csv").exists()
    assert not list(root.glob("*.partial.jsonl"))
