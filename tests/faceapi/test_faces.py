import subprocess
import sys
import zipfile

import numpy as np
import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.labels import FACEAPI
from pyojeong.faceapi.faces import ImageFaces, faces
from tests.faceapi.faces import jpeg, portrait


def test_every_face_of_every_image_is_listed(tmp_path):
    two = np.hstack([portrait(0)[0], portrait(1)[0]])
    (tmp_path / "crowd.jpg").write_bytes(jpeg(two))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("폴더/하나.jpg", jpeg(portrait(2)[0]))
    (tmp_path / "bad.jpg").write_bytes(b"?")
    paths = [tmp_path / "crowd.jpg", f"{tmp_path}/x.zip!/폴더/하나.jpg", tmp_path / "bad.jpg", tmp_path / "gone.jpg"]
    crowd, member, bad, gone = faces(paths)
    assert len(crowd.faces) == 2
    assert (crowd.width, crowd.height) == (960, 640)
    assert crowd.faces[0].expressions is not None
    assert tuple(crowd.faces[0].expressions) == FACEAPI
    assert sum(crowd.faces[0].expressions.values()) == pytest.approx(1, abs=1e-6)
    assert crowd.faces[0].score >= crowd.faces[1].score
    assert member.image.endswith("하나.jpg")
    assert len(member.faces) == 1
    content = crowd.to_dict()
    assert list(content) == ["image", "width", "height", "faces"]
    assert list(content["faces"][0]) == ["box", "score", "expressions"]
    assert list(content["faces"][0]["box"]) == ["minX", "minY", "maxX", "maxY"]
    assert tuple(content["faces"][0]["box"].values()) == crowd.faces[0].box
    assert bad == ImageFaces(str(tmp_path / "bad.jpg"), error="not_an_image")
    assert bad.to_dict() == {"image": str(tmp_path / "bad.jpg"), "error": "not_an_image"}
    assert gone.to_dict() == {"image": str(tmp_path / "gone.jpg"), "error": "missing"}


def test_a_relative_path_starts_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(jpeg(portrait(0)[0]))
    monkeypatch.chdir(tmp_path)
    (result,) = faces(["a.jpg"], input_size=320)
    assert len(result.faces) == 1


def test_options_reach_the_detector(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(portrait(0)[0]))
    (strict,) = faces([tmp_path / "a.jpg"], score_threshold=0.9999)
    assert strict.faces == ()
    with pytest.raises(InputError, match="choose one of onnx, node"):
        list(faces([tmp_path / "a.jpg"], engine="gpu"))


def test_the_small_installation_is_enough():
    """Only numpy, Pillow and onnxruntime come with a plain pip install."""
    script = (
        "import sys\n"
        "for name in ('polars', 'onnx', 'distributed', 'torch'): sys.modules[name] = None\n"
        "import pyojeong.faceapi.faces\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
