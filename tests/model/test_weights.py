import hashlib
import logging
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from pyojeong.core.errors import InputError
from pyojeong.model import weights
from pyojeong.model.checkpoint import save_torch
from pyojeong.model.network import MobileNetV3Small, normalize
from pyojeong.model.onnx_weights import load_onnx

LAST = ("classifier.3.weight", "classifier.3.bias")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    return tmp_path / "cache"


def published(folder: Path, content: bytes, digest: str | None = None) -> str:
    """Write ``content`` to a file named after its hash, as torchvision does, and return its URL."""
    name = f"net-{digest or hashlib.sha256(content).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(content)
    return (folder / name).as_uri()


def test_a_local_file_fills_everything_but_the_last_layer(tmp_path: Path) -> None:
    donor, network = MobileNetV3Small(1000), MobileNetV3Small(7)
    np.savez(tmp_path / "donor.npz", **{name: value.numpy() for name, value in donor.state_dict().items()})
    initial = {name: value.clone() for name, value in network.state_dict().items()}
    weights.load_initial_weights(network, str(tmp_path / "donor.npz"))

    for name, value in network.state_dict().items():
        assert torch.equal(value, initial[name] if name in LAST else donor.state_dict()[name]), name


def test_random_leaves_the_network_unchanged_and_warns(caplog: pytest.LogCaptureFixture) -> None:
    network = MobileNetV3Small(7)
    initial = {name: value.clone() for name, value in network.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        weights.load_initial_weights(network, "random")

    assert "random weights" in caplog.text
    assert all(torch.equal(value, initial[name]) for name, value in network.state_dict().items())


def test_another_network_is_refused_by_name(tmp_path: Path) -> None:
    state = MobileNetV3Small(7).state_dict()
    short = {name: value for name, value in state.items() if name != "features.3.block.0.0.weight"}
    save_torch(short, tmp_path / "short.pth")
    save_torch(state | {"features.0.0.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "thin.pth")

    with pytest.raises(InputError, match=r"short\.pth: no tensor features\.3\.block\.0\.0\.weight"):
        weights.load_initial_weights(MobileNetV3Small(7), str(tmp_path / "short.pth"))
    with pytest.raises(InputError, match=r"features\.0\.0\.weight has shape \(8, 3, 3, 3\)"):
        weights.load_initial_weights(MobileNetV3Small(7), str(tmp_path / "thin.pth"))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = MobileNetV3Small(7).state_dict()
    save_torch(state | {"features.0.0.weight": torch.full((16, 3, 3, 3), torch.nan)}, tmp_path / "nan.pth")

    with pytest.raises(InputError, match=r"nan\.pth: features\.0\.0\.weight is damaged"):
        weights.load_initial_weights(MobileNetV3Small(7), str(tmp_path / "nan.pth"))


def test_the_file_is_downloaded_once(tmp_path: Path, cache: Path) -> None:
    url = published(tmp_path, b"weights")
    path = weights.imagenet_file(url)
    assert path.is_relative_to(cache)
    assert path.read_bytes() == b"weights"

    (tmp_path / path.name).unlink()
    assert weights.imagenet_file(url) == path


def test_a_damaged_download_is_not_kept(tmp_path: Path, cache: Path) -> None:
    url = published(tmp_path, b"half", digest="0123abcd")

    with pytest.raises(InputError, match="SHA-256"):
        weights.imagenet_file(url)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_damaged_cached_file_is_downloaded_again(tmp_path: Path, cache: Path) -> None:
    url = published(tmp_path, b"weights")
    weights.imagenet_file(url).write_bytes(b"rotten")

    assert weights.imagenet_file(url).read_bytes() == b"weights"


@pytest.mark.usefixtures("cache")
def test_a_failed_download_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be downloaded.*local file.*'random'"):
        weights.imagenet_file((tmp_path / "net-01234567.pth").as_uri())


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    file.write_bytes(b"one")
    first = weights.fingerprint(str(file))
    file.write_bytes(b"two")

    assert weights.fingerprint(str(file)) != first
    assert weights.fingerprint("random") == "random"
    with pytest.raises(InputError, match="not readable"):
        weights.fingerprint(str(tmp_path / "absent.npz"))


def test_the_url_contains_the_hash() -> None:
    assert weights.IMAGENET_URL.startswith("https://")
    assert weights.IMAGENET_URL.endswith("-047dcff4.pth")


def test_shipped_weights_compute_what_the_shipped_file_computes() -> None:
    network = MobileNetV3Small(7)
    state = load_onnx(weights.SHIPPED)
    network.load_state_dict(state)
    session = onnxruntime.InferenceSession(weights.SHIPPED, providers=["CPUExecutionProvider"])
    temperature = float(session.get_modelmeta().custom_metadata_map["temperature"])
    images = np.random.default_rng(0).integers(0, 256, (4, 160, 160, 3), np.uint8)
    pixels = normalize(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    with torch.inference_mode():
        computed = (network.eval()(pixels) / temperature).softmax(1).numpy()

    assert computed == pytest.approx(np.asarray(session.run(None, {"image": images})[0]), abs=1e-4)
    started = MobileNetV3Small(3)
    weights.load_initial_weights(started, "shipped")
    assert torch.equal(started.features[0][0].weight, state["features.0.0.weight"])  # type: ignore[index]
    assert weights.fingerprint("shipped") == hashlib.sha256(weights.SHIPPED.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("word", "lacks"), [("random", True), ("shipped", True), ("imagenet", False), ("a.npz", False)]
)
def test_random_and_exported_weights_have_no_statistics(word: str, lacks: bool) -> None:
    assert weights.lacks_statistics(word) is lacks


def test_a_graph_of_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "torn.onnx").write_bytes(weights.SHIPPED.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"torn\.onnx: not a model that pyojeong exported"):
        weights.load_initial_weights(MobileNetV3Small(7), str(tmp_path / "torn.onnx"))
    with pytest.raises(InputError, match=r"none\.onnx: not a model that pyojeong exported"):
        load_onnx(tmp_path / "none.onnx")
