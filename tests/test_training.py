import csv
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from pyojeong import learning
from pyojeong.batches import normalise
from pyojeong.checkpoint import Checkpoint
from pyojeong.crops import resize
from pyojeong.errors import InputError
from pyojeong.files import write_json
from pyojeong.labels import BASIC7, K7, M1
from pyojeong.network import MobileNetV3Small
from pyojeong.predictions import read_predictions
from pyojeong.table import write_csv
from pyojeong.teacher import FaceMobileNet, FaceRecognitionNet
from pyojeong.training import train
from tests.networks import write_face_mobilenet
from tests.patterns import write_crops

FILES = {"best.pt", "config.json", "history.csv", "val_metrics_best.json", "test_metrics.json", "test_preds.csv"}
METRICS = ("val_metrics_best.json", "test_metrics.json", "test_preds.csv", "history.csv")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, per_class in (("train", 2), ("val", 1), ("test", 2)):
        write_crops(tmp_path, name, per_class)
    return tmp_path


def run(root: Path, out: str = "run", mode: str = "finetune", **options: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {"epochs": 2, "batch": 8, "weights": "random", "scheme": M1, "workers": 1}
    csvs = {f"{name}_csv": root / f"{name}.csv" for name in ("train", "val", "test")}
    return train(mode=mode, out=root / out, root=root, **{**csvs, **defaults, **options})


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in METRICS}


def test_a_run_leaves_everything_behind(root: Path) -> None:
    returned = run(root)
    out = root / "run"
    metrics = json.loads((out / "test_metrics.json").read_text())
    config = json.loads((out / "config.json").read_text())
    checkpoint = Checkpoint.load(out / "best.pt")
    history = [*csv.DictReader((out / "history.csv").open())]

    assert {path.name for path in out.iterdir()} == FILES
    assert returned == metrics
    assert (metrics["n"], metrics["scheme"], metrics["dropped"]) == (12, "M1", {"train": {}, "test": {}})
    assert metrics["temperature"] == checkpoint.temperature > 0
    assert (checkpoint.classes, checkpoint.scheme, checkpoint.margin) == (M1.classes, "M1", 0.15)
    assert (checkpoint.offset, checkpoint.aspect, checkpoint.box) == (0, 1, "annotator")
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
        logits = checkpoint.network()(normalise(torch.from_numpy(patches).permute(0, 3, 1, 2) / 255))
    expected = (logits / checkpoint.temperature).softmax(1).numpy()

    assert np.abs(frame.select([f"p_{name}" for name in M1.classes]).to_numpy() - expected).max() < 2e-6
    assert frame["pred"].to_list() == [M1.classes[index] for index in expected.argmax(1)]
    assert (frame["pred"] == frame["true"]).mean() == pytest.approx(metrics["accuracy"])
    assert metrics["loss"] == pytest.approx(-np.log(expected[np.arange(12), np.arange(12) % 6]).mean(), rel=1e-4)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(root: Path) -> None:
    for out, seed in (("one", 1), ("two", 1), ("three", 2)):
        run(root, out, seed=seed)

    assert contents(root / "one") == contents(root / "two")
    assert contents(root / "one") != contents(root / "three")


