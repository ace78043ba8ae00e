"""Networks before the last one."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from pyojeong.core.errors import InputError
from pyojeong.core.labels import M1
from pyojeong.core.table import write_csv
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.model.network import MobileNetV3Small
from pyojeong.model.teacher import FaceMobileNet, FaceRecognitionNet
from pyojeong.training import loop
from pyojeong.training.inference_cache import inference_function
from tests.networks import write_face_mobilenet
from tests.trainings import FILES, contents, killed_in_epoch, run, small_tables


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small_tables(tmp_path)


@pytest.fixture
def in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Teachers answer in torch, as on processors that multiply bfloat16: exporting them takes most of a short run."""
    monkeypatch.setattr("pyojeong.training.run.inference_function", lambda network, _: network)


@pytest.fixture(params=["torch", pytest.param("onnxruntime", marks=pytest.mark.slow)])
def either_way(request: pytest.FixtureRequest) -> None:
    """Teachers answer in torch, and in the long run of the tests in onnxruntime too."""
    if request.param == "torch":
        request.getfixturevalue("in_torch")


@pytest.mark.usefixtures("either_way")
def test_a_run_killed_behind_its_teacher_ends_as_an_undisturbed_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"teachers": "dlib", "balance": 0.5, "ema": 0.5, "draws": 18, "top_until": 0.5}
    run(root, "whole", **options)
    for epoch, done in ((3, {"last_1.pt"}), (4, {"last_1.pt", "last_2.pt"})):
        killed = f"killed in {epoch}"
        with monkeypatch.context() as patch:
            patch.setattr(loop, "_validate", killed_in_epoch(epoch))
            with pytest.raises(KeyboardInterrupt):
                run(root, killed, **options)
        assert {path.name for path in (root / killed).iterdir()} == done
        run(root, killed, **options)

        assert contents(root / killed) == contents(root / "whole")
        assert {path.name for path in (root / killed).iterdir()} == FILES
        history = pl.read_csv(root / killed / "history.csv")
        assert history.select("network", "epoch").rows() == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_network_learns_from_its_teachers_view_of_each_changed_image(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons, asked, seen, wanted = [], [], [], []
    targets = loop._Loop._targets

    def ask(network: Any, device: Any) -> Any:
        asked.append(network)
        return inference_function(network, device)

    def learn(*arguments: Any) -> Any:
        lessons.append(arguments[4])
        return loop.learn(*arguments)

    def remember(loop: Any, rows: Any, inputs: torch.Tensor) -> torch.Tensor:
        wanted.append((rows, targets(loop, rows, inputs)))
        seen.append(inputs.clone())
        return wanted[-1][1]

    monkeypatch.setattr("pyojeong.training.run.learn", learn)
    monkeypatch.setattr("pyojeong.training.run.inference_function", ask)
    monkeypatch.setattr(loop._Loop, "_targets", remember)
    faces = write_face_mobilenet(root / "faces.safetensors")
    teachers = {"teachers": "dlib vggface2 own", "teacher_weights": str(faces)}
    run(root, epochs=1, batch=16, distil=0.3, shift=0.4, erase=0.5, **teachers)
    rows, mixed = wanted[3]
    with torch.inference_mode():
        taught = torch.stack([teacher(seen[3]).softmax(1) for teacher in lessons[3].teachers]).mean(0)
    labels = [name % 6 for name in rows]

    assert [len(lesson.teachers) for lesson in lessons] == [0, 0, 0, 3]
    assert [type(network) for network in asked] == [FaceRecognitionNet, FaceMobileNet, MobileNetV3Small]
    assert not any(network.training for network in asked)
    assert torch.equal(wanted[0][1], torch.eye(6)[[name % 6 for name in wanted[0][0]]])
    assert (mixed - (0.7 * torch.eye(6)[labels] + 0.3 * taught)).abs().max() < 1e-6


@pytest.mark.usefixtures("in_torch")
def test_the_start_teaches_unchanged(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(root, "first", epochs=1)
    lessons = []

    def learn(*arguments: Any) -> Any:
        lessons.append(arguments[4])
        return loop.learn(*arguments)

    monkeypatch.setattr("pyojeong.training.run.learn", learn)
    run(root, "second", epochs=1, teachers="start", weights=str(root / "first/best.pt"), lr_backbone=0.01)
    noise = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        taught = lessons[0].teachers[0](noise)
        first, second = (Checkpoint.load(root / name / "best.pt").network()(noise) for name in ("first", "second"))

    assert len(lessons) == 1
    assert torch.allclose(taught, first, atol=1e-4)
    assert not torch.allclose(taught, second, atol=1e-2)
    assert pl.read_csv(root / "second/history.csv").select("network", "epoch").rows() == [(2, 1)]


def test_a_start_that_does_not_know_the_classes_is_no_teacher(root: Path) -> None:
    with pytest.raises(InputError, match=r"teacher start .* but random was not trained on the classes neutral, happy"):
        run(root, epochs=1, teachers="start")
    with pytest.raises(InputError, match=r"but shipped was not trained on the classes neutral, happy"):
        run(root, epochs=1, teachers="start", weights="shipped")


@pytest.mark.usefixtures("in_torch")
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
        ({"teachers": "dlib", "weights": str(root / "bad.npz")}, r"bad.npz: not an .npz file of numbers"),
        (
            {"teachers": "own vggface2", "teacher_weights": str(root / "bad.npz")},
            r"bad.npz: not an .npz file of numbers",
        ),
    ):
        with pytest.raises(InputError, match=message):
            run(root, epochs=1, **options)
    assert not (root / "run").exists()


@pytest.mark.usefixtures("either_way")
def test_what_a_teacher_has_learned_serves_another_last_network_and_test_set(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {"teachers": "own", "teacher_epochs": 1, "lr_backbone": 1e-4}
    changed = options | {"distil": 0.9, "epochs": 3}
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_validate", killed_in_epoch(3))
        with pytest.raises(KeyboardInterrupt):
            run(root, "killed", **options)
    write_csv(pl.read_csv(root / "test.csv")[1:], root / "test.csv")
    run(root, "whole", **changed)
    caplog.clear()
    run(root, "killed", **changed)

    assert caplog.text.count("resumed after epoch 1") == 1
    assert "last_2.pt: from another recipe or other data; training starts again" in caplog.text
    assert contents(root / "killed") == contents(root / "whole")


@pytest.mark.usefixtures("in_torch")
def test_votes_are_learned_by_teacher_and_network(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.read_csv(root / "train.csv").with_columns(votes_기쁨=pl.lit(2), votes_분노=pl.lit(1))
    write_csv(frame, root / "train.csv")
    lessons = []

    def learn(*arguments: Any) -> Any:
        lessons.append(arguments[4])
        return loop.learn(*arguments)

    monkeypatch.setattr("pyojeong.training.run.learn", learn)
    run(root, epochs=1, votes=0.6, teachers="dlib", balance=1.0)

    voted = 0.4 * np.eye(6)[[*range(6)] * 2]
    voted[:, M1.classes.index("happy")] += 0.4
    voted[:, M1.classes.index("angry")] += 0.2
    for lesson in lessons:
        assert np.abs(lesson.targets - voted).max() < 1e-12
        assert lesson.shares.tolist() == [1.0] * 6
