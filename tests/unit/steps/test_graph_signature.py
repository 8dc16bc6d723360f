import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from exporters.catalogue import DEFAULT_PATHS
from steps.ensemble import load_fitting
from steps.graph_signature import ANY, TYPES, Signature, TensorSpec, UnfitConfigError, require_fit
from steps.model_folder import ModelConfig
from steps.onnx_session import OnnxSession, SessionOptions

MODELS = sorted(
    config.parent
    for config in DEFAULT_PATHS.model_repository.glob("*/config.pbtxt")
    if ModelConfig(config.parent).backend == "onnxruntime"
)
GRAPH = Signature(
    (TensorSpec("image", "TYPE_UINT8", (ANY, 64, ANY, 3)),),
    (TensorSpec("rows", "TYPE_FP32", (ANY, 100, 6)), TensorSpec("more", "TYPE_FP16", (ANY, ANY))),
)
CONFIG = Signature(
    (TensorSpec("image", "TYPE_UINT8", (64, ANY, 3)),),
    (TensorSpec("rows", "TYPE_FP32", (100, 6)),),
)


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_every_configuration_of_the_repository_fits_its_graph(folder: Path) -> None:
    if not (folder / "1" / "model.onnx").exists():
        pytest.skip(f"{folder.name} is not built on this machine")
    assert load_fitting(folder, SessionOptions(1)).input_names == ModelConfig(folder).input_names


def test_the_repository_has_configurations_of_graphs() -> None:
    assert len(MODELS) >= 9


def with_input(**changes: object) -> Signature:
    return replace(CONFIG, inputs=(replace(CONFIG.inputs[0], **changes),))


def with_output(**changes: object) -> Signature:
    return replace(CONFIG, outputs=(replace(CONFIG.outputs[0], **changes),))


FITTING = {
    "the same": CONFIG,
    "an input's free dimension may be said": with_input(dims=(64, 48, 3)),
    "outputs may be left out": replace(CONFIG, outputs=()),
    "another output": replace(CONFIG, outputs=(TensorSpec("more", "TYPE_FP16", (ANY,)),)),
}
UNFIT = {
    "centernet's rows": (with_output(dims=(ANY, 6)), r"'rows' .*\[-1, -1, 6\].*\[-1, 100, 6\]"),
    "an output's free dimension must stay free": (
        replace(CONFIG, outputs=(TensorSpec("more", "TYPE_FP16", (7,)),)), r"'more' .*\[-1, 7\].*\[-1, -1\]",
    ),
    "an input's fixed dimension": (with_input(dims=(63, ANY, 3)), r"'image' .*\[-1, 63, -1, 3\].*\[-1, 64, -1, 3\]"),
    "an input's fixed dimension left free": (with_input(dims=(ANY, ANY, 3)), r"\[-1, -1, -1, 3\]"),
    "too few dimensions": (with_input(dims=(64, ANY)), r"\[-1, 64, -1\]"),
    "too many dimensions": (with_output(dims=(1, 100, 6)), r"\[-1, 1, 100, 6\]"),
    "an unknown input": (with_input(name="img"), "input 'img' .*which has image"),
    "an unknown output": (with_output(name="out"), "output 'out' .*which has rows, more"),
    "an input's type": (with_input(data_type="TYPE_FP32"), "'image' .*TYPE_FP32.*TYPE_UINT8"),
    "an output's type": (with_output(data_type="TYPE_FP16"), "'rows' .*TYPE_FP16.*TYPE_FP32"),
    "an input too many": (
        replace(CONFIG, inputs=(*CONFIG.inputs, TensorSpec("b", "TYPE_FP32", (1,)))),
        r"requires 2 inputs \(image, b\), the graph has 1 \(image\)",
    ),
    "no input": (replace(CONFIG, inputs=()), r"requires 0 inputs \(none\)"),
}  # fmt: skip


