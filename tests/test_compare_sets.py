"""The script that compares with face-api.js on every data set."""

import hashlib
import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pyojeong.classifier import Classifier
from pyojeong.core.labels import FACEAPI
from pyojeong.core.table import write_csv
from pyojeong.model.weights import SHIPPED
from tests.archives import data_set
from tests.conftest import REPOSITORY
from tests.sets import face, run, write_archive, write_sets


def test_the_picture_of_the_readme_shows_the_packages_own_model() -> None:
    with Image.open(REPOSITORY / "docs" / "images" / "rafdb.png") as picture:
        assert picture.info["model"] == hashlib.sha256(SHIPPED.read_bytes()).hexdigest(), (
            "run scripts/compare_sets.py with --picture docs/images/rafdb.png, and look at the figures of the README"
        )


@pytest.mark.slow
def test_every_set_at_hand_is_compared(tmp_path: Path) -> None:
    write_sets(tmp_path)
    (tmp_path / "jaffe.zip").unlink()
    picture = tmp_path / "rafdb.png"
    done = run("compare_sets.py", tmp_path, "--project-root", tmp_path, "--picture", picture)
    assert done.returncode == 0, done.stderr
    assert "JAFFE: left out" in done.stdout
    tables = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    rows, risks = tables[1:4], tables[5:]
    named = [(row[0], row[1], row[2]) for row in rows]
    # The majority of one of FER2013's four test faces is contempt.
    assert named == [
        ("| RAF-DB test", "given", "4"),
        ("| FER2013 test", "given", "4"),
        ("| FER+ test, majority of votes", "given", "3"),
    ]
    answers = pl.read_csv(tmp_path / "models/sets/rafdb/pyojeong_eval.csv")
    right = int((answers["gt_label"] == answers["given_pred_label"]).sum())
    assert rows[0][4].startswith(f"{100 * right / 4:.1f} (")
    error = f"{100 - 100 * right / 4:.1f} %"
    sure = answers["given_score"] >= Classifier(SHIPPED, threads=1).unsure_below
    assert (risks[0][2], risks[0][-2]) == (error, f"{25 * int(sure.sum()):.1f} %")
    assert f"RAF-DB test, box given, read right: neutral 0 of 0, happy 0 of 0, sad {right} of 4" in done.stdout
    assert np.isin(answers["given_pred_label"].to_list(), FACEAPI).all()
    assert "RAF-DB test, box given, F1: neutral -, happy -, sad " in done.stdout
    assert done.stdout.count("box given, F1") == 1
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert f"{SHIPPED.name}, SHA-256 {digest[:12]}; onnxruntime " in done.stdout.splitlines()[-1]
    with Image.open(picture) as drawn:
        assert drawn.info["model"] == digest


@pytest.fixture
def compare_sets(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    return importlib.import_module("compare_sets")


def write_evaluations(folder: Path, women: int, men: int) -> None:
    """Write both contenders' evaluations of faces of women in their thirties and of men who are 45.

    Our model calls every face happy, which all are, and finds all of them but the first man's; face-api.js finds no
    woman.
    """
    folder.mkdir(parents=True)
    for name in ("face-api.js", "pyojeong"):
        rows = []
        for number in range(women + men):
            woman = number < women
            found = not woman if name == "face-api.js" else number != women
            answer = {"image": f"{number}.jpg", "gt_label": "happy", "pred_label": "happy" if found else None}
            facts = {"gender": "F" if woman else "남", "age": 30 + number % 9 if woman else 45}
            given = {"given_pred_label": "happy", "given_score": 0.9}
            rows.append(answer | {"score": 0.9, "face_detected": int(found), "iou": float(found)} | given | facts)
        write_csv(pl.DataFrame(rows, infer_schema_length=None), folder / f"{name}_eval.csv")


def test_each_sex_and_age_of_enough_faces_has_a_row(
    tmp_path: Path, compare_sets: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    london = compare_sets.SETS[-1]
    write_evaluations(tmp_path / "models/sets/london", women=40, men=10)
    compare_sets.print_groups({london: compare_sets.compared(london, tmp_path)})
    words, rows = capsys.readouterr().out.split("|---|---|---|---|\n")
    assert "a missed face is wrong" in words
    assert rows.splitlines() == [
        f"| {london.title}: women | 40 | 0.0 (0.0-8.8) | 100.0 (91.2-100.0) |",
        f"| {london.title}: men | 10 | 100.0 | 90.0 |",
        f"| {london.title}: age 30-39 | 40 | 0.0 (0.0-8.8) | 100.0 (91.2-100.0) |",
        f"| {london.title}: age 40-49 | 10 | 100.0 | 90.0 |",
    ]
    write_evaluations(tmp_path / "few/models/sets/london", women=9, men=9)
    compare_sets.print_groups({london: compare_sets.compared(london, tmp_path / "few")})
    assert capsys.readouterr().out == ""


def test_f1_counts_false_answers(tmp_path: Path, compare_sets: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    rafdb = compare_sets.SETS[0]
    answered = [("happy", "happy"), ("happy", "happy"), ("happy", "sad"), ("sad", "sad"), ("angry", "happy")]
    rows = [
        {"image": f"{number}.jpg", "gt_label": label, "pred_label": None, "face_detected": 0, "iou": 0.0}
        | {"given_pred_label": answer}
        for number, (label, answer) in enumerate(answered)
    ]
    (tmp_path / "models/sets/rafdb").mkdir(parents=True)
    write_csv(pl.DataFrame(rows), tmp_path / "models/sets/rafdb/pyojeong_eval.csv")
    compare_sets.print_f1(rafdb, tmp_path)
    printed = capsys.readouterr().out
    assert printed.startswith("RAF-DB test, box given, F1: neutral -, happy 0.667, sad 0.667, angry 0.000, fearful -,")


def test_sex_and_age_of_london_reach_its_table(tmp_path: Path, compare_sets: ModuleType) -> None:
    data_set(tmp_path / "london_as_aihub", people=3)
    faces = compare_sets.table(compare_sets.SETS[-1], tmp_path, tmp_path)
    assert {*faces["gender"], *faces["age"]} == {"여", "30"}


def test_a_model_without_a_threshold_has_no_sure_answers(
    tmp_path: Path, compare_sets: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    write_evaluations(tmp_path / "models/sets/london", women=2, men=2)
    widths = []
    for threshold in (0.0, 0.5):
        compare_sets.print_risks([compare_sets.SETS[-1]], tmp_path, threshold)
        printed = capsys.readouterr().out
        assert ("sure from" in printed) == bool(threshold)
        widths.append({line.count("|") for line in printed.splitlines()})
    assert widths == [{8}, {10}]


def test_a_picture_that_cannot_be_drawn_is_refused_before_the_work(tmp_path: Path) -> None:
    write_archive(tmp_path / "jaffe.zip", [face("jaffe", n, person="KA", split="val") for n in range(2)])
    for name, message in (("a.jpg", "must be a PNG file"), ("none/a.png", "must be a PNG"), ("a.png", "shows RAF-DB")):
        done = run("compare_sets.py", tmp_path, "--project-root", tmp_path, "--picture", tmp_path / name)
        assert (done.returncode, done.stderr.count("\n"), message in done.stderr) == (2, 1, True), done.stderr
    assert not (tmp_path / "data_raw").exists()


def test_a_folder_without_a_set_is_named(tmp_path: Path) -> None:
    done = run("compare_sets.py", tmp_path / "empty", "--project-root", tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"error: no data set in {tmp_path / 'empty'}; name a folder that holds at least one of rafdb.zip, fer" in (
        done.stderr
    )
