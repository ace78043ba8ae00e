"""The report of one run, beside the test table that it was trained with and beside another one."""

from pathlib import Path

import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.files import write_json
from pyojeong.core.labels import scheme_of
from pyojeong.report.run_report import report_run

LABELS = ("calm", "lively") * 20
TABLE = "path,label,person,gender\n" + "".join(
    f"{shot}.jpg,{label},p{shot % 10},{'여남'[shot % 2]}\n" for shot, label in enumerate(LABELS)
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    scheme = scheme_of("moods", [{"name": "calm"}, {"name": "lively"}])
    csv = {"test": str(tmp_path / "test_moods.csv")}
    write_json(folder / "config.json", {"scheme": scheme.name, "class": scheme.tables(), "csv": csv})
    rows = "".join(f"{shot}.jpg,{label},calm,0.75,0.75,0.25\n" for shot, label in enumerate(LABELS))
    (folder / "test_preds.csv").write_text(f"path,true,pred,score,p_calm,p_lively\n{rows}", encoding="utf-8")
    (tmp_path / "test_moods.csv").write_text(TABLE, encoding="utf-8")
    return folder


def test_people_and_groups_come_from_the_test_table(run: Path) -> None:
    made = report_run(run, run.parent)
    assert made.scores["n"].item() == 40
    assert made.scores["interval_over"].item() == "people"
    assert set(made.groups["group"]) == {"여", "남"}
    assert made.page.is_file()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("\n7.jpg", "\nphotos/7.jpg", "1 of its images are not in .*test_moods.csv .the first: 7.jpg.*train again"),
        ("\n0.jpg,calm", "\n0.jpg,lively", "1 of its images have another label in .*test_moods.csv"),
    ],
)
def test_a_test_table_that_was_rewritten_is_refused(run: Path, old: str, new: str, words: str) -> None:
    (run.parent / "test_moods.csv").write_text(TABLE.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        report_run(run, run.parent)
    assert not (run / "report").exists()


def test_another_folder_is_answered_with_one_of_a_run(run: Path) -> None:
    root = run.parent
    for place in (root, root / "ran", run / "test_preds.csv", run / "report"):
        with pytest.raises(InputError) as caught:
            report_run(place, root)
        assert (
            str(caught.value) == f"{place}: not the folder of a finished run; name the folder of a run, such as {run}"
        )
    (run / "config.json").unlink()
    with pytest.raises(InputError, match=r"not the folder of a finished run; train one with pyojeong train"):
        report_run(root, root)
    (run / "best.pt").touch()
    with pytest.raises(InputError, match="run: the run was stopped while its files were written; train again"):
        report_run(run, root)


def test_a_run_without_its_test_table_is_reported_without_groups(run: Path) -> None:
    (run.parent / "test_moods.csv").unlink()
    made = report_run(run, run.parent)
    assert (made.scores["n"].item(), made.groups.height) == (40, 0)


def test_a_few_unknown_people_leave_intervals_over_people(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = TABLE.replace("\n7.jpg,lively,p7", "\n7.jpg,lively,모름")
    assert table != TABLE
    (run.parent / "test_moods.csv").write_text(table, encoding="utf-8")
    made = report_run(run, run.parent)
    assert set(made.groups["interval_over"]) == {"people"}
    counts = dict(made.groups.filter(measure="accuracy", protocol="given").select("group", "n").iter_rows())
    assert counts == {"여": 20, "남": 19}
    assert "the person of 1 of 40 images is unknown; left out of the scores by group" in caplog.text


def test_a_class_may_be_called_true(run: Path) -> None:
    scheme = scheme_of("moods", [{"name": "true"}, {"name": "false"}])
    write_json(run / "config.json", {"scheme": scheme.name, "class": scheme.tables(), "csv": {"test": ""}})
    rows = "1.jpg,true,true\n2.jpg,true,false\n3.jpg,false,false\n4.jpg,false,false\n"
    (run / "test_preds.csv").write_text(f"path,true,pred\n{rows}", encoding="utf-8")
    report_run(run, run.parent)
    counts = (run / "report/cm_counts.csv").read_text(encoding="utf-8")
    assert counts == "true class,true,false\ntrue,1,1\nfalse,0,2\n"
    assert run.joinpath("report/index.html").read_text(encoding="utf-8").count(">true<") >= 2
