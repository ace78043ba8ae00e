import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pyojeong.export.onnx_file import OPSET
from pyojeong.export.wasm import MAX_SIDE_BY_ROW, MAX_SIDE_WHOLE, optimize_for_wasm, row_taps, whole_taps


def graph_of(layer: nn.Conv2d, side: int) -> onnx.ModelProto:
    """The graph that torch's exporter writes of a convolution, in a thousandth of its time."""
    values = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    padding = [int(value) for value in layer.padding]
    node = helper.make_node(
        "Conv",
        ["x", *values],
        ["y"],
        name="node_conv2d",
        group=layer.groups,
        pads=padding * 2,
        auto_pad="NOTSET",
        strides=layer.stride,
        dilations=layer.dilation,
        kernel_shape=layer.kernel_size,
    )
    _, channels, height, width = layer(torch.zeros(1, layer.in_channels, side, side)).shape
    graph = helper.make_graph(
        [node],
        "main_graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", layer.in_channels, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", channels, height, width])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def test_the_graphs_of_these_tests_are_those_of_the_exporter() -> None:
    layer = nn.Conv2d(6, 6, 5, padding=4, groups=6, dilation=2, stride=2).eval()
    program = torch.onnx.export(
        layer,
        (torch.zeros(2, 6, 10, 10),),
        dynamo=True,
        opset_version=OPSET,
        input_names=["x"],
        output_names=["y"],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        verbose=False,
    )
    assert program is not None
    written, own = (model.graph.node for model in (program.model_proto, graph_of(layer, 10)))
    facts = [
        (node.op_type, [*node.input], [*node.output], {a.name: helper.get_attribute_value(a) for a in node.attribute})
        for node in (*written, *own)
    ]
    assert len(facts) == 2
    assert facts[0] == facts[1]


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("kernel", "side"), [(5, 5), (5, 10), (7, MAX_SIDE_WHOLE), (5, MAX_SIDE_WHOLE + 1), (5, 3), (7, MAX_SIDE_BY_ROW)]
)
def test_a_depthwise_convolution_of_a_small_map_becomes_a_product(kernel: int, side: int, bias: bool) -> None:
    torch.manual_seed(kernel * side)
    plain = graph_of(nn.Conv2d(6, 6, kernel, padding=kernel // 2, groups=6, bias=bias), side)
    optimized = copy.deepcopy(plain)
    optimize_for_wasm(optimized)
    onnx.checker.check_model(optimized, full_check=True)
    x = np.random.default_rng(0).normal(size=(3, 6, side, side)).astype(np.float32)

    assert run(optimized, x) == pytest.approx(run(plain, x), abs=1e-5)
    assert "Gather" in operators(optimized)
    assert ("Conv" in operators(optimized)) == (side > MAX_SIDE_WHOLE)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 6, 3, padding=1, groups=6),
        nn.Conv2d(6, 6, 5, padding=2, groups=6, stride=2),
        nn.Conv2d(6, 6, 5, padding=4, groups=6, dilation=2),
        nn.Conv2d(6, 6, 5, padding=0, groups=6),
        nn.Conv2d(6, 12, 5, padding=2, groups=6),
        nn.Conv2d(6, 6, 5, padding=2),
    ],
)
def test_other_convolutions_are_not_rewritten(layer: nn.Conv2d) -> None:
    model = graph_of(layer, 10)
    before = operators(model)
    optimize_for_wasm(model)
    assert operators(model) == before


def test_convolutions_of_large_maps_are_not_rewritten() -> None:
    model = graph_of(nn.Conv2d(6, 6, 5, padding=2, groups=6), MAX_SIDE_BY_ROW + 1)
    optimize_for_wasm(model)
    assert operators(model) == ["Conv"]


def test_onnxruntime_does_not_undo_the_rewrite(exported: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    # The level of onnxruntime-web, which has no kernels with blocked channels.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(exported / "k7_mnv3s_160.onnx", options)
    model = onnx.load(options.optimized_model_filepath)
    sizes = {value.name: list(value.dims) for value in model.graph.initializer}
    wide = [node for node in model.graph.node if sizes.get((*node.input, "", "")[1], [])[1:] == [1, 5, 10]]

    # Matrices are computed at load; gates are dense layers with a fused activation.
    assert "Gather" not in operators(model)
    assert operators(model).count("FusedGemm") == 18
    assert [sizes[node.input[1]] for node in model.graph.node if node.op_type == "MatMul"] == [[576, 25, 25]] * 2
    # Padding inside the convolution would cost as much as the rewrite saves.
    assert len(wide) == 4
    for node in wide:
        pads = [attribute.ints for attribute in node.attribute if attribute.name == "pads"]
        assert not any(map(any, pads))


def test_taps_join_each_position_to_its_neighbors() -> None:
    whole = whole_taps(3, 4).reshape(4, 4, 4, 4)
    rows = row_taps(3, 4)

    assert whole[1, 2, 1, 2] == 4  # the middle of the kernel
    assert whole[0, 1, 1, 2] == 0  # above and to the left
    assert whole[0, 0, 0, 2] == 9  # too far: none
    assert (whole < 9).sum() == (3 * 4 - 2) ** 2
    assert rows.shape == (4, 3, 4)
    assert rows[1].tolist() == [[0, 1, 2, 9], [3, 4, 5, 9], [6, 7, 8, 9]]
    assert rows[0].tolist() == [[1, 2, 9, 9], [4, 5, 9, 9], [7, 8, 9, 9]]
