import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Framing
from pyojeong.model.checkpoint import Checkpoint, load_torch, load_weights, save_torch
from pyojeong.model.network import MEAN, STD, MobileNetV3Small


class Spy:
    """Leaves a mark when a pickle that holds it is executed."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.mark,)  # type: ignore[return-value]


def checkpoint() -> Checkpoint:
    network = MobileNetV3Small(2)
    return Checkpoint(
        state_dict=network.state_dict(),
        classes=("기쁨", "슬픔"),
        scheme="K7",
        recipe={"epochs": 3},
        framing=Framing(0.15, -0.1, 0.76, "detector", "landmarks"),
        temperature=1.25,
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = checkpoint()
    saved.save(tmp_path / "best.pt")
    loaded = Checkpoint.load(tmp_path / "best.pt")

    assert loaded.classes == ("기쁨", "슬픔")
    assert (loaded.scheme, loaded.temperature, loaded.size) == ("K7", 1.25, 160)
    assert loaded.framing == Framing(0.15, -0.1, 0.76, "detector", "landmarks")
    assert (loaded.mean, loaded.std) == (MEAN, STD)
    assert loaded.recipe == {"epochs": 3}
    assert all(torch.equal(loaded.state_dict[name], value) for name, value in saved.state_dict.items())
    assert not loaded.network().training


def test_it_holds_tensors_and_plain_values_only(tmp_path: Path) -> None:
    checkpoint().save(tmp_path / "best.pt")
    values = torch.load(tmp_path / "best.pt", weights_only=True)

    assert set(values) >= {"state_dict", "classes", "scheme", "margin", "size", "mean", "std", "recipe", "temperature"}


@pytest.mark.parametrize("content", [b"", b"no zip", pickle.dumps({"a": 1}, protocol=2), pickle.dumps([1], protocol=2)])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "best.pt").write_bytes(content)

    with pytest.raises(InputError, match=r"best\.pt"):
        Checkpoint.load(tmp_path / "best.pt")


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    checkpoint().save(tmp_path / "best.pt")
    whole = (tmp_path / "best.pt").read_bytes()
    (tmp_path / "best.pt").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(InputError, match="not readable"):
        Checkpoint.load(tmp_path / "best.pt")


def test_one_flipped_bit_of_a_weight_is_noticed(tmp_path: Path) -> None:
    checkpoint().save(tmp_path / "best.pt")
    data = bytearray((tmp_path / "best.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "best.pt").write_bytes(data)

    with pytest.raises(InputError, match="damaged"):
        Checkpoint.load(tmp_path / "best.pt")


def test_a_file_that_holds_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Spy(tmp_path / "executed")}, tmp_path / "evil.pt")

    with pytest.raises(InputError, match="contains code"):
        load_torch(tmp_path / "evil.pt")
    assert not (tmp_path / "executed").exists()


def test_a_foreign_checkpoint_names_what_it_lacks(tmp_path: Path) -> None:
    save_torch({"state_dict": {}}, tmp_path / "foreign.pt")

    with pytest.raises(InputError, match="no classes, scheme"):
        Checkpoint.load(tmp_path / "foreign.pt")
    with pytest.raises(InputError, match="no such file"):
        Checkpoint.load(tmp_path / "absent.pt")


def test_a_checkpoint_of_an_earlier_version_names_what_it_lacks(tmp_path: Path) -> None:
    checkpoint().save(tmp_path / "best.pt")
    values = torch.load(tmp_path / "best.pt", weights_only=True)
    save_torch(
        {name: value for name, value in values.items() if name not in ("offset", "box_kind")}, tmp_path / "old.pt"
    )

    with pytest.raises(InputError, match=r"old\.pt: .*no offset, box_kind.*train one"):
        Checkpoint.load(tmp_path / "old.pt")


def test_a_checkpoint_that_does_not_say_has_square_crops_of_boxes(tmp_path: Path) -> None:
    checkpoint().save(tmp_path / "best.pt")
    values = torch.load(tmp_path / "best.pt", weights_only=True)
    save_torch(
        {name: value for name, value in values.items() if name not in ("aspect", "aligned_by")}, tmp_path / "old.pt"
    )

    assert Checkpoint.load(tmp_path / "old.pt").framing == Framing(0.15, -0.1, 1.0, "detector", "box")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("temperature", float("nan"), "temperature"),
        ("temperature", 0.0, "temperature"),
        ("margin", "x", "margin"),
        ("box_kind", "mine", "box_kind"),
        ("aligned_by", "ears", "aligned_by"),
        ("classes", ("기쁨", "슬픔", "중립"), "weights"),
        ("state_dict", [1, 2], "weights"),
    ],
)
def test_a_checkpoint_that_no_training_wrote_is_refused(tmp_path: Path, name: str, value: object, told: str) -> None:
    checkpoint().save(tmp_path / "best.pt")
    values = torch.load(tmp_path / "best.pt", weights_only=True)
    save_torch(values | {name: value}, tmp_path / "odd.pt")

    with pytest.raises(InputError, match=rf"odd\.pt: its {told}"):
        Checkpoint.load(tmp_path / "odd.pt")


def test_a_checkpoint_of_weights_that_are_no_numbers_is_refused(tmp_path: Path) -> None:
    broken = checkpoint()
    broken.state_dict["classifier.3.bias"].fill_(torch.nan)
    broken.save(tmp_path / "best.pt")

    with pytest.raises(InputError, match="some are not finite"):
        Checkpoint.load(tmp_path / "best.pt")


def test_weights_come_from_every_kind_of_file(tmp_path: Path) -> None:
    value = torch.arange(6.0).reshape(2, 3)
    np.savez(tmp_path / "a.npz", layer=value.numpy())
    save_file({"layer": value}, tmp_path / "a.safetensors")
    save_torch({"layer": value}, tmp_path / "a.pth")
    save_torch({"state_dict": {"layer": value}, "classes": ["x"]}, tmp_path / "a.pt")

    for name in ("a.npz", "a.safetensors", "a.pth", "a.pt"):
        weights = load_weights(tmp_path / name)
        assert list(weights) == ["layer"], name
        assert torch.equal(weights["layer"], value), name


def test_an_npz_with_objects_is_refused_and_not_run(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, layer=np.array([Spy(tmp_path / "executed")], dtype=object))
    (tmp_path / "evil.npz").write_bytes(buffer.getvalue())

    with pytest.raises(InputError, match=r"evil\.npz"):
        load_weights(tmp_path / "evil.npz")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.pth"])
def test_damaged_weights_name_the_file(tmp_path: Path, name: str) -> None:
    for content in (b"PK no such thing", b""):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            load_weights(tmp_path / name)


def test_a_state_that_is_a_list_is_refused(tmp_path: Path) -> None:
    save_torch({"state_dict": [1, 2]}, tmp_path / "list.pth")

    with pytest.raises(InputError, match=r"list\.pth: contains more than tensors"):
        load_weights(tmp_path / "list.pth")


def test_other_kinds_of_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"x")
    save_torch({"state_dict": {"layer": 3}}, tmp_path / "a.pt")

    with pytest.raises(InputError, match="not a file of weights"):
        load_weights(tmp_path / "a.onnx")
    with pytest.raises(InputError, match="more than tensors"):
        load_weights(tmp_path / "a.pt")
    with pytest.raises(InputError, match="'imagenet' or 'random'"):
        load_weights(tmp_path / "absent.npz")
