"""How weights of an ONNX file come into the memory of the browser's engine, in Node."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = """
import { instantiate, kernelsModule } from './web/kernels.js';
import { Layout } from './web/layout.js';
import { Tensor } from './web/tensor.js';
const { kind, shape, type, raw, scales, block, bias } = JSON.parse(process.argv[1]);
const weights = Tensor.read(shape, type, Uint8Array.from(raw)).dequantized(Float32Array.from(scales), block).times(0.5);
const layer = { kind, weights, bias: Float32Array.from(bias), activation: 'none', output: { channels: shape[0] } };
const layout = new Layout();
layout.addLayer(layer);
const { kernels, memory } = await instantiate(await kernelsModule(), layout.pages);
layout.fill(memory.buffer, kernels);
const [address] = new Int32Array(memory.buffer, layout.layerAt(layer));
console.log(JSON.stringify([...new Float32Array(memory.buffer, address, Number(process.argv[2]))]));
"""


def pack_in_node(layer: dict[str, Any], size: int) -> NDArray[np.float32]:
    command = ["node", "--input-type=module", "-e", SCRIPT, json.dumps(layer), str(size)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return np.array(json.loads(done.stdout), np.float32)


def numbers(kind: int, count: int) -> tuple[NDArray[np.float32], bytes]:
    """Return random numbers and how a file holds them."""
    random = np.random.default_rng(count)
    if kind == TensorProto.INT4:
        values = random.integers(-8, 8, count + count % 2)
        return values[:count].astype(np.float32), ((values[1::2] & 15) << 4 | values[::2] & 15).astype(
            np.uint8
        ).tobytes()
    if kind == TensorProto.INT8:
        whole = random.integers(-128, 128, count, np.int8)
        return whole.astype(np.float32), whole.tobytes()
    floats = random.normal(size=count).astype(np.float16 if kind == TensorProto.FLOAT16 else np.float32)
    floats[: min(count, 2)] = [3e-7, 0][:count]  # the first is denormal with 16 bits
    return floats.astype(np.float32), floats.tobytes()


def packed(values: NDArray[np.float32], bias: NDArray[np.float32], group: int, inputs: int) -> NDArray[np.float32]:
    """Return weights [channels, depth, area] as the kernels read them."""
    channels, depth, area = values.shape
    parts = []
    for begin in range(0, channels, group):
        own = values[begin : begin + group]
        lanes = min(group, -(-(channels - begin) // 4) * 4)
        rows = np.zeros((1 + area * inputs, lanes), np.float32)
        rows[0, : len(own)] = bias[begin : begin + group]
        rows[1:].reshape(area, inputs, lanes)[:, :depth, : len(own)] = own.transpose(2, 1, 0)
        parts.append(rows.ravel())
    return np.concatenate(parts)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT4])
@pytest.mark.parametrize(
    ("layer", "shape", "block"),
    [
        ("pointwise", (12, 8, 1, 1), 8),
        ("pointwise", (16, 32, 1, 1), 16),
        ("dense", (7, 6, 1, 1), 42),
        ("pointwise", (9, 10, 1, 1), 5),  # blocks and rows that the kernel does not read
        ("dense", (5, 7, 1, 1), 7),
        ("depthwise", (12, 1, 5, 5), 25),
        ("first", (8, 3, 3, 3), 27),
    ],
)
def test_weights_are_packed_as_the_kernels_read_them(kind: int, layer: str, shape: tuple[int, ...], block: int) -> None:
    channels, depth, rows, columns = shape
    count = channels * depth * rows * columns
    plain, raw = numbers(kind, count)
    scales = np.linspace(0.5, 2, count // block, dtype=np.float32)
    bias = np.arange(channels, dtype=np.float32)
    values = plain * np.repeat(scales, block) * np.float32(0.5)
    group, inputs = (4, depth) if layer == "depthwise" else (8, depth if layer == "first" else -(-depth // 4) * 4)
    expected = packed(values.reshape(channels, depth, rows * columns), bias, group, inputs)
    given = {"kind": layer, "shape": shape, "type": kind, "block": block, "raw": [*raw]}
    got = pack_in_node(given | {"scales": scales.tolist(), "bias": bias.tolist()}, len(expected))
    np.testing.assert_allclose(got, expected, rtol=1e-6)
