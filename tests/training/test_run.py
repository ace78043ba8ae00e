import csv
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from pyojeong.core.errors import InputError
from pyojeong.core.files import write_json
from pyojeong.core.geometry import Framing, resize
from pyojeong.core.labels import BASIC7, K7, M1
from pyojeong.core.table import write_csv
from pyojeong.core.workspace import CROP_CACHE
from pyojeong.evaluation.predictions import read_predictions
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.model.network import MobileNetV3Small, normalize
from pyojeong.training import loop
from tests.patterns import write_crops
from tests.trainings import FILES, contents, run, small_tables


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small_tables(tmp_path)


def test_a_run_leaves_everything_behind(root: Path) -> None:
    returned = run(root)
    out = root / "run"
    metrics = json.loads((out / "test_metrics.json").read_text())
    config = json.loads((out / "config.json").read_text())
    checkpoint = Checkpoint.load(out / "best.pt")
    history = [*csv.DictReader((out / "history.csv").open())]

    assert {path.name for path in out.iterdir()} == FILES
    assert asdict(returned) == metrics
    assert (metrics["n"], metrics["scheme"], metrics["dropped"]) == (12, "M1", {"train": {}, "val": {}, "test": {}})
    assert metrics["temperature"] == checkpoint.temperature > 0
    assert (checkpoint.classes, checkpoint.scheme) == (M1.classes, "M1")
    assert checkpoint.framing == Framing(0.15, 0, 1, "annotator")
    assert config["recipe"] == checkpoint.recipe
    assert (config["recipe"]["epochs"], config["recipe"]["lr_head"], config["recipe"]["seed"]) == (2, 5e-4, 1337)
    best = max(history, key=lambda epoch: float(epoch["val_macro_f1"]))
    assert metrics["epoch"] == int(best["epoch"])
    val = json.loads((out / "val_metrics_best.json").read_text())
    assert val["macro_f1"] == float(best["val_macro_f1"])


def test_the_checkpoint_gives_the_predictions(root: Path) -> None:
    metrics = run(root)
    checkpoint = Checkpoint.load(root / "run/best.pt")
    frame = read_predictions(root / "run/test_preds.csv", M1)
    patches = np.stack([resize(np.asarray(Image.open(root / path))) for path in frame["path"]])
    with torch.inference_mode():
        logits = checkpoint.network()(normalize(torch.from_numpy(patches).permute(0, 3, 1, 2) / 255))
    expected = (logits / checkpoint.temperature).softmax(1).numpy()

    assert np.abs(frame.select([f"p_{name}" for name in M1.classes]).to_numpy() - expected).max() < 2e-6
    assert frame["pred"].to_list() == [M1.classes[index] for index in expected.argmax(1)]
    assert (frame["pred"] == frame["true"]).mean() == pytest.approx(metrics.accuracy)
    assert metrics.loss == pytest.approx(-np.log(expected[np.arange(12), np.arange(12) % 6]).mean(), rel=1e-4)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(root: Path) -> None:
    for out, seed in (("one", 1), ("two", 1), ("three", 2)):
        run(root, out, seed=seed)

    assert contents(root / "one") == contents(root / "two")
    assert contents(root / "one") != contents(root / "three")


