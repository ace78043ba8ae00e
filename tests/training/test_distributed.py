"""Two processes on this machine against one: same metrics, up to rounding."""

import csv
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pyojeong.core.labels import M1
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.training import distributed, loop
from pyojeong.training.distributed import Share
from pyojeong.training.recipe import Recipe, TrainingTables
from pyojeong.training.run import train
from tests.conftest import REPOSITORY
from tests.patterns import write_crops

OPTIONS: dict[str, Any] = {
    "batch": 9,  # 36 images make four steps of 9: shares of 5 and 4
    "epochs": 3,
    "lr_head": 1e-4,
    "lr_backbone": 2e-5,
    "schedule": "cosine",
    "ema": 0.5,
    "head_until": 0.34,
    "top_until": 0.67,
    "color": 0.2,
    "erase": 0.5,
    "low_resolution": 0.5,
    "jpeg": 0.3,
    "label_smoothing": 0.1,
}
WITHIN = 1e-3
PROGRAM = ("-m", "pyojeong")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, per_class in (("train", 6), ("val", 12), ("test", 3)):
        write_crops(tmp_path, name, per_class)
    return tmp_path


def in_one(root: Path, out: str, mode: str, **options: Any) -> None:
    tables = TrainingTables(root / "train.csv", root / "val.csv", root / "test.csv")
    train(Recipe.of(mode, {"weights": "random", **options}), tables, root / out, scheme=M1, root=root)


def in_two(
    root: Path, out: str, mode: str, program: tuple[str, ...] = PROGRAM, **options: Any
) -> subprocess.CompletedProcess[str]:
    tables = [f"--{name}-csv={root / name}.csv" for name in ("train", "val", "test")]
    flags = {"--scheme": "M1", "--project-root": root, "--out": root / out, "--weights": "random", "--mode": mode}
    own = ("epochs", "batch", "lr_head", "lr_backbone", "seed")
    named = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if name in own]
    others = [f"--set={name}={value}" for name, value in options.items() if name not in own]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *program]
    command += ["train", *tables, *(f"{flag}={value}" for flag, value in flags.items()), *named, *others]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def figures(folder: Path) -> list[float]:
    """All numbers of a run's metrics and history, in order."""
    found: list[float] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            for inner in value.values():
                collect(inner)
        elif isinstance(value, int | float):
            found.append(value)

    for name in ("val_metrics_best.json", "test_metrics.json"):
        collect(json.loads((folder / name).read_text()))
    for epoch in csv.DictReader((folder / "history.csv").open()):
        found += [float(value) for name, value in epoch.items() if name != "stage"]
    return found


def assert_same(one: Path, two: Path, finished: subprocess.CompletedProcess[str]) -> None:
    assert finished.returncode == 0, finished.stderr
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    assert figures(two) == pytest.approx(figures(one), abs=WITHIN)
    first, second = (json.loads((folder / "config.json").read_text()) for folder in (one, two))
    assert first["run"] == second["run"]
    states = [Checkpoint.load(folder / "best.pt").state_dict for folder in (one, two)]
    for name, value in states[0].items():
        assert torch.allclose(states[1][name].float(), value.float(), rtol=0.01, atol=2e-3), name


@pytest.mark.parametrize("mode", ["finetune", pytest.param("probe", marks=pytest.mark.slow)])
def test_two_processes_learn_what_one_does(root: Path, mode: str) -> None:
    options = OPTIONS if mode == "finetune" else {"batch": 9, "epochs": 3, "balance": 0.5}
    in_one(root, "one", mode, **options)
    finished = in_two(root, "two", mode, **options)

    assert_same(root / "one", root / "two", finished)
    assert "starting with 2 processes" in finished.stderr.lower()
    again = in_two(root, "two", mode, **options)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("All metrics:") == 1


@pytest.mark.slow
def test_two_processes_learn_from_teachers_what_one_does(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In bfloat16 the shares' other shapes round otherwise, and faces that nobody can tell yet change their label.
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    options = {**OPTIONS, "epochs": 2, "teachers": "dlib own", "teacher_lr": 2e-5, "clip": 1.0}
    in_one(root, "one", "finetune", **options)
    program = str(REPOSITORY / "tests/without_bfloat16.py")
    finished = in_two(root, "two", "finetune", (program,), **options)

    assert_same(root / "one", root / "two", finished)
    history = csv.DictReader((root / "two/history.csv").open())
    assert [epoch["network"] for epoch in history] == ["1", "1", "2", "2", "3", "3"]


@pytest.mark.slow
def test_two_processes_go_on_where_one_was_killed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_one(root, "one", "finetune", **OPTIONS)
    validate = loop._validate

    def validate_or_die(loop: Any, val: Any, result: Any, epoch: int, loss: float) -> None:
        if epoch == 1:
            raise KeyboardInterrupt
        validate(loop, val, result, epoch, loss)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_validate", validate_or_die)
        with pytest.raises(KeyboardInterrupt):
            in_one(root, "two", "finetune", **OPTIONS)
    finished = in_two(root, "two", "finetune", **OPTIONS)

    assert "resumed after epoch 1" in finished.stderr
    assert_same(root / "one", root / "two", finished)


def test_steps_too_small_to_share_are_refused(root: Path) -> None:
    lines = (root / "train.csv").read_text().splitlines()
    (root / "train.csv").write_text("\n".join(lines[:8]))
    finished = in_two(root, "two", "probe", batch=2, epochs=1)

    assert finished.returncode != 0
    assert "a step of 1 images cannot be shared by 2 processes; raise --batch (now 2)" in finished.stderr


@pytest.mark.parametrize(("count", "size"), [(9, 2), (8, 2), (7, 3), (5, 5), (2, 3)])
def test_shares_cover_a_step_once_and_their_weighted_means_give_its_mean(count: int, size: int) -> None:
    values = torch.arange(count, dtype=torch.float64) ** 2
    shares = [Share(count, rank, size) for rank in range(size)]
    own = [values[share.own] for share in shares]

    assert torch.equal(torch.cat(own).sort().values, values)
    means = [share.weight * part.mean() for share, part in zip(shares, own, strict=True) if len(part)]
    assert sum(means) / size == pytest.approx(float(values.mean()))


def test_alone_nothing_is_shared() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.Dropout())
    before = [*network]
    distributed.sync_batchnorm(network)

    assert [*network] == before
    assert (distributed.rank(), distributed.size(), distributed.share(5)) == (0, 1, Share(5))
    assert distributed._process_options() == {"devices": 1}


def test_rows_come_together_in_their_places() -> None:
    parts = [torch.tensor([[3.0], [1.0]]), torch.tensor([[2.0]]), torch.tensor([[9.0]])]
    whole = distributed.gather(parts, [[2, 0], [1]], 3, torch.device("cpu"))

    assert whole.tolist() == [[1.0], [2.0], [3.0]]


def test_the_first_speaks_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("pyojeong")
    level = logger.level
    try:
        # Other tools number their processes too, and each of those is alone.
        for name, value in (("RANK", "1"), ("TORCHELASTIC_RUN_ID", "one"), ("RANK", "0")):
            monkeypatch.setenv(name, value)
            assert distributed.is_first() is (name != "TORCHELASTIC_RUN_ID")
        distributed.silence_nonzero_ranks()
        assert logger.level == level
        monkeypatch.setenv("RANK", "1")
        distributed.silence_nonzero_ranks()
        assert not logger.isEnabledFor(logging.WARNING)
        assert logger.isEnabledFor(logging.ERROR)
    finally:
        logger.setLevel(level)
