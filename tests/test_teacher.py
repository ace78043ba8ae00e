import base64
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from pyojeong.batches import normalise
from pyojeong.drawing import draw_face
from pyojeong.errors import InputError
from pyojeong.faceapi import engines
from pyojeong.faceapi.weights import find_package, read_weights
from pyojeong.teacher import SIZE, Teacher
from tests.conftest import REPOSITORY

LIBRARY_SIZE = 150


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    torch.manual_seed(0)
    teacher = Teacher(7)
    teacher.load_faces()
    return teacher.eval()


def test_features_are_those_of_the_library(teacher: Teacher) -> None:
    pixels, _ = draw_face("기쁨", 3, (LIBRARY_SIZE, LIBRARY_SIZE))
    given = json.dumps({"size": LIBRARY_SIZE, "pixels": base64.b64encode(pixels.tobytes()).decode()})
    libraries = Path(engines.__file__).parent / "node/libraries.mjs"
    command = ["node", str(REPOSITORY / "tests/descriptor.mjs"), str(find_package().parents[2]), str(libraries)]
    answer = subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout
    expected = np.frombuffer(base64.b64decode(json.loads(answer.splitlines()[-1])), np.float32)

    # The library divides by 255 since it is @vladmandic's, and looks at 150 pixels.
    mean = torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1)
    prepared = (torch.from_numpy(pixels).permute(2, 0, 1)[None].float() - mean) / 255
    with torch.inference_mode():
        pooled = teacher.features[1:](prepared).mean((2, 3)).numpy()
    assert np.abs(pooled @ read_weights("face_recognition_model")["fc"] - expected).max() < 1e-5
    assert np.abs(expected).max() > 0.1


def test_pixels_are_put_into_the_library_s_range(teacher: Teacher) -> None:
    pixels = torch.rand(2, 3, SIZE, SIZE)
    mean = torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1)
    assert (teacher.features[0](normalise(pixels)) - (255 * pixels - mean) / 256).abs().max() < 1e-5


def test_a_face_gives_logits_and_every_part_learns(teacher: Teacher) -> None:
    logits = teacher(torch.rand(2, 3, 160, 160))
    logits.sum().backward()
    assert logits.shape == (2, 7)
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in teacher.parameters())


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="face_recognition_model-weights_manifest"):
        Teacher(7).load_faces(tmp_path)
