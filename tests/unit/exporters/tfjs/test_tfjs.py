from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from exporters.errors import TranslationError
from exporters.recipe import run_onnx
from exporters.tfjs.evaluation import evaluate
from exporters.tfjs.lowering import lower
from exporters.tfjs.reader import read
from exporters.tflite.translate import InputRange, translate
from tests.unit.exporters.tfjs.drawn import Drawing, convolution

PIXELS = InputRange(0.0, 255.0)


def random(*shape: int) -> NDArray[np.float32]:
    """Numbers that half precision holds exactly."""
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float16).astype(np.float32)


def largest_difference(drawing: Drawing, output: str, folder: Path) -> float:
    """Between the ONNX model and numpy, relative to the largest value, on two images."""
    graph = read(*drawing.save(folder))
    _, *shape = lower(graph, {output: "out"}).tensors[0].shape
    images = np.random.default_rng(7).integers(0, 256, (2, *shape), np.uint8)
    model = translate(lower(graph, {output: "out"}), PIXELS, {output: "out"}, {})
    ours = run_onnx(model.SerializeToString(), images)["out"]
    theirs = [evaluate(graph, image[np.newaxis].astype(np.float64), [output])[0][0] for image in images]
    for one, other in zip(ours, theirs, strict=True):
        assert one.size == other.size
    return max(np.abs(a.ravel() - b.ravel()).max() / np.abs(b).max() for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("fused", [(), ("BiasAdd",), ("BiasAdd", "Relu")])
def test_convolutions(tmp_path: Path, padding: str, stride: int, fused: tuple[str, ...]) -> None:
    drawing = Drawing(1, 9, 12, 3)
    bias = [drawing.constant(random(5))] if fused else []
    kind = "_FusedConv2D" if fused else "Conv2D"
    weights = drawing.constant(random(3, 3, 3, 5))
    output = drawing.node(kind, "placeholder_0", weights, *bias, **convolution(padding, stride, fused))
    assert largest_difference(drawing, output, tmp_path) < 1e-5


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolutions(tmp_path: Path, multiplier: int, stride: int) -> None:
    drawing = Drawing(1, 8, 7, 3)
    weights = drawing.constant(random(3, 3, 3, multiplier))
    output = drawing.node("DepthwiseConv2dNative", "placeholder_0", weights, **convolution("SAME", stride))
    assert largest_difference(drawing, output, tmp_path) < 1e-5


def test_a_hard_swish_before_a_convolution_and_an_output(tmp_path: Path) -> None:
    """Its factor goes into the weights of the one, and is multiplied out for the other."""
    drawing = Drawing(1, 6, 6, 3)
    source = drawing.node("Mul", drawing.constant(np.float32(1 / 64)), "placeholder_0")
    bounded = drawing.node("Relu6", drawing.node("Add", source, drawing.constant(np.float32(-1))))
    sixth = drawing.node("Mul", drawing.constant(np.float32(0.25)), source)
    swish = drawing.node("Mul", sixth, bounded)
    convolved = drawing.node("Conv2D", swish, drawing.constant(random(1, 1, 3, 4)), **convolution())
    output = drawing.node("ConcatV2", swish, convolved, drawing.constant(np.int32(3)))
    assert largest_difference(drawing, output, tmp_path) < 1e-5


def test_squeeze_and_excitation(tmp_path: Path) -> None:
    drawing = Drawing(1, 6, 5, 3)
    axes = drawing.constant(np.array([1, 2], np.int32))
    squeezed = drawing.node("Mean", "placeholder_0", axes, keep_dims={"b": True})
    gate = drawing.node("Sigmoid", drawing.node("Mul", squeezed, drawing.constant(np.float32(-1 / 128))))
    assert largest_difference(drawing, drawing.node("Mul", "placeholder_0", gate), tmp_path) < 1e-5


def test_an_enlargement(tmp_path: Path) -> None:
    drawing = Drawing(1, 4, 5, 3)
    size = drawing.constant(np.array([8, 15], np.int32))
    options = {"align_corners": {"b": False}, "half_pixel_centers": {"b": False}}
    assert (
        largest_difference(drawing, drawing.node("ResizeBilinear", "placeholder_0", size, **options), tmp_path) < 1e-5
    )


def test_operators_that_no_output_needs_are_not_translated(tmp_path: Path) -> None:
    drawing = Drawing(1, 4, 4, 3)
    output = drawing.node("Identity", drawing.node("Relu", "placeholder_0"))
    drawing.node("TopKV2", output)
    assert largest_difference(drawing, output, tmp_path) == 0


def test_an_unknown_operation_is_named(tmp_path: Path) -> None:
    drawing = Drawing(1, 4, 4, 3)
    output = drawing.node("Tanh", "placeholder_0")
    with pytest.raises(TranslationError, match="tanh_1: the operation Tanh is not supported"):
        lower(read(*drawing.save(tmp_path)), {output: "out"})


@pytest.mark.parametrize("graph", ["", "{}", '{"modelTopology": {"node": []}, "weightsManifest": []}'])
def test_a_file_that_is_not_a_graph_model_is_named(tmp_path: Path, graph: str) -> None:
    path, weights = Drawing(1, 4, 4, 3).save(tmp_path)
    path.write_text(graph)
    with pytest.raises(TranslationError, match=r"graph\.json and weights\.bin are not a TensorFlow\.js graph model"):
        read(path, weights)


def test_weights_that_end_early_are_refused(tmp_path: Path) -> None:
    drawing = Drawing(1, 4, 4, 3)
    drawing.constant(random(8))
    path, weights = drawing.save(tmp_path)
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(TranslationError, match="are not a TensorFlow"):
        read(path, weights)