@pytest.mark.parametrize(("mode", "ema"), [("finetune", 0.9), ("finetune", 0.0), ("probe", 0.9)])
def test_a_killed_run_ends_as_an_undisturbed_one(
    root: Path, mode: str, ema: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {"epochs": 3, "ema": ema, "schedule": "cosine"}
    if mode == "finetune":
        options |= {"head_until": 0.34, "top_until": 0.67}
    run(root, "whole", mode, **options)
    with monkeypatch.context() as patch:
        patch.setattr(learning, "_judge", killed_in_epoch(2))
        with pytest.raises(KeyboardInterrupt):
            run(root, "killed", mode, **options)
    assert [path.name for path in (root / "killed").iterdir()] == ["last_1.pt"]
    torch.load(root / "killed/last_1.pt", weights_only=True)
    run(root, "killed", mode, **options)

    assert "going on after epoch 1" in caplog.text
    assert contents(root / "killed") == contents(root / "whole")
    assert {path.name for path in (root / "killed").iterdir()} == FILES


def killed_in_epoch(number: int) -> Any:
    """Counted over teachers and network."""
    judge = learning._judge
    left = [number]

    def judge_or_die(loop: Any, val: Any, result: Any, epoch: int, loss: float) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        judge(loop, val, result, epoch, loss)

    return judge_or_die


def test_what_a_killed_run_of_another_recipe_left_is_not_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(learning, "_judge", killed_in_epoch(2))
        with pytest.raises(KeyboardInterrupt):
            run(root, "killed", seed=5)
    run(root, "killed")
    run(root, "whole")

    assert contents(root / "killed") == contents(root / "whole")


@pytest.mark.parametrize(("number", "done"), [(3, {"last_1.pt"}), (4, {"last_1.pt", "last_2.pt"})])
def test_a_run_killed_behind_its_teacher_ends_as_an_undisturbed_one(
    root: Path, number: int, done: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"teachers": "dlib", "balance": 0.5, "ema": 0.5, "draws": 18, "top_until": 0.5}
    run(root, "whole", **options)
    with monkeypatch.context() as patch:
        patch.setattr(learning, "_judge", killed_in_epoch(number))
        with pytest.raises(KeyboardInterrupt):
            run(root, "killed", **options)
    assert {path.name for path in (root / "killed").iterdir()} == done
    run(root, "killed", **options)

    assert contents(root / "killed") == contents(root / "whole")
    assert {path.name for path in (root / "killed").iterdir()} == FILES
    history = pl.read_csv(root / "killed/history.csv")
    assert history.select("network", "epoch").rows() == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_network_learns_from_its_teachers_view_of_each_changed_image(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons, seen, wanted = [], [], []
    targets = learning._Loop._targets

    def learn(*arguments: Any) -> Any:
        lessons.append(arguments[5])
        return learning.learn(*arguments)

    def remember(loop: Any, rows: Any, inputs: torch.Tensor) -> torch.Tensor:
        wanted.append((rows, targets(loop, rows, inputs)))
        seen.append(inputs.clone())
        return wanted[-1][1]

    monkeypatch.setattr("pyojeong.training.learn", learn)
    monkeypatch.setattr(learning._Loop, "_targets", remember)
    faces = write_face_mobilenet(root / "faces.safetensors")
    teachers = {"teachers": "dlib vggface2 own", "teacher_weights": str(faces)}
    run(root, epochs=1, batch=16, distil=0.3, shift=0.4, erase=0.5, **teachers)
    rows, mixed = wanted[3]
    with torch.inference_mode():
        taught = torch.stack([teacher(seen[3]).softmax(1) for teacher in lessons[3].teachers]).mean(0)
    labels = [name % 6 for name in rows]

    assert [len(lesson.teachers) for lesson in lessons] == [0, 0, 0, 3]
    assert [type(teacher) for teacher in lessons[3].teachers] == [FaceRecognitionNet, FaceMobileNet, MobileNetV3Small]
    assert not any(teacher.training for teacher in lessons[3].teachers)
    assert torch.equal(wanted[0][1], torch.eye(6)[[name % 6 for name in wanted[0][0]]])
    assert (mixed - (0.7 * torch.eye(6)[labels] + 0.3 * taught)).abs().max() < 1e-6


def test_other_weights_of_a_teacher_are_another_run(root: Path) -> None:
    options: dict[str, Any] = {"epochs": 1, "teachers": "vggface2", "teacher_weights": str(root / "faces.safetensors")}
    with pytest.raises(InputError, match=r"faces.safetensors: no such file; run scripts/vggface2.py"):
        run(root, **options)
    stamps = []
    for seed in (1, 2, 2):
        write_face_mobilenet(root / "faces.safetensors", seed)
        run(root, **options)
        stamps.append((root / "run/config.json").stat().st_mtime_ns)

    assert stamps[0] < stamps[1] == stamps[2]


def test_the_last_network_s_weights_are_read_before_its_teacher_learns(root: Path) -> None:
    (root / "bad.npz").write_text("no numbers")
    for options, message in (
        ({"teachers": "dlib", "weights": str(root / "bad.npz")}, r"bad.npz: no .npz file of numbers"),
        ({"teachers": "own vggface2", "teacher_weights": str(root / "bad.npz")}, r"bad.npz: no .npz file of numbers"),
    ):
        with pytest.raises(InputError, match=message):
            run(root, epochs=1, **options)
    assert not (root / "run").exists()


def test_what_a_teacher_has_learned_serves_another_last_network(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {"teachers": "own", "teacher_epochs": 1, "lr_backbone": 1e-4}
    changed = options | {"distil": 0.9, "epochs": 3}
    run(root, "whole", **changed)
    with monkeypatch.context() as patch:
        patch.setattr(learning, "_judge", killed_in_epoch(3))
        with pytest.raises(KeyboardInterrupt):
            run(root, "killed", **options)
    caplog.clear()
    run(root, "killed", **changed)

    assert caplog.text.count("going on after epoch 1") == 1
    assert "last_2.pt: is of another recipe or other data, training starts anew" in caplog.text
    assert contents(root / "killed") == contents(root / "whole")


@pytest.mark.parametrize("part", ["result", "loop"])
def test_what_another_version_left_is_refused(root: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(learning, "_judge", killed_in_epoch(2))
        with pytest.raises(KeyboardInterrupt):
            run(root)
    saved = torch.load(root / "run/last_1.pt", weights_only=True)
    if part == "result":
        saved["result"]["other"] = 1
    else:
        del saved["loop"]["module"]["classifier.0.weight"]
    torch.save(saved, root / "run/last_1.pt")

    with pytest.raises(InputError, match=r"last_1.pt: does not fit this network; delete it, and training starts anew"):
        run(root)


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


def test_votes_are_learned_by_teacher_and_network(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.read_csv(root / "train.csv").with_columns(votes_기쁨=pl.lit(2), votes_분노=pl.lit(1))
    write_csv(frame, root / "train.csv")
    lessons = []

    def learn(*arguments: Any) -> Any:
        lessons.append(arguments[5])
        return learning.learn(*arguments)

    monkeypatch.setattr("pyojeong.training.learn", learn)
    run(root, epochs=1, votes=0.6, teachers="dlib", distil=0.0, balance=1.0)

    voted = 0.4 * np.eye(6)[[*range(6)] * 2]
    voted[:, M1.classes.index("happy")] += 0.4
    voted[:, M1.classes.index("angry")] += 0.2
    for lesson in lessons:
        assert np.abs(lesson.targets - voted).max() < 1e-12
        assert lesson.shares.tolist() == [1.0] * 6


@pytest.mark.parametrize("column", ["set", "votes_기쁨"])
def test_changed_sets_and_votes_are_trained_anew(root: Path, column: str) -> None:
    stamps = []
    for values in ([1, 2] * 6, [1, 2, 2] * 4, [1, 2, 2] * 4):
        write_csv(pl.read_csv(root / "train.csv").with_columns(pl.Series(column, values)), root / "train.csv")
        run(root, epochs=1)
        stamps.append((root / "run/config.json").stat().st_mtime_ns)

    assert stamps[0] < stamps[1] == stamps[2]


def test_a_damaged_last_pt_starts_anew(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "run").mkdir()
    (root / "run/last_1.pt").write_bytes(b"half a file")
    run(root)

    assert "starts anew" in caplog.text
    assert {path.name for path in (root / "run").iterdir()} == FILES


def test_a_finished_run_is_left_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(root)
    before = {path: path.stat().st_mtime_ns for path in (root / "run").iterdir()}
    monkeypatch.setattr("pyojeong.training.learn", lambda *_: pytest.fail("trained again"))

    assert run(root, workers=3, device="cpu") == first
    assert {path: path.stat().st_mtime_ns for path in (root / "run").iterdir()} == before


@pytest.mark.parametrize("change", ["recipe", "labels", "crop", "output"])
def test_whatever_changes_is_trained_anew(root: Path, change: str, caplog: pytest.LogCaptureFixture) -> None:
    run(root)
    stamp = (root / "run/config.json").stat().st_mtime_ns
    if change == "labels":
        text = (root / "train.csv").read_text()
        (root / "train.csv").write_text(text.replace("000.png,neutral", "000.png,happy"))
    elif change == "crop":
        Image.new("RGB", (30, 30)).save(root / "crops/val/000.png")
    elif change == "output":
        (root / "run/test_preds.csv").unlink()
    run(root, lr_head=1e-4 if change == "recipe" else None)

    assert (root / "run/config.json").stat().st_mtime_ns != stamp
    assert ("trained anew" in caplog.text) == (change != "output")


def test_a_failed_retraining_leaves_the_finished_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(root)
    before = contents(root / "run")
    with monkeypatch.context() as patch:
        patch.setattr(learning, "_judge", killed_in_epoch(1))
        with pytest.raises(KeyboardInterrupt):
            run(root, seed=9)

    assert contents(root / "run") == before


def test_a_probe_equals_the_plain_way(root: Path) -> None:
    still: dict[str, Any] = dict.fromkeys(("flip", "rotate", "scale", "shift", "colour", "grey", "erase"), 0.0)
    run(root, "probe", "probe", epochs=3, lr_head=1e-3)
    run(root, "plain", epochs=3, lr_head=1e-3, head_until=1.0, top_until=1.0, **still)
    probe, plain = ([*csv.DictReader((root / out / "history.csv").open())] for out in ("probe", "plain"))

    assert {epoch["stage"] for epoch in plain} == {"head"}
    for one, other in zip(probe, plain, strict=True):
        for name in ("train_loss", "val_loss"):
            assert float(one[name]) == pytest.approx(float(other[name]), abs=1e-4)
    first, second = (Checkpoint.load(root / out / "best.pt").state_dict for out in ("probe", "plain"))
    assert all(torch.allclose(first[name], second[name], atol=1e-4) for name in first)


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
    metrics = run(root, epochs=8, batch=16, lr_head=3e-3, lr_backbone=3e-3, head_until=0.0, top_until=0.0, **still)

    assert metrics["macro_f1"] > 0.8


def test_dropped_crops_are_counted(root: Path) -> None:
    (root / "crops/train/005.png").unlink()
    (root / "crops/test/001.png").write_bytes(b"no image")
    metrics = run(root)
    val = json.loads((root / "run/val_metrics_best.json").read_text())

    assert metrics["n"] == 11
    assert metrics["dropped"] == {"train": {"missing": 1}, "test": {"not_an_image": 1}}
    assert val["dropped"] == {"train": {"missing": 1}, "val": {}}
    assert "crops/test/001.png" not in (root / "run/test_preds.csv").read_text()


def test_a_model_of_drawn_faces_says_so(root: Path) -> None:
    write_json(root / "data_shared/summary.json", {"drawn_sample": True})
    shutil.copy(root / "train.csv", root / "data_shared/train.csv")
    run(root, "own data", epochs=1)
    run(root, "sample", epochs=1, train_csv=root / "data_shared/train.csv")
    assert not Checkpoint.load(root / "own data/best.pt").drawn_sample
    assert Checkpoint.load(root / "sample/best.pt").drawn_sample


@pytest.mark.parametrize(("name", "content"), [("best.pt", b"PK"), ("config.json", b"{"), ("test_metrics.json", b"")])
def test_a_damaged_finished_run_is_trained_anew(root: Path, name: str, content: bytes) -> None:
    run(root, epochs=1)
    before = contents(root / "run")
    (root / "run" / name).write_bytes(content)
    run(root, epochs=1)
    assert contents(root / "run") == before
    assert Checkpoint.load(root / "run/best.pt").scheme == "M1"


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

    assert metrics["per_class"]["disgusted"]["support"] == 0
    assert metrics["macro_f1"] * 6 == pytest.approx(sum(scores["f1"] for scores in metrics["per_class"].values()))


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
    state["classifier.0.bias"] = torch.full((1024,), float("inf"))
    torch.save(state, root / "broken.pt")

    with pytest.raises(InputError, match=r"the loss is nan .*lower --lr-head \(now 0.0005\) and --lr-backbone"):
        run(root, weights=root / "broken.pt")
    with pytest.raises(InputError, match=r"the loss is .*lower --lr-head \(now 0.0005\) and --set teacher_lr \(now 10"):
        run(root, teachers="dlib", teacher_lr=10.0)
    assert not (root / "run/best.pt").exists()


def test_what_cannot_be_asked_for(root: Path) -> None:
    with pytest.raises(InputError, match="unknown training option learning_rate"):
        run(root, learning_rate=1)
    with pytest.raises(InputError, match="choose auto, cpu or cuda"):
        run(root, device="tpu")
    with pytest.raises(InputError, match="weights not readable"):
        run(root, weights="absent.npz")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said(root: Path) -> None:
    with pytest.raises(InputError, match="no CUDA device"):
        run(root, device="cuda")


def test_images_in_two_sets_are_reported(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run(root, epochs=1, test_csv=root / "val.csv")

    assert "share 6 images" in caplog.text
