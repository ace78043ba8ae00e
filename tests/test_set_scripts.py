"""The scripts that join data sets for training, average networks, and compare on every set."""

import hashlib
import importlib
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from pyojeong.classifier import Classifier
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Framing
from pyojeong.core.images import decode, read_bytes
from pyojeong.core.labels import FACEAPI
from pyojeong.core.table import write_csv
from pyojeong.export.onnx_file import export_onnx
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.model.network import MobileNetV3Small
from pyojeong.model.weights import SHIPPED
from pyojeong.training.crop_cache import POINT_COLUMNS
from tests.archives import data_set
from tests.conftest import REPOSITORY
from tests.patterns import write_crops

VOTES = [f"votes_{label}" for label in FACEAPI]


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / script), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def write_archive(path: Path, rows: list[dict[str, object]]) -> None:
    """Write an archive with a list of labels and a plain picture for each row."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/labels.csv", pl.DataFrame(rows).write_csv())
        for number, row in enumerate(rows):
            picture = io.BytesIO()
            Image.new("RGB", (48, 48), (5 * number, 100, 100)).save(picture, "PNG")
            archive.writestr(str(row["path"]), picture.getvalue())


def write_sets(folder: Path) -> None:
    """Write a small archive of every set."""
    write_archive(folder / "rafdb.zip", [face("rafdb", n, split="test" if n > 19 else "train") for n in range(24)])
    counted = dict.fromkeys(VOTES, 0) | dict.fromkeys(("votes_contempt", "votes_unknown", "votes_no_face"), 0)
    fer = [
        face("fer2013", n, split="test" if n > 45 else "train", near_test=int(n == 3), **{**counted, "votes_sad": 8})
        for n in range(50)
    ]
    fer[5]["votes_sad"] = 4
    fer[47] |= {"votes_contempt": 8}
    write_archive(folder / "fer2013.zip", fer)
    cohn = [face("ckplus48", n, person=f"S{n // 2:02}", split="train") for n in range(24)]
    cohn[7]["label_en"] = "contempt"
    write_archive(folder / "ckplus48.zip", cohn)
    shares = {f"share_{label}": 0.0 for label in FACEAPI if label != "neutral"}
    rated = [
        face("taiwan_odd", n, person=f"T{n % 4:02}", split="train", raters=50, **{**shares, "share_sad": 0.5})
        for n in range(8)
    ]
    rated[0] |= {"label_en": "neutral", "raters": None, **dict.fromkeys(shares)}
    write_archive(folder / "taiwan_odd.zip", rated)
    write_archive(folder / "jaffe.zip", [face("jaffe", n, person="KA", split="val") for n in range(2)])
    write_archive(folder / "utk_asian.zip", [{"path": f"utk_asian/{n}.png", "age": 30} for n in range(24)])


def face(name: str, number: int, **columns: object) -> dict[str, object]:
    return {"path": f"{name}/{number}.png", "label_en": "sad", **columns}


def test_sets_become_tables_without_common_people(tmp_path: Path) -> None:
    write_sets(tmp_path)
    done = run("mixture.py", tmp_path, "--project-root", tmp_path, "--hold-out", "T01")
    assert done.returncode == 0, done.stderr
    assert "jaffe: landmarks no_face: 2" in done.stdout
    parts = {name: pl.read_csv(tmp_path / f"data_raw/mixed_{name}_BASIC7.csv") for name in ("train", "val", "test")}
    counts = {name: dict(part["set"].value_counts().iter_rows()) for name, part in parts.items()}

    # Left out: a face near a test face, one with too few votes, contempt.
    assert counts["train"] == {"rafdb": 18, "fer2013": 42, "ckplus48": 19, "taiwan_odd": 6}
    assert counts["val"] == {"rafdb": 2, "fer2013": 2, "ckplus48": 4, "taiwan_odd": 2, "jaffe": 2}
    assert counts["test"] == {"rafdb": 4, "fer2013": 4}
    assert pl.concat([part.select("path") for part in parts.values()])["path"].is_unique().all()
    people = [set(parts[name]["person"].drop_nulls()) for name in ("train", "val")]
    assert people[1] >= {"T01", "KA"}
    assert people[0] & people[1] == {""}  # unknown in RAF-DB and FER2013
    rated = parts["train"].filter(pl.col("path") == "data_raw/taiwan_odd.zip!/taiwan_odd/2.png").row(0, named=True)
    assert (rated["votes_sad"], rated["votes_happy"], rated["votes_neutral"]) == ("25.0", "0.0", "")
    assert set(POINT_COLUMNS) <= set(parts["val"].columns)


def test_answers_of_a_model_become_votes_of_training_faces_alone(tmp_path: Path) -> None:
    write_sets(tmp_path)
    done = run("mixture.py", tmp_path, "--project-root", tmp_path, "--hold-out", "T01", "--answers", SHIPPED)
    assert done.returncode == 0, done.stderr
    train = pl.read_csv(tmp_path / "data_raw/mixed_train_BASIC7.csv", infer_schema=False)
    answered = train.filter(pl.col("set") == "rafdb")
    votes = answered.select(VOTES).cast(pl.Float64).to_numpy()
    assert votes.sum(1) == pytest.approx(np.full(18, 10.0), abs=0.05)
    pictures = [decode(read_bytes(tmp_path, path)) for path in answered["path"]]
    # The pictures are plain, so a picture is its own mirror image.
    assert (votes.argmax(1) == Classifier(SHIPPED).predict_patches(pictures).argmax(1)).all()
    assert set(train.filter(pl.col("set") == "ckplus48")[VOTES[0]]) == {""}
    unlabeled = train.filter(pl.col("set") == "utk_asian")
    shares = unlabeled.select(VOTES).cast(pl.Float64).to_numpy()
    assert 0 < unlabeled.height <= 24
    assert set(unlabeled["label_en"]) <= {"neutral", "happy"}
    assert [FACEAPI[number] for number in shares.argmax(1)] == unlabeled["label_en"].to_list()
    assert set(pl.read_csv(tmp_path / "data_raw/mixed_val_BASIC7.csv").filter(pl.col("set") == "rafdb")[VOTES[0]]) == {
        ""
    }


def test_validation_faces_that_were_learned_too_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    mixture = importlib.import_module("mixture")
    noise = np.random.default_rng(0)
    learned, other = noise.integers(0, 200, (2, 48, 48), dtype=np.uint8)
    pictures = {"learned": learned, "brighter": learned + 20, "mirrored": learned[:, ::-1], "other": other}
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    train = pl.DataFrame({"path": ["learned.png"], "set": ["fer2013"]})
    names = ["brighter.png", "mirrored.png", "damaged.png", "other.png", "learned.png"]
    val = pl.DataFrame({"path": names, "set": ["fer2013"] * 4 + ["rafdb"]})
    kept = mixture.without_twins(val, train, tmp_path)
    assert kept["path"].to_list() == names[1:]


def test_bad_archives_are_named(tmp_path: Path) -> None:
    write_sets(tmp_path)
    shares = {f"share_{label}": 0.5 for label in FACEAPI if label != "neutral"}
    write_archive(tmp_path / "taiwan_odd.zip", [face("taiwan_odd", 1, person="T01", raters="many", **shares)])
    done = run("mixture.py", tmp_path, "--project-root", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "taiwan_odd.zip: raters and shares must be numbers" in done.stderr
    done = run("mixture.py", tmp_path, "--project-root", tmp_path, "--answers", tmp_path / "none.onnx")
    assert (done.returncode, done.stderr.count("\n"), "none.onnx" in done.stderr) == (2, 1, True)


def test_a_missing_set_and_an_unknown_person_are_named(tmp_path: Path) -> None:
    write_sets(tmp_path)
    done = run("mixture.py", tmp_path, "--project-root", tmp_path, "--hold-out", "T01,T99")
    assert (done.returncode, "has no person T99" in done.stderr) == (2, True)
    (tmp_path / "ckplus48.zip").unlink()
    done = run("mixture.py", tmp_path, "--project-root", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "give the archive ckplus48.zip" in done.stderr
    assert not (tmp_path / "data_raw").exists()


def network(path: Path, seed: int, margin: float = 0.0) -> Checkpoint:
    torch.manual_seed(seed)
    classes = ("neutral", "happy", "sad", "angry", "fearful", "surprised")
    checkpoint = Checkpoint(
        state_dict=MobileNetV3Small(6).state_dict(),
        classes=classes,
        scheme="M1",
        recipe={},
        framing=Framing(margin),
        temperature=1.0,
    )
    checkpoint.save(path)
    return checkpoint


def test_a_soup_is_the_weighted_mean_with_its_own_temperature(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "val", 1)
    faces = pl.read_csv(csv).with_columns(
        votes_happy=pl.Series([9, 0, 0, 0, 5, 0]), votes_sad=pl.Series([0, 2, 4, 0, 5, 0])
    )
    write_csv(faces, csv)
    first, second = network(tmp_path / "a.pt", 1), network(tmp_path / "b.pt", 2)
    shared = ("--csv", csv, "--project-root", tmp_path)
    done = run("soup.py", tmp_path / "soup.pt", tmp_path / "a.pt", f"{tmp_path / 'b.pt'}:3", *shared)
    assert done.returncode == 0, done.stderr
    assert re.search(r"n 6, accuracy .*; majority of votes: n 3, accuracy (0\.\d{3}|1\.000)\n", done.stdout)
    soup = Checkpoint.load(tmp_path / "soup.pt")
    for name, value in soup.state_dict.items():
        mean = (first.state_dict[name] + 3 * second.state_dict[name]) / 4
        assert torch.allclose(value.double(), mean.double(), atol=1e-6), name
    assert soup.temperature != 1.0
    done = run("soup.py", tmp_path / "other.pt", tmp_path / "a.pt", *shared, "--calibration-set", "web")
    assert (done.returncode, "there is no set web" in done.stderr) == (2, True)
    exported = export_onnx(tmp_path / "b.pt", name="start.onnx")
    done = run("soup.py", tmp_path / "same.pt", tmp_path / "b.pt:0", f"{exported}:1", *shared)
    assert done.returncode == 0, done.stderr
    noise = torch.randn(4, 3, 160, 160)
    with torch.inference_mode():
        expected, found = (one.network()(noise) for one in (second, Checkpoint.load(tmp_path / "same.pt")))
    assert torch.allclose(expected, found, rtol=1e-3, atol=1e-4)
    network(tmp_path / "c.pt", 3, 0.1)
    done = run("soup.py", tmp_path / "other.pt", tmp_path / "a.pt", tmp_path / "c.pt", *shared)
    assert (done.returncode, "other classes or crops" in done.stderr) == (2, True)
    assert not (tmp_path / "other.pt").exists()
    split = faces.with_columns(pl.Series("set", ["web"] * 5 + ["films"]))
    write_csv(
        split.with_columns(path=pl.when(pl.col("set") == "films").then(pl.lit("gone.png")).otherwise("path")), csv
    )
    done = run("soup.py", tmp_path / "other.pt", tmp_path / "a.pt", *shared, "--calibration-set", "films")
    assert (done.returncode, "no picture of the set films can be used" in done.stderr) == (2, True)
    done = run("soup.py", tmp_path / "web.pt", tmp_path / "a.pt", *shared)
    assert (done.returncode, "films: n" in done.stdout, "1 missing" in done.stdout) == (0, False, True), done.stdout
    for word, message in (
        (
            f"{SHIPPED}:1",
            "answers neutral, happy, sad, angry, fearful, disgusted, surprised, the other networks neutral",
        ),
        (f"{tmp_path / 'b.pt'}:inf", "must be finite numbers"),
        (f"{tmp_path / 'b.pt'}:x", "neither a .pt or .onnx file"),
    ):
        done = run("soup.py", tmp_path / "other.pt", tmp_path / "a.pt", word, *shared)
        assert (done.returncode, done.stderr.count("\n"), message in done.stderr) == (2, 1, True), done.stderr


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


def test_stages_are_taken_up_or_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    make_model = importlib.import_module("make_model")
    sets = tmp_path / "sets of mine"
    sets.mkdir()
    write_sets(sets)
    stages = [
        make_model.Stage("first", "data_raw/val_BASIC7.csv", (), ["rafdb.py {folder}/rafdb.zip"]),
        make_model.Stage("second", "data_raw/mixed_val_BASIC7.csv", ["mixture.py {folder} --hold-out {nobody}"], ()),
    ]
    places, root = {"folder": str(sets), "nobody": ""}, tmp_path / "made"

    def made() -> list[str]:
        return [line.split(",")[0] for line in make_model.make(stages, root, places)]

    first, second = (f"{stage.name}: made {stage.file}" for stage in stages)
    there = [f"{stage.name}: {stage.file} is there" for stage in stages]
    assert made() == [first, second]
    assert made() == there
    (root / stages[1].file).unlink()
    assert made() == [there[0], second]
    (root / stages[0].file).unlink()
    assert made() == [first, second]
    (root / stages[1].file).write_text("changed")
    with pytest.raises(InputError, match="not the file that stage second left"):
        made()
    (sets / "rafdb.zip").unlink()
    (root / stages[0].file).unlink()
    with pytest.raises(InputError, match=r"stage first: rafdb\.py ended with exit code 2"):
        made()


def test_the_chain_consists_of_known_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    make_model = importlib.import_module("make_model")
    places = dict.fromkeys(("folder", "teachers", "imagenet", "nobody", "last_sets", *make_model.SEEDS), "7")
    for stage in make_model.STAGES:
        for line in (*stage.tables, *stage.commands):
            words = make_model.command(line, places)
            program = words[:4] if words[1] == "-m" else words[:2]
            done = subprocess.run([*program, "--help"], check=True, capture_output=True, text=True)
            options = [word for word in line.split() if word.startswith("--")]
            assert [option for option in options if option not in done.stdout] == []


def test_the_first_network_is_taken_where_it_is_the_right_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    make_model = importlib.import_module("make_model")
    root, first = tmp_path / "made", tmp_path / "first.onnx"
    first.write_bytes(b"a network")
    with pytest.raises(InputError, match="is not this project's first network"):
        make_model.with_first(make_model.STAGES, root, first)
    assert not root.exists()
    monkeypatch.setattr(make_model, "FIRST_SHA256", hashlib.sha256(b"a network").hexdigest())
    stages = make_model.with_first(make_model.STAGES, root, first)
    assert (root / stages[0].file).read_bytes() == b"a network"
    assert stages[0].commands == ()
    assert stages[1:] == list(make_model.STAGES[1:])
    (root / "rafdb.onnx").write_text("trained in three hours")
    with pytest.raises(InputError, match=r"rafdb\.onnx: is another network than --first"):
        make_model.with_first(make_model.STAGES, root, first)
    assert (root / "rafdb.onnx").read_text() == "trained in three hours"


def test_stages_of_another_seed_are_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    make_model = importlib.import_module("make_model")
    make_model.check_seeds(tmp_path / "made", dict.fromkeys(make_model.SEEDS, "1"))
    make_model.check_seeds(tmp_path / "made", make_model.SEEDS)
    (tmp_path / "made" / make_model.DONE).write_text("{}")
    make_model.check_seeds(tmp_path / "made", make_model.SEEDS)
    seeds = tmp_path / "made" / "seeds.json"
    seeds.rename(tmp_path / "kept.json")
    with pytest.raises(InputError, match="these stages have other seeds, unknown ones"):
        make_model.check_seeds(tmp_path / "made", make_model.SEEDS)
    (tmp_path / "kept.json").rename(seeds)
    with pytest.raises(InputError, match=r"these stages have other seeds, .*1337.*; give another --root"):
        make_model.check_seeds(tmp_path / "made", dict.fromkeys(make_model.SEEDS, "1338"))


def test_the_chain_asks_for_its_archives_first(tmp_path: Path) -> None:
    write_sets(tmp_path)
    (tmp_path / "utk_asian.zip").unlink()
    done = run("make_model.py", tmp_path, "--teachers", "none.tgz", "--root", tmp_path / "made")
    assert (done.returncode, done.stderr.count("\n"), "has no utk_asian.zip" in done.stderr) == (2, 1, True)
    assert not (tmp_path / "made").exists()
