import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from pyojeong import __version__
from pyojeong.classifier import Classifier
from pyojeong.core import geometry
from pyojeong.core.errors import InputError
from pyojeong.core.images import Pixels
from pyojeong.core.labels import K7
from pyojeong.export import onnx_file
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.model.network import MEAN, STD, MobileNetV3Small

FRAMING = geometry.Framing(-0.1, -0.125, 0.76, "detector", "landmarks")


def trained() -> Checkpoint:
    """A network in which every part matters: statistics as after training, and predictions far from uniform."""
    torch.manual_seed(0)
    network = MobileNetV3Small(7)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 160, 160))
    for name, value in network.classifier.named_parameters():
        if name.endswith("weight"):
            torch.nn.init.kaiming_normal_(value)
    return Checkpoint(
        state_dict=network.eval().state_dict(),
        classes=K7.classes,
        scheme="K7",
        recipe={},
        framing=FRAMING,
        temperature=1.3,
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("run") / "best.pt"
    trained().save(path)
    return path


@pytest.fixture(scope="module")
def model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_file.export_onnx(checkpoint, tmp_path_factory.mktemp("export"))


def photographs(shape: tuple[int, ...]) -> Pixels:
    """Noise with edges and smooth areas, uint8."""
    noise = np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)
    noise[..., : shape[-3] // 2, :, :] //= 9
    noise[..., shape[-2] // 3 :, :] |= 64
    return noise


def run(model: Path | bytes, image: Pixels, outputs: Sequence[str] | None = None) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(outputs, {"image": image})[0])


def test_the_graph_gives_the_checkpoint_s_probabilities(checkpoint: Path, model: Path) -> None:
    patches = photographs((5, 160, 160, 3))
    loaded = Checkpoint.load(checkpoint)
    with torch.inference_mode():
        pixels = (
            torch.from_numpy(patches).permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN).view(3, 1, 1)
        ) / torch.tensor(STD).view(3, 1, 1)
        expected = (loaded.network()(pixels) / 1.3).softmax(1).numpy()
    probabilities = run(model, patches)

    assert expected.max() > 0.5  # nearly uniform probabilities would hide differences
    assert np.abs(probabilities - expected).max() < 1e-4
    assert probabilities.sum(1) == pytest.approx(np.ones(5), abs=1e-5)


def test_alpha_does_not_matter(model: Path) -> None:
    patches = photographs((2, 160, 160, 3))
    alpha = np.random.default_rng(5).integers(0, 256, (2, 160, 160, 1), dtype=np.uint8)

    assert np.array_equal(run(model, np.concatenate([patches, alpha], -1)), run(model, patches))


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (160, 160),
        (24, 24),
        (80, 80),
        (159, 159),
        (161, 161),
        (200, 200),
        (453, 453),
        (1200, 1200),
        (90, 500),
        (500, 380),
    ],
)
@pytest.mark.parametrize("channels", [3, 4])
def test_the_graph_resizes_as_training_does(model: Path, height: int, width: int, channels: int) -> None:
    graph = onnx.load(model)
    graph.graph.output.append(onnx.helper.make_tensor_value_info("levels", onnx.TensorProto.FLOAT, None))
    image = photographs((2, height, width, channels))
    levels = run(graph.SerializeToString(), image, ["levels"]).transpose(0, 2, 3, 1)
    expected = np.stack([geometry.resize(pixels) for pixels in image[..., :3]]).astype(float)

    assert np.abs(levels - expected).max() <= 1
    assert np.abs(levels - expected).mean() < 0.02


def test_the_metadata_describe_the_model(model: Path) -> None:
    facts = {entry.key: entry.value for entry in onnx.load(model).metadata_props}

    assert json.loads(facts["classes"]) == list(K7.classes)
    assert (facts["scheme"], facts["size"], float(facts["temperature"])) == ("K7", "160", 1.3)
    assert (float(facts["margin"]), float(facts["offset"]), facts["box_kind"]) == (-0.1, -0.125, "detector")
    assert (float(facts["aspect"]), facts["aligned_by"]) == (0.76, "landmarks")
    assert facts["version"] == __version__
    assert facts["synthetic"] == "false"
    assert json.loads((model.parent / "classes.json").read_text(encoding="utf-8")) == {"classes": list(K7.classes)}
    assert model.name == "k7_mnv3s_160.onnx"


def test_the_file_is_small_and_names_no_path_of_this_machine(model: Path) -> None:
    content = model.read_bytes()
    graph = onnx.load(model)

    assert len(content) < 6_200_000
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    assert {node.domain for node in graph.graph.node} == {""}
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 18)]
    assert str(Path(onnx_file.__file__).parent).encode() not in content
    assert b".py" not in content


def test_the_classifier_reads_it(checkpoint: Path, model: Path) -> None:
    photograph = photographs((300, 400, 3))
    box = (120, 60, 230, 210)
    answer = Classifier(model).predict(photograph, box)
    crop = geometry.face_crop(photograph, box, FRAMING)
    expected = onnx_file.probabilities(Checkpoint.load(checkpoint), crop[None])[0]

    assert tuple(answer) == K7.classes
    # The graph's resize may differ from Pillow's by one level.
    assert np.abs(np.array([*answer.values()]) - expected).max() < 0.02


