"""The operators that translate, by TFLite's name. DEQUANTIZE and DENSIFY of weights are folded before."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from exporters.tflite.graph import Operator
from exporters.tflite.operators.activation import logistic, prelu, relu, relu6
from exporters.tflite.operators.arithmetic import add, mean, multiply
from exporters.tflite.operators.convolution import convolution, depthwise_convolution
from exporters.tflite.operators.pooling import max_pool, resize_bilinear
from exporters.tflite.operators.shape import concatenation, depth_to_space, pad, reshape
from exporters.tflite.translation import Translation

OPERATORS: Mapping[str, Callable[[Translation, Operator], None]] = MappingProxyType(
    {
        "ADD": add,
        "CONCATENATION": concatenation,
        "CONV_2D": convolution,
        "DEPTH_TO_SPACE": depth_to_space,
        "DEPTHWISE_CONV_2D": depthwise_convolution,
        "LOGISTIC": logistic,
        "MAX_POOL_2D": max_pool,
        "MEAN": mean,
        "MUL": multiply,
        "PAD": pad,
        "PRELU": prelu,
        "RELU": relu,
        "RELU6": relu6,
        "RESHAPE": reshape,
        "RESIZE_BILINEAR": resize_bilinear,
    }
)
