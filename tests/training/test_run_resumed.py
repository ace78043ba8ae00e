"""What is taken over from earlier runs, and what is not."""

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from PIL import Image

from pyojeong.core.errors import InputError
from pyojeong.core.files import alone_in
from pyojeong.core.table import write_csv
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.training import distributed, loop
from pyojeong.training import run as module
from tests.trainings import FILES, contents, killed_in_epoch, run, small_tables


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small_tables(tmp_path)


@pytest.mark.parametrize(
    ("mode", "ema"), [("finetune", 0.9), pytest.param("finetune", 0.0, marks=pytest.mark.slow), ("probe", 0.9)]
)
def test_a_killed_run_ends_as_an_undisturbed_one(
    root: Path, mode: str, ema: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {"epochs": 3, "ema": ema, "schedule": "cosine"}
    if mode == "finetune":
        options |= {"head_until": 0.34, "top_until": 0.67}
    run(root, "whole", mode, **options)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_validate", killed_in_epoch(2))
        with pytest.raises(KeyboardInterrupt):
            run(root, "killed", mode, **options)
    assert [path.name for path in (root / "killed").iterdir()] == ["last_1.pt"]
    torch.load(root / "killed/last_1.pt", weights_only=True)
    run(root, "killed", mode, **options)

    assert "resumed after epoch 1" in caplog.text
    assert contents(root / "killed") == contents(root / "whole")
    assert {path.name for path in (root / "killed").iterdir()} == FILES


def test_what_a_killed_run_of_another_recipe_left_is_not_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_validate", killed_in_epoch(2))
        with pytest.raises(KeyboardInterrupt):
            run(root, "killed", seed=5)
    run(root, "killed")
    run(root, "whole")

    assert contents(root / "killed") == contents(root / "whole")


def test_a_finished_run_leaves_what_another_recipe_needs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "_remove_progress", lambda *_: None)  # killed just before
        run(root, epochs=1)
    assert (root / "run/last_1.pt").exists()
    run(root, epochs=1)
    assert {path.name for path in (root / "run").iterdir()} == FILES
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_validate", killed_in_epoch(2))
        with pytest.raises(KeyboardInterrupt):
            run(root, seed=5)
    run(root, epochs=1)
    assert {path.name for path in (root / "run").iterdir()} == FILES | {"last_1.pt"}


@pytest.mark.parametrize("clip", [pytest.param(0.0, marks=pytest.mark.slow), 1.0])
def test_a_run_goes_on_in_float16(root: Path, clip: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU that only emulates bfloat16."""
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_validate", killed_in_epoch(2))
        with pytest.raises(KeyboardInterrupt):
            run(root, clip=clip)
    half = MixedPrecision("16-mixed", "cpu")
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[half])
    monkeypatch.setattr(distributed, "open_fabric", lambda device: fabric)
    metrics = run(root, clip=clip)
    history = pl.read_csv(root / "run/history.csv")
    assert history["epoch"].to_list() == [1, 2]
    assert math.isfinite(metrics.loss)
    assert half.scaler is not None
    assert half.scaler.get_scale() > 0


@pytest.mark.parametrize("part", ["result", "loop"])
def test_what_another_version_left_is_refused(root: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_validate", killed_in_epoch(2))
        with pytest.raises(KeyboardInterrupt):
            run(root)
    saved = torch.load(root / "run/last_1.pt", weights_only=True)
    if part == "result":
        saved["result"]["other"] = 1
    else:
        del saved["loop"]["module"]["classifier.0.weight"]
    torch.save(saved, root / "run/last_1.pt")

    with pytest.raises(InputError, match=r"last_1.pt: does not fit this network; delete it to start"):
        run(root)


@pytest.mark.parametrize("column", ["set", "votes_기쁨"])
def test_changed_sets_and_votes_are_trained_anew(root: Path, column: str) -> None:
    stamps = []
    for values in ([1, 2] * 6, [1, 2, 2] * 4, [1, 2, 2] * 4):
        write_csv(pl.read_csv(root / "train.csv").with_columns(pl.Series(column, values)), root / "train.csv")
        run(root, epochs=1)
        stamps.append((root / "run/config.json").stat().st_mtime_ns)

    assert stamps[0] < stamps[1] == stamps[2]


def test_two_runs_do_not_train_into_one_folder(root: Path) -> None:
    with alone_in(root / "run"), pytest.raises(InputError, match="run: another run is using it"):
        run(root)


def test_a_damaged_last_pt_starts_anew(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "run").mkdir()
    (root / "run/last_1.pt").write_bytes(b"half a file")
    run(root)

    assert "starts again" in caplog.text
    assert {path.name for path in (root / "run").iterdir()} == FILES


def test_a_finished_run_is_left_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(root)
    before = {path: path.stat().st_mtime_ns for path in (root / "run").iterdir()}
    monkeypatch.setattr("pyojeong.training.run.learn", lambda *_: pytest.fail("trained again"))

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
    assert ("this run will replace it" in caplog.text) == (change != "output")


def test_another_test_set_is_scored_without_training(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyojeong.training.run._publish", lambda *_, **__: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception, match="killed"):
        run(root)
    monkeypatch.undo()
    monkeypatch.setattr(loop._Loop, "epoch", lambda *_: pytest.fail("trained again"))
    assert run(root, test_csv=root / "val.csv").n == 6


def test_what_a_killed_run_left_is_swept(root: Path) -> None:
    run(root)
    for name in (".last_1.pt.x.part", "last_1.pt"):
        (root / "run" / name).write_bytes(b"half")
    run(root)
    assert {path.name for path in (root / "run").iterdir()} == FILES


@pytest.mark.parametrize("epochs", [1, 99])
def test_epochs_that_do_not_add_up_are_refused(root: Path, epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_validate", killed_in_epoch(3))
    with pytest.raises(KeyboardInterrupt):
        run(root, epochs=3)
    monkeypatch.undo()
    values = torch.load(root / "run/last_1.pt", weights_only=True)
    values["result"]["epochs_done"] = epochs
    torch.save(values, root / "run/last_1.pt")
    with pytest.raises(InputError, match=r"last_1\.pt: does not fit this network; delete it"):
        run(root, epochs=3)


def test_a_failed_retraining_leaves_the_finished_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(root)
    before = contents(root / "run")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_validate", killed_in_epoch(1))
        with pytest.raises(KeyboardInterrupt):
            run(root, seed=9)

    assert contents(root / "run") == before


@pytest.mark.parametrize(("name", "content"), [("best.pt", b"PK"), ("config.json", b"{"), ("test_metrics.json", b"")])
def test_a_damaged_finished_run_is_trained_anew(root: Path, name: str, content: bytes) -> None:
    run(root, epochs=1)
    before = contents(root / "run")
    (root / "run" / name).write_bytes(content)
    run(root, epochs=1)
    assert contents(root / "run") == before
    assert Checkpoint.load(root / "run/best.pt").scheme == "M1"