@pytest.mark.parametrize("config", FITTING.values(), ids=FITTING)
def test_a_fitting_configuration_passes(config: Signature) -> None:
    require_fit("mine", config, 8, GRAPH)


@pytest.mark.parametrize(("config", "message"), UNFIT.values(), ids=UNFIT)
def test_an_unfit_configuration_is_refused_with_both_sides(config: Signature, message: str) -> None:
    with pytest.raises(UnfitConfigError, match=f"^mine: .*{message}"):
        require_fit("mine", config, 8, GRAPH)


def test_a_batch_needs_a_first_dimension_of_any_size() -> None:
    fixed = replace(GRAPH, inputs=(TensorSpec("image", "TYPE_UINT8", (1, 64, 64, 3)),))
    with pytest.raises(UnfitConfigError, match=r"'image' .*max_batch_size 8.*\[1, 64, 64, 3\]"):
        require_fit("mine", CONFIG, 8, fixed)


def test_without_batches_shapes_are_compared_whole() -> None:
    whole = Signature(
        (TensorSpec("image", "TYPE_UINT8", (ANY, 64, 9, 3)),), (TensorSpec("rows", "TYPE_FP32", (ANY, 100, 6)),)
    )
    require_fit("mine", whole, 0, GRAPH)
    with pytest.raises(UnfitConfigError, match=r"\[64, -1, 3\]; in the graph it is \[-1, 64, -1, 3\]"):
        require_fit("mine", CONFIG, 0, GRAPH)


@pytest.mark.parametrize(("dims", "fits"), [((), True), ((1,), True), ((1, 1), True), ((2,), False), ((ANY,), False)])
def test_a_scalar_is_written_as_ones(dims: tuple[int, ...], *, fits: bool) -> None:
    graph = Signature((), (TensorSpec("loss", "TYPE_FP32", ()),))
    config = Signature((), (TensorSpec("loss", "TYPE_FP32", dims),))
    if fits:
        require_fit("mine", config, 4, graph)
    else:
        with pytest.raises(UnfitConfigError, match="scalar"):
            require_fit("mine", config, 4, graph)


REPORTED = {
    "onnxruntime_backend 165": ((ANY, ANY, ANY, ANY), (1, 3, 1024, 1024), 0),
    "onnxruntime_backend 220": ((1, 26, 37), (ANY, 26, 37), 256),
    "server 1889": ((1, 1, 128, 128), (1, 1, 128, 128), 1),
    "server 4065": ((ANY, 256, 25), (ANY, 25), 8),
    "server 5834": ((91, 4), (ANY, ANY), 0),
}
"""Outputs that users reported as refused by NVIDIA's backend: in the graph, in the configuration, max_batch_size."""


@pytest.mark.parametrize(("graph", "dims", "batch"), REPORTED.values(), ids=REPORTED)
def test_what_users_reported_as_refused_is_refused(graph: tuple, dims: tuple, batch: int) -> None:
    known, said = (Signature((), (TensorSpec("out", "TYPE_FP32", shape),)) for shape in (graph, dims))
    with pytest.raises(UnfitConfigError, match="'out'"):
        require_fit("mine", said, batch, known)


shapes = st.lists(st.sampled_from((ANY, 1, 3, 64)), min_size=1, max_size=4).map(tuple)


@given(shapes, shapes)
def test_outputs_are_compared_exactly_and_inputs_where_the_graph_is_fixed(graph: tuple, dims: tuple) -> None:
    def fits(config: Signature, known: Signature) -> bool:
        try:
            require_fit("mine", config, 0, known)
        except UnfitConfigError:
            return False
        return True

    known, said = TensorSpec("x", "TYPE_FP32", graph), TensorSpec("x", "TYPE_FP32", dims)
    assert fits(Signature((), (said,)), Signature((), (known,))) == (graph == dims)
    covered = len(graph) == len(dims) and all(a in (ANY, b) for a, b in zip(graph, dims, strict=True))
    assert fits(Signature((said,), ()), Signature((known,), ())) == covered


