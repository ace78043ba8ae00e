import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyojeong.core.errors import InputError
from pyojeong.faceapi.weights import read_weights

SCALE, MINIMUM = 0.009007044399485869, -1.2069439495311063


def write_package(folder: Path, data: bytes, entries: list[dict[str, Any]]) -> Path:
    (folder / "model").mkdir(parents=True)
    (folder / "package.json").write_text('{"version": "9.8.7"}')
    half = len(data) // 2
    (folder / "model" / "a.bin").write_bytes(data[:half])
    (folder / "model" / "b.bin").write_bytes(data[half:])
    manifest = [{"weights": entries, "paths": ["a.bin", "b.bin"]}]
    (folder / "model" / "net-weights_manifest.json").write_text(json.dumps(manifest))
    return folder


ENTRIES: list[dict[str, Any]] = [
    {
        "name": "w",
        "shape": [2, 3],
        "dtype": "float32",
        "quantization": {"dtype": "uint8", "scale": SCALE, "min": MINIMUM},
    },
    {"name": "b", "shape": [2], "dtype": "float32"},
]
DATA = bytes([0, 1, 134, 200, 254, 255]) + np.array([0.25, -3.5], "<f4").tobytes()


def test_shards_are_joined_and_bytes_become_the_floats_of_tfjs(tmp_path):
    tensors = read_weights("net", write_package(tmp_path / "p", DATA, ENTRIES))
    expected = [np.float32(level * SCALE + MINIMUM) for level in (0, 1, 134, 200, 254, 255)]
    assert list(tensors) == ["w", "b"]
    assert tensors["w"].dtype == np.float32
    assert tensors["w"].tolist() == np.reshape(expected, (2, 3)).tolist()
    assert tensors["b"].tolist() == [0.25, -3.5]


@pytest.mark.parametrize(("data", "words"), [(DATA[:-3], "end inside b"), (DATA + b"xy", "2 bytes are left over")])
def test_a_manifest_that_does_not_fit_its_shards_is_refused(tmp_path, data, words):
    with pytest.raises(InputError, match=words):
        read_weights("net", write_package(tmp_path / "p", data, ENTRIES))


def test_a_missing_shard_or_model_is_named(tmp_path):
    package = write_package(tmp_path / "p", DATA, ENTRIES)
    with pytest.raises(InputError, match=r"other-weights_manifest\.json"):
        read_weights("other", package)
    (package / "model" / "b.bin").unlink()
    with pytest.raises(InputError, match=r"b\.bin"):
        read_weights("net", package)