def test_the_small_model_is_expanded_when_it_is_loaded(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patches = [*photographs((4, 160, 160, 3))]
    small = model.with_name("k7_mnv3s_160_8bit.onnx")
    plain = onnxruntime.InferenceSession(small, providers=["CPUExecutionProvider"])
    used: list[onnxruntime.SessionOptions] = []
    original = onnxruntime.InferenceSession

    def session(path: Path, options: onnxruntime.SessionOptions, **rest: Any) -> Any:
        options.optimized_model_filepath = str(path.with_suffix(".expanded"))
        used.append(options)
        return original(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    probabilities = Classifier(small).predict_patches(patches)
    loaded = onnx.load(used[0].optimized_model_filepath)

    # The expanded weights are constants, so no node is left to run.
    assert "DequantizeLinear" in {node.op_type for node in onnx.load(small).graph.node}
    assert "DequantizeLinear" not in {node.op_type for node in loaded.graph.node}
    assert np.abs(probabilities - np.asarray(plain.run(None, {"image": np.stack(patches)})[0])).max() < 1e-5


def test_a_graph_that_differs_is_not_written(
    checkpoint: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = onnx.load(model)
    (temperature,) = (value for value in wrong.graph.initializer if value.name == "temperature")
    temperature.CopyFrom(onnx.numpy_helper.from_array(np.array(1.5, np.float32), "temperature"))
    monkeypatch.setattr(onnx_file, "build", lambda _: wrong.SerializeToString())

    with pytest.raises(RuntimeError, match=r"differs from .* not written"):
        onnx_file.export_onnx(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_graph_that_gives_nan_is_not_written(
    checkpoint: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = onnx.load(model)
    (temperature,) = (value for value in wrong.graph.initializer if value.name == "temperature")
    temperature.CopyFrom(onnx.numpy_helper.from_array(np.array(np.nan, np.float32), "temperature"))
    monkeypatch.setattr(onnx_file, "build", lambda _: wrong.SerializeToString())

    with pytest.raises(RuntimeError, match="not written"):
        onnx_file.export_onnx(checkpoint, tmp_path / "out")


def test_folding_changes_nothing() -> None:
    network = trained().network()
    folded = onnx_file.fold_batchnorm(network)
    pixels = torch.randn(2, 3, 160, 160)

    with torch.inference_mode():
        assert torch.allclose(folded(pixels), network(pixels), atol=1e-3)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"best\.pt: no such file"):
        onnx_file.export_onnx(tmp_path / "best.pt", tmp_path)


def of_scheme(name: str, classes: tuple[str, ...], path: Path) -> Path:
    """A checkpoint of a random network for other classes."""
    network = MobileNetV3Small(len(classes))
    Checkpoint(
        state_dict=network.state_dict(), classes=classes, scheme=name, recipe={}, framing=FRAMING, temperature=1.0
    ).save(path)
    return path


def test_models_of_one_folder_have_the_same_classes(checkpoint: Path, tmp_path: Path) -> None:
    """The file classes.json belongs to all of them."""
    moods = of_scheme("Moods", ("밝음", "어두움"), tmp_path / "moods.pt")
    out = tmp_path / "out"
    assert onnx_file.export_onnx(moods, out).name == "moods_mnv3s_160.onnx"
    before = {path: path.read_bytes() for path in out.iterdir()}
    message = (
        r"classes\.json: belongs to moods_mnv3s_160.onnx, moods_mnv3s_160_8bit.onnx, and this model has other classes; "
        "give another --out, or remove the other models"
    )
    with pytest.raises(InputError, match=message):
        onnx_file.export_onnx(checkpoint, out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before

    onnx_file.export_onnx(moods, out, "second.onnx")
    for name in ("moods_mnv3s_160", "moods_mnv3s_160_8bit", "second", "second_8bit"):
        assert Classifier(out / f"{name}.onnx").classes == ("밝음", "어두움")
    assert json.loads((out / "classes.json").read_text(encoding="utf-8")) == {"classes": ["밝음", "어두움"]}


def test_a_model_is_replaced_by_one_of_other_classes_and_a_damaged_list_of_classes_too(
    checkpoint: Path, tmp_path: Path
) -> None:
    moods = of_scheme("moods", ("밝음", "어두움"), tmp_path / "moods.pt")
    onnx_file.export_onnx(moods, tmp_path, "own.onnx")
    onnx_file.export_onnx(checkpoint, tmp_path, "own.onnx")
    assert json.loads((tmp_path / "classes.json").read_text(encoding="utf-8")) == {"classes": list(K7.classes)}
    (tmp_path / "classes.json").write_text("{")
    onnx_file.export_onnx(checkpoint, tmp_path, "other.onnx")
    assert json.loads((tmp_path / "classes.json").read_text(encoding="utf-8")) == {"classes": list(K7.classes)}


@pytest.mark.parametrize("name", ["../other.onnx", "folder/model.onnx", "model", "", ".onnx"])
def test_the_model_stays_in_its_folder(name: str, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="is not a file name for a model; give one like k7"):
        onnx_file.export_onnx(checkpoint, out, name)
    assert [*tmp_path.rglob("*.onnx")] == []
