"""The scripts that join data sets for training and average networks."""

import importlib
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from pyojeong.classifier import Classifier
from pyojeong.core.geometry import Framing
from pyojeong.core.images import decode, read_bytes
from pyojeong.core.labels import FACEAPI
from pyojeong.core.table import write_csv
from pyojeong.export.onnx_file import export_onnx
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.model.network import MobileNetV3Small
from pyojeong.model.weights import SHIPPED
from pyojeong.training.crop_cache import POINT_COLUMNS
from tests.conftest import REPOSITORY
from tests.patterns import write_crops
from tests.sets import VOTES, face, run, write_archive, write_sets


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
