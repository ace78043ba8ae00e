import numpy as np
import onnx
import onnxruntime
import pytest

from pyojeong.core.onnx_graph import GraphWriter, replace_contents


def written() -> GraphWriter:
    """A graph that computes y = relu(2 * x + 1)."""
    writer = GraphWriter()
    x = writer.input("x", ["N", 3])
    scaled = writer.node("Mul", x, writer.constant("two", 2.0))
    shifted = writer.node("Add", scaled, writer.constant("one", np.ones((1, 3))))
    writer.output(writer.node("Relu", shifted, output="y"), ["N", 3])
    return writer


def test_the_graph_computes_what_was_written() -> None:
    model = written().serialize("test", opset=17, ir_version=8, metadata={"key": "value"})
    x = np.array([[0, 1, -2]], np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    assert np.asarray(session.run(["y"], {"x": x})[0]).tolist() == [[1, 3, 0]]
    assert session.get_modelmeta().custom_metadata_map == {"key": "value"}
    assert onnx.load_from_string(model).ir_version == 8


def test_constants_have_the_types_of_onnx() -> None:
    writer = GraphWriter()
    writer.constant("integers", [1, 2])
    writer.constant("float", 0.5)
    writer.constant("doubles", np.zeros(2))
    writer.constant("small", np.zeros(2, np.int32))

    dtypes = {name: value.dtype for name, value in writer.constants.items()}
    assert dtypes == {"integers": np.int64, "float": np.float32, "doubles": np.float32, "small": np.int32}


def test_another_graph_is_appended() -> None:
    writer = GraphWriter()
    writer.append(onnx.load_from_string(written().serialize("test", opset=17, ir_version=8)).graph)

    assert [node.op_type for node in writer.nodes] == ["Mul", "Add", "Relu"]
    assert {name: value.tolist() for name, value in writer.constants.items()} == {"two": 2, "one": [[1, 1, 1]]}


def test_an_incomplete_graph_is_refused() -> None:
    writer = written()
    writer.node("Relu", "missing")
    with pytest.raises(onnx.checker.ValidationError, match="missing"):
        writer.serialize("test", opset=17, ir_version=8)


def test_contents_can_be_replaced_by_a_selection_of_themselves() -> None:
    graph = onnx.load_from_string(written().serialize("test", opset=17, ir_version=8)).graph
    replace_contents(graph, (node for node in graph.node if node.op_type != "Relu"), graph.initializer)

    assert [node.op_type for node in graph.node] == ["Mul", "Add"]
    assert [tensor.name for tensor in graph.initializer] == ["two", "one"]
