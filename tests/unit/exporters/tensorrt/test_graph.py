from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.catalogue import DEFAULT_PATHS
from exporters.tensorrt.graph import profile_of, with_early_floats
from exporters.tensorrt.plans import plan_config
from steps.model_folder import ModelConfig

CONFIG = """platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: {batch}
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ {dims} ] }} ]
output [ {{ name: "labels" data_type: TYPE_UINT8 dims: [ 8, 8 ] }} ]
{more}
"""
DETECTOR = """parameters {{
  key: "detector"
  value {{ string_value: '{{"role": "faces", "labels": ["face"], "size": [640, 480], {cell} "iou": 0.3}}' }}
}}"""
OURS = sorted(path.parent.parent.name for path in DEFAULT_PATHS.model_repository.glob("*/1/model.onnx"))


def config(folder: Path, batch: int = 8, dims: str = "-1, -1, 3", more: str = "") -> ModelConfig:
    (folder / "config.pbtxt").write_text(CONFIG.format(batch=batch, dims=dims, more=more))
    return ModelConfig(folder)


@pytest.mark.parametrize(
    ("given", "preferred", "shapes"),
    [
        ({"dims": "512, 512, 3"}, [], [(1, 512, 512, 3), (4, 512, 512, 3), (8, 512, 512, 3)]),
        ({"dims": "512, 512, 3"}, [2, 3], [(1, 512, 512, 3), (3, 512, 512, 3), (8, 512, 512, 3)]),
        ({"dims": "512, 512, 3"}, [16], [(1, 512, 512, 3), (8, 512, 512, 3), (8, 512, 512, 3)]),
        ({"batch": 0, "dims": "1, 64, 32, 3"}, [], [(1, 64, 32, 3)] * 3),
        ({}, [], [(1, 8, 8, 3), (4, 512, 512, 3), (8, 512, 512, 3)]),
        (
            {"more": DETECTOR.format(cell='"multiple": 32,')}, [],
            [(1, 32, 32, 3), (4, 480, 640, 3), (8, 480, 640, 3)],
        ),
        ({"more": DETECTOR.format(cell="")}, [], [(1, 480, 640, 3), (4, 480, 640, 3), (8, 480, 640, 3)]),
    ],
)  # fmt: skip
def test_a_profile_has_the_batches_and_sides_of_the_configuration(
    tmp_path: Path, given: dict[str, object], preferred: list[int], shapes: list[tuple[int, ...]]
) -> None:
    profile = profile_of(config(tmp_path, **given), preferred)
    assert [profile.least, profile.best, profile.most] == shapes


def test_the_configuration_of_a_plan_keeps_tensors_and_batches_and_asks_for_a_gpu(tmp_path: Path) -> None:
    more = (
        'dynamic_batching { }\ninstance_group [ { count: 2 } ]\nparameters { key: "intra_op_thread_count" value '
        '{ string_value: "1" } }\nparameters { key: "detector" value { string_value: "{}" } }'
    )
    (tmp_path / "plan").mkdir()
    before = config(tmp_path, more=more)
    (tmp_path / "plan" / "config.pbtxt").write_text(plan_config(before))
    plan = ModelConfig(tmp_path / "plan")
    assert plan.backend == "tensorrt"
    assert (plan.signature, plan.max_batch_size) == (before.signature, before.max_batch_size)
    assert plan.parameters == {"detector": "{}"}
    text = plan_config(before)
    assert 'platform: "tensorrt_plan"' in text
    assert "count: 2\n  kind: KIND_GPU" in text


def moving_bytes() -> onnx.ModelProto:
    """Bytes are transposed and reordered before they become floats, twice, as torch's exporter may leave it."""
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Gather", ["planes", "order"], ["blue"], axis=1),
        helper.make_node("Cast", ["blue"], ["one"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["planes"], ["other"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["one", "other"], ["sum"]),
        helper.make_node("ArgMax", ["sum"], ["best"], axis=1, keepdims=0),
        helper.make_node("Cast", ["best"], ["labels"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "moving",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("labels", TensorProto.UINT8, ["N", "H", "W"])],
        [numpy_helper.from_array(np.array([2, 1, 0]), "order")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def bytes_inside(model: onnx.ModelProto) -> set[str]:
    """Tensors of bytes that are neither inputs nor outputs."""
    inferred = onnx.shape_inference.infer_shapes(model)
    return {
        value.name for value in inferred.graph.value_info if value.type.tensor_type.elem_type == TensorProto.UINT8
    } - {value.name for value in (*model.graph.input, *model.graph.output)}


def answers(model: onnx.ModelProto, image: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})


def test_bytes_become_floats_at_the_input_and_nothing_else_changes() -> None:
    image = np.random.default_rng(5).integers(0, 256, (2, 5, 7, 3), np.uint8)
    assert bytes_inside(moving_bytes()) == {"planes", "blue"}
    early = with_early_floats(moving_bytes())
    assert bytes_inside(early) == set()
    assert [each.tolist() for each in answers(early, image)] == [
        each.tolist() for each in answers(moving_bytes(), image)
    ]


@pytest.mark.skipif(not OURS, reason="models are not exported")
@pytest.mark.parametrize("name", [name for name in OURS if not name.endswith("_int8")])
def test_no_model_of_ours_has_bytes_inside(name: str) -> None:
    """TensorRT's parser refuses a graph that has."""
    model = onnx.load(DEFAULT_PATHS.model(name))
    first = profile_of(ModelConfig(DEFAULT_PATHS.model_repository / name), []).best
    image = np.random.default_rng(5).integers(0, 256, (1, *first[1:]), np.uint8)
    before = answers(model, image)
    early = with_early_floats(model)
    assert bytes_inside(early) == set()
    for one, other in zip(before, answers(early, image), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-2)  # onnxruntime fuses other nodes