def test_a_session_tells_names_types_and_free_dimensions(tmp_path: Path) -> None:
    kinds = {"f": TensorProto.FLOAT, "h": TensorProto.FLOAT16, "s": TensorProto.STRING, "b": TensorProto.BOOL}
    inputs = [helper.make_tensor_value_info(name, kind, ["n", 2, None]) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(f"{name}_", kind, ["n", 2, None]) for name, kind in kinds.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}_"]) for name in kinds]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "model.onnx")
    signature = OnnxSession(tmp_path / "model.onnx", SessionOptions(1)).signature
    names = {"f": "TYPE_FP32", "h": "TYPE_FP16", "s": "TYPE_STRING", "b": "TYPE_BOOL"}
    assert signature.inputs == tuple(TensorSpec(name, kind, (ANY, 2, ANY)) for name, kind in names.items())
    assert [tensor.name for tensor in signature.outputs] == ["f_", "h_", "s_", "b_"]


def test_an_initializer_that_is_an_input_may_be_an_optional_one(tmp_path: Path) -> None:
    floats = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xwy"}
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [floats["x"], floats["w"]], [floats["y"]], [weights])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "model.onnx")
    known = OnnxSession(tmp_path / "model.onnx", SessionOptions(1)).signature
    x, w, y = (TensorSpec(name, "TYPE_FP32", (2,)) for name in "xwy")
    require_fit("mine", Signature((x,), (y,)), 0, known)
    require_fit("mine", Signature((x, replace(w, optional=True)), (y,)), 0, known)
    with pytest.raises(UnfitConfigError, match="requires 2 inputs"):
        require_fit("mine", Signature((x, w), (y,)), 0, known)
    with pytest.raises(UnfitConfigError, match="optional"):
        require_fit("mine", Signature((x, replace(w, optional=True)), (y,)), 4, known)


def test_types_are_named_as_onnxruntime_and_triton_name_them() -> None:
    assert len(TYPES) == len(set(TYPES.values())) == 13
    for kind in (np.bool_, np.uint8, np.int64, np.float16, np.float32, np.float64):
        short = {"float16": "FP16", "float32": "FP32", "float64": "FP64"}.get(np.dtype(kind).name)
        own = {"float32": "float", "float64": "double"}.get(np.dtype(kind).name, np.dtype(kind).name)
        assert TYPES[f"tensor({own})"] == f"TYPE_{short or np.dtype(kind).name.upper()}"


CONFIG_TEXT = """
max_batch_size: 8
input [ { name: "image" data_type: TYPE_UINT8 dims: [ 64, -1, 3 ] } ]
output [ { name: "rows" data_type: TYPE_FP32 dims: [ 100, 6 ] } ]
"""


def test_a_configuration_says_the_same_as_text_and_as_tritons_json(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text(CONFIG_TEXT)
    config = ModelConfig(tmp_path)
    assert config.signature == CONFIG
    written: Mapping[str, object] = json_format.MessageToDict(config._config, preserving_proto_field_name=True)
    numbers = json.loads(json.dumps(written).replace('"64"', "64").replace('"-1"', "-1"))
    assert Signature.of_json(numbers) == CONFIG


def test_a_reshape_is_what_the_graph_sees_and_an_optional_input_need_not_be_there(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text(
        'input [ { name: "image" data_type: TYPE_UINT8 dims: [ 1 ] reshape: { shape: [ ] } }, '
        '{ name: "mask" data_type: TYPE_BOOL dims: [ 5 ] reshape: { shape: [ 5, 1 ] } optional: true } ]'
    )
    image, mask = ModelConfig(tmp_path).signature.inputs
    assert (image.dims, image.optional) == ((), False)
    assert (mask.dims, mask.optional) == ((5, 1), True)