def test_gradients_are_clipped_to_the_norm_asked_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    step = torch.optim.AdamW.step

    def remember(optimizer: torch.optim.AdamW, *arguments: Any, **options: Any) -> Any:
        gradients = [
            value.grad for group in optimizer.param_groups for value in group["params"] if value.grad is not None
        ]
        norms.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))
        return step(optimizer, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", remember)
    for clip in (0.0, 0.01):
        run(root, f"{clip}", epochs=1, clip=clip)
    free, clipped = norms[: len(norms) // 2], norms[len(norms) // 2 :]

    assert min(free) > 0.05
    assert clipped == pytest.approx([0.01] * len(clipped), rel=1e-3)


def test_each_data_set_has_its_own_share_of_votes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = pl.Series("set", ["web", "acted"] * 6)
    rows = pl.read_csv(root / "train.csv").with_columns(sets, votes_angry=pl.when(sets == "acted").then(4))
    write_csv(rows, root / "train.csv")
    with pytest.raises(
        InputError, match=r"set_votes names the data set web, but in .*train.csv its rows have no votes"
    ):
        run(root, epochs=1, set_votes="web:0.5")
    for option in ("set_votes", "set_weights"):
        unknown: dict[str, Any] = {option: "films:1"}
        with pytest.raises(InputError, match=f"{option} names the data set films; the training table has acted, web"):
            run(root, epochs=1, balance=0.5, **unknown)
    assert not (root / CROP_CACHE).exists(), "crops were decoded first"
    write_csv(rows.with_columns(votes_angry=pl.lit(4)), root / "train.csv")
    lessons = []

    def learn(*arguments: Any) -> Any:
        lessons.append(arguments[4].targets)
        return loop.learn(*arguments)

    monkeypatch.setattr("pyojeong.training.run.learn", learn)
    run(root, epochs=1, votes=0.5, set_votes="acted:1")
    labels, votes = (
        np.eye(6)[[M1.classes.index(name) for name in rows["label_en"]]],
        np.eye(6)[M1.classes.index("angry")],
    )

    assert np.array_equal(lessons[0][1::2], np.tile(votes, (6, 1)))
    assert np.array_equal(lessons[0][::2], (labels[::2] + votes) / 2)


def test_a_probe_equals_the_plain_way(root: Path) -> None:
    still: dict[str, Any] = dict.fromkeys(("flip", "rotate", "scale", "shift", "color", "gray", "erase"), 0.0)
    run(root, "probe", "probe", epochs=3, lr_head=1e-3)
    run(root, "plain", epochs=3, lr_head=1e-3, head_until=1.0, top_until=1.0, **still)
    probe, plain = ([*csv.DictReader((root / out / "history.csv").open())] for out in ("probe", "plain"))

    assert {epoch["stage"] for epoch in plain} == {"head"}
    for one, other in zip(probe, plain, strict=True):
        for name in ("train_loss", "val_loss"):
            assert float(one[name]) == pytest.approx(float(other[name]), abs=1e-4)
    first, second = (Checkpoint.load(root / out / "best.pt").state_dict for out in ("probe", "plain"))
    # A third of one of Adam's steps: it enlarges the rounding of tiny gradients, more on some processors.
    assert all(torch.allclose(first[name], second[name], atol=3e-4) for name in first)


def test_a_probe_leaves_the_backbone_as_it_was(root: Path) -> None:
    torch.manual_seed(0)
    state = MobileNetV3Small(6).state_dict()
    torch.save(state, root / "start.pth")
    run(root, mode="probe", weights=root / "start.pth")
    trained = Checkpoint.load(root / "run/best.pt").state_dict

    assert all(torch.equal(trained[name], state[name]) for name in state if name.startswith("features."))
    assert not torch.equal(trained["classifier.0.weight"], state["classifier.0.weight"])


@pytest.mark.slow
def test_it_learns(root: Path) -> None:
    for name, per_class in (("train", 20), ("val", 5), ("test", 10)):
        write_crops(root, name, per_class)
    still: dict[str, Any] = dict.fromkeys(("flip", "rotate", "shift"), 0.0)
    metrics = run(root, epochs=14, batch=16, lr_head=3e-3, lr_backbone=3e-3, head_until=0.0, top_until=0.0, **still)

    assert metrics.macro_f1 > 0.8


def test_dropped_crops_are_counted(root: Path) -> None:
    (root / "crops/train/005.png").unlink()
    (root / "crops/test/001.png").write_bytes(b"no image")
    metrics = run(root)
    val = json.loads((root / "run/val_metrics_best.json").read_text())

    assert metrics.n == 11
    assert metrics.dropped == {"train": {"missing": 1}, "val": {}, "test": {"not_an_image": 1}}
    assert val["dropped"] == metrics.dropped
    assert "crops/test/001.png" not in (root / "run/test_preds.csv").read_text()


def test_a_model_of_drawn_faces_says_so(root: Path) -> None:
    write_json(root / "data_shared/summary.json", {"synthetic": True})
    shutil.copy(root / "train.csv", root / "data_shared/train.csv")
    run(root, "own data", epochs=1)
    run(root, "sample", epochs=1, train_csv=root / "data_shared/train.csv")
    assert not Checkpoint.load(root / "own data/best.pt").synthetic
    assert Checkpoint.load(root / "sample/best.pt").synthetic


def test_korean_classes_stand_in_the_predictions(root: Path) -> None:
    for name in ("train", "val", "test"):
        write_crops(root, name, 2, scheme=K7)
    run(root, scheme=K7, epochs=1)
    header = (root / "run/test_preds.csv").read_text(encoding="utf-8").splitlines()[0]

    assert header == "path,true,pred,score," + ",".join(f"p_{name}" for name in K7.classes)


def test_a_class_without_rows_needs_leave(root: Path) -> None:
    with pytest.raises(InputError, match=r"train\.csv: no usable row of disgusted.*--allow-empty-class"):
        run(root, scheme=BASIC7)
    assert not (root / "run").exists()
    metrics = run(root, scheme=BASIC7, allow_empty=True, epochs=1)

    assert metrics.per_class["disgusted"].support == 0
    assert metrics.macro_f1 * 6 == pytest.approx(sum(scores.f1 for scores in metrics.per_class.values()))


def test_a_class_whose_crops_are_all_unreadable_needs_leave_too(root: Path) -> None:
    for index in (1, 7):
        (root / f"crops/train/{index:03d}.png").unlink()

    with pytest.raises(InputError, match=f"no usable row of {M1.classes[1]}"):
        run(root)


@pytest.mark.parametrize("name", ["val", "test"])
def test_an_empty_table_is_refused(root: Path, name: str) -> None:
    (root / f"{name}.csv").write_text("path,label_en\n")

    with pytest.raises(InputError, match=rf"{name}\.csv: the table has a header but no row"):
        run(root)


def test_one_image_is_not_enough(root: Path) -> None:
    lines = (root / "train.csv").read_text().splitlines()
    (root / "train.csv").write_text("\n".join(lines[:2]))

    with pytest.raises(InputError, match="one usable image is not enough"):
        run(root, allow_empty=True)


def test_a_loss_that_is_not_finite_names_the_rates(root: Path) -> None:
    state = MobileNetV3Small(6).state_dict()
    state["classifier.0.bias"] = torch.full((1024,), 3e38)  # what follows is too large for a float
    torch.save(state, root / "broken.pt")

    with pytest.raises(InputError, match=r"the loss is nan .*lower --lr-head \(now 0.0005\) and --lr-backbone"):
        run(root, weights=root / "broken.pt")
    with pytest.raises(InputError, match=r"the loss is .*lower --lr-head \(now 0.0005\) and --set teacher_lr \(now 10"):
        run(root, teachers="dlib", teacher_lr=10.0)
    with pytest.raises(InputError, match=r"the loss is nan .*lower --lr-head"):
        run(root, weights=root / "broken.pt", clip=1.0)
    assert not (root / "run/best.pt").exists()


def test_what_cannot_be_asked_for(root: Path) -> None:
    with pytest.raises(InputError, match="unknown training option learning_rate"):
        run(root, learning_rate=1)
    with pytest.raises(InputError, match="choose one of auto, cpu, cuda"):
        run(root, device="tpu")
    with pytest.raises(InputError, match="weights not readable"):
        run(root, weights="absent.npz")
    with pytest.raises(InputError, match="no kind of box 'mine'; choose one of annotator, detector"):
        run(root, boxes="mine")
    with pytest.raises(InputError, match=r"train\.csv: is a file; a run needs a folder"):
        run(root, "train.csv")
    (root / "val_K7.csv").write_bytes((root / "val.csv").read_bytes())
    with pytest.raises(InputError, match=r"val_K7\.csv: its name says K7, not M1"):
        run(root, val_csv=root / "val_K7.csv")


def test_a_batch_that_the_gpu_cannot_hold_names_the_remedy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyojeong.training.run.learn", Mock(side_effect=torch.OutOfMemoryError("tried 2 GiB\nmore")))
    with pytest.raises(InputError, match=r"too small for a batch of 8; give a smaller --batch, .* \(tried 2 GiB\)"):
        run(root)


def test_crops_that_were_cut_otherwise_are_refused(root: Path) -> None:
    write_json(root / "data_shared/summary.json", {"settings": {"margin": 0.15}})
    (root / "crops").rename(root / "data_shared/cropped_faces_160")
    for name in ("train", "val", "test"):
        table = root / f"{name}.csv"
        table.write_text(table.read_text().replace("crops/", "data_shared/cropped_faces_160/"))
    for other in (
        {"margin": 0.3},
        {"offset": 0.1},
        {"aspect": 0.9},
        {"box_kind": "detector"},
        {"aligned_by": "landmarks"},
    ):
        with pytest.raises(InputError, match=r"the crops in data_shared have margin 0.15 .*data_shared/splits_csv"):
            run(root, **other)
    assert run(root, epochs=1).n == 12


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said(root: Path) -> None:
    with pytest.raises(InputError, match="no CUDA device"):
        run(root, device="cuda")
