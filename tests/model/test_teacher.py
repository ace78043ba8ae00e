import base64
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pyojeong.core.errors import InputError
from pyojeong.core.npm import find_package
from pyojeong.faceapi import engines
from pyojeong.faceapi.weights import PACKAGE, read_weights
from pyojeong.model.network import normalize
from pyojeong.model.teacher import SIZES, FaceRecognitionNet, Teacher, fingerprint, load_teacher
from pyojeong.sample.drawing import draw_face
from tests.conftest import REPOSITORY
from tests.networks import write_face_mobilenet

LIBRARY_SIZE = 150


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    torch.manual_seed(0)
    return load_teacher("dlib", 7, "").eval()


def test_features_equal_the_library_s(teacher: Teacher) -> None:
    pixels, _ = draw_face("기쁨", 3, (LIBRARY_SIZE, LIBRARY_SIZE))
    request = json.dumps({"size": LIBRARY_SIZE, "pixels": base64.b64encode(pixels.tobytes()).decode()})
    libraries = Path(engines.__file__).parent / "node/libraries.mjs"
    command = ["node", str(REPOSITORY / "tests/descriptor.mjs"), str(find_package(PACKAGE).parents[2]), str(libraries)]
    output = subprocess.run(command, input=request, capture_output=True, text=True, check=True).stdout
    expected = np.frombuffer(base64.b64decode(json.loads(output.splitlines()[-1])), np.float32)

    # @vladmandic's library divides by 255 and takes 150 pixels.
    mean = torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1)
    prepared = (torch.from_numpy(pixels).permute(2, 0, 1)[None].float() - mean) / 255
    with torch.inference_mode():
        pooled = teacher.features[1:](prepared).mean((2, 3)).numpy()
    assert np.abs(pooled @ read_weights("face_recognition_model")["fc"] - expected).max() < 1e-5
    assert np.abs(expected).max() > 0.1


def test_pixels_are_converted_to_the_library_s_range(teacher: Teacher) -> None:
    pixels = torch.rand(2, 3, SIZES["dlib"], SIZES["dlib"])
    mean = torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1)
    assert (teacher.features[0](normalize(pixels)) - (255 * pixels - mean) / 256).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["dlib", "vggface2"])
def test_teachers_give_logits_and_every_parameter_a_gradient(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = load_teacher(kind, 7, str(write_face_mobilenet(tmp_path / "faces.safetensors")))
    logits = network(torch.rand(2, 3, 160, 160))
    logits.sum().backward()
    assert (logits.shape, logits.dtype) == ((2, 7), torch.float32)
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in network.parameters())


def test_a_folded_teacher_gives_the_same_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    torch.manual_seed(0)
    network = load_teacher("dlib", 7, "").eval()
    assert isinstance(network, FaceRecognitionNet)
    pixels = torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        logits = network(pixels)
        network.fold()
        assert (network(pixels) - logits).abs().max() < 1e-5 < logits.std()


@pytest.mark.parametrize("capable", [{}, {"avx512_bf16": True}, {"amx_bf16": True}])
def test_bfloat16_is_used_where_available_and_accurate_enough(
    teacher: Teacher, capable: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    dtypes: list[torch.dtype] = []
    hook = teacher.features.register_forward_hook(lambda _layer, _input, maps: dtypes.append(maps.dtype))
    pixels = torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
        exact = teacher(pixels).softmax(1)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capable)
        assert (teacher(pixels).softmax(1) - exact).abs().max() < 0.01
    hook.remove()
    assert dtypes == [torch.float32, torch.bfloat16 if capable else torch.float32]


def test_missing_and_foreign_weights_are_load_teacher(tmp_path: Path) -> None:
    def load(name: str) -> None:
        load_teacher("vggface2", 7, str(tmp_path / name))

    save_file({"0.weight": torch.zeros(3), "0.bias": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    remedy = "run scripts/vggface2.py and set teacher_weights to its file"
    with pytest.raises(InputError, match=rf"none.safetensors: no such file; {remedy}"):
        load("none.safetensors")
    with pytest.raises(InputError, match=f"weights of the teacher vggface2 belong to another network; {remedy}"):
        load("foreign.safetensors")
    path = write_face_mobilenet(tmp_path / "faces.safetensors")
    state = load_file(path)
    save_file({**state, "4.bias": torch.full_like(state["4.bias"], math.nan)}, path)
    with pytest.raises(InputError, match=f"vggface2 are damaged, some are not finite; {remedy}"):
        load("faces.safetensors")
    del state["4.bias"]
    save_file(state | {"other": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=f"vggface2 are damaged; {remedy}"):
        load("faces.safetensors")


@pytest.mark.parametrize("manifest", ["{}", "[]", "[1]", "nonsense"])
def test_a_damaged_npm_package_is_load_teacher(manifest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/face_recognition_model-weights_manifest.json").write_text(manifest)
    monkeypatch.setattr("pyojeong.faceapi.weights.find_package", lambda _: tmp_path)
    with pytest.raises(InputError, match=r"face_recognition_model|run `npm ci` in the project folder again"):
        load_teacher("dlib", 7, "")


def test_the_last_map_is_2_by_2(teacher: Teacher) -> None:
    with torch.inference_mode():
        assert teacher.features(torch.rand(1, 3, 160, 160)).shape == (1, 256, 2, 2)


def test_fingerprints_tell_weights_and_sizes_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [str(write_face_mobilenet(tmp_path / f"{seed}.safetensors", seed)) for seed in (1, 2)]
    prints = [fingerprint("vggface2", file) for file in files] + [fingerprint("dlib", file) for file in files]
    assert len(set(prints)) == 3
    assert prints[2] == prints[3]
    monkeypatch.setitem(SIZES, "dlib", 150)
    assert fingerprint("dlib", "") not in prints
