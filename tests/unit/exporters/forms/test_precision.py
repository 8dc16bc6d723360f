import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from exporters.errors import TranslationError
from exporters.forms.precision import in_eight_bits, in_half_precision

SIDE = 16
IMAGES = [np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8) for seed in range(4)]


def network(layers: int) -> onnx.ModelProto:
    """Pixels → `layers` convolutions → the best of four labels."""
    draw = np.random.default_rng(1)
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "scale"], ["value_0"]),
    ]
    weights = [numpy_helper.from_array(np.array(1 / 255, np.float32), "scale")]
    for place in range(layers):
        shape = (4, 3 if not place else 4, 3, 3)
        weights.append(numpy_helper.from_array(draw.normal(0, 0.5, shape).astype(np.float32), f"weight_{place}"))
        nodes.append(helper.make_node("Conv", [f"value_{place}", f"weight_{place}"], [f"map_{place}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"map_{place}"], [f"value_{place + 1}"]))
    nodes.append(helper.make_node("ArgMax", [f"value_{layers}"], ["best"], axis=1, keepdims=0))
    nodes.append(helper.make_node("Cast", ["best"], ["labels"], to=TensorProto.UINT8))
    graph = helper.make_graph(
        nodes,
        "labels",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("labels", TensorProto.UINT8, ["N", SIDE, SIDE])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answers(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": np.stack(IMAGES)})[0]


@given(st.integers(1, 3))
def test_layers_get_eight_bits_and_pixels_and_labels_stay_as_they_are(layers: int) -> None:
    model = network(layers)
    form = in_eight_bits(network(layers), IMAGES)
    kinds = {node.op_type: sum(one.op_type == node.op_type for one in form.graph.node) for node in form.graph.node}
    assert kinds["Conv"] == layers
    assert kinds["DequantizeLinear"] > layers, "weights and values are quantized"
    first = next(place for place, node in enumerate(form.graph.node) if node.op_type == "QuantizeLinear")
    assert {node.op_type for node in form.graph.node[:first]} >= {"Cast", "Transpose"}
    assert (answers(form) == answers(model)).mean() > 0.9


@given(st.integers(1, 3))
def test_half_precision_keeps_the_types_of_inputs_and_outputs(layers: int) -> None:
    model = network(layers)
    onnx.checker.check_model(model)
    (place,) = (place for place, node in enumerate(model.graph.node) if node.output[0] == "value_1")
    model.graph.node[place].output[0] = "bare"
    model.graph.node.insert(place + 1, helper.make_node("Cast", ["bare"], ["value_1"], to=TensorProto.FLOAT))
    form = in_half_precision(model)
    onnx.checker.check_model(form)
    values = (*form.graph.input, *form.graph.output)
    assert [value.type.tensor_type.elem_type for value in values] == [TensorProto.UINT8] * 2
    assert any(tensor.data_type == TensorProto.FLOAT16 for tensor in form.graph.initializer)
    assert (answers(form) == answers(network(layers))).mean() > 0.95


def test_what_is_in_eight_bits_or_has_no_layers_is_refused() -> None:
    with pytest.raises(TranslationError, match="eight bits already"):
        in_half_precision(in_eight_bits(network(1), IMAGES))
    with pytest.raises(TranslationError, match="no layer with weights"):
        in_half_precision(network(0))
