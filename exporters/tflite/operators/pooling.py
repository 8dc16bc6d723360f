"""MAX_POOL_2D and RESIZE_BILINEAR: operators that change an image's size."""

from exporters.errors import TranslationError
from exporters.tflite.graph import Operator
from exporters.tflite.operators.activation import activate
from exporters.tflite.padding import SAME, Pads, same_pads
from exporters.tflite.translation import Translation, Upsampling, Value


def max_pool(translation: Translation, operator: Operator) -> None:
    """MAX_POOL_2D; its SAME padding never wins, as ONNX pads with the smallest number."""
    options = operator.options
    kernel, strides = (options["filterHeight"], options["filterWidth"]), (options["strideH"], options["strideW"])
    _, height, width, _ = translation.shape(operator.inputs[0])
    pads = same_pads((height, width), kernel, strides, (1, 1)) if options["padding"] == SAME else Pads()
    name = translation.activation(operator.inputs[0])
    name = translation.emitter.node("MaxPool", [name], kernel_shape=kernel, strides=strides, pads=pads.onnx())
    translation.bind(operator.outputs[0], activate(translation, operator, name))


def resize_bilinear(translation: Translation, operator: Operator) -> None:
    """RESIZE_BILINEAR by whole factors, held back for a pointwise convolution that shrinks the channels.

    Raises TranslationError for other factors: they would fix the batch in the shape.
    """
    source, target = operator.inputs[0], operator.outputs[0]
    (_, height, width, _), (_, new_height, new_width, _) = translation.shape(source), translation.shape(target)
    if new_height % height or new_width % width:
        sizes = f"{height}×{width} to {new_height}×{new_width}"
        raise TranslationError(f"{translation.graph.name}: RESIZE_BILINEAR {sizes} has no whole factor")
    upsampling = Upsampling((new_height // height, new_width // width), _coordinates(operator))
    translation.hold(target, Value(translation.activation(source), upsampling=upsampling))


def _coordinates(operator: Operator) -> str:
    if operator.options["alignCorners"]:
        return "align_corners"
    return "half_pixel" if operator.options["halfPixelCenters"] else "asymmetric"
