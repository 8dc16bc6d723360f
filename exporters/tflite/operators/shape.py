"""PAD, RESHAPE, CONCATENATION and DEPTH_TO_SPACE: operators that move numbers without changing them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from exporters.tflite.graph import Operator
from exporters.tflite.operators.activation import activate
from exporters.tflite.padding import Pads
from exporters.tflite.translation import IMAGE_RANK, NCHW, NHWC, Translation


def pad(translation: Translation, operator: Operator) -> None:
    """PAD with zeros: held back where it is spatial, so that a convolution takes it as its own."""
    amounts = translation.constant(operator, 1)
    if len(amounts) == IMAGE_RANK and not amounts[[0, 3]].any():
        (top, bottom), (left, right) = amounts[1:3].tolist()
        value = translation.without_upsampling(operator.inputs[0])
        translation.hold(operator.outputs[0], replace(value, pads=value.pads + Pads(top, left, bottom, right)))
        return
    name = translation.activation(operator.inputs[0])
    vector = _channels_first(amounts).T.ravel().tolist()
    translation.bind(operator.outputs[0], translation.emitter.node("Pad", [name, translation.emitter.integers(vector)]))


def reshape(translation: Translation, operator: Operator) -> None:
    """RESHAPE with the batch, fixed to 1 in the file, left free; N×1×1×C to N×C and back moves nothing."""
    source, target = operator.inputs[0], operator.outputs[0]
    image = len(translation.shape(source)) == IMAGE_RANK
    name = translation.channels_last(source) if image else translation.activation(source)
    shape = translation.emitter.integers([0, *translation.shape(target)[1:]])
    name = translation.emitter.node("Reshape", [name, shape])
    if len(translation.shape(target)) == IMAGE_RANK:
        name = translation.emitter.node("Transpose", [name], perm=NCHW)
    translation.bind(target, name)


def concatenation(translation: Translation, operator: Operator) -> None:
    """CONCATENATION of two or more values."""
    rank = len(translation.shape(operator.outputs[0]))
    axis = operator.options["axis"] % rank
    names = [translation.activation(index) for index in operator.inputs]
    name = translation.emitter.node("Concat", names, axis=NHWC[axis] if rank == IMAGE_RANK else axis)
    translation.bind(operator.outputs[0], activate(translation, operator, name))


def depth_to_space(translation: Translation, operator: Operator) -> None:
    """DEPTH_TO_SPACE: the block's row and column are the outer part of the channel, ONNX's mode DCR."""
    name = translation.activation(operator.inputs[0])
    name = translation.emitter.node("DepthToSpace", [name], blocksize=operator.options["blockSize"], mode="DCR")
    translation.bind(operator.outputs[0], name)


def _channels_first(rows: NDArray[np.generic]) -> NDArray[np.generic]:
    return rows[list(NCHW)] if len(rows) == IMAGE_RANK else rows
