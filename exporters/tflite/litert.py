"""Running a TFLite checkpoint in the LiteRT interpreter."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from exporters.recipe import Outputs
from exporters.tflite.translate import InputRange


def run_litert(
    checkpoint: Path,
    input_range: InputRange,
    outputs: Mapping[str, str],
    images: NDArray[np.uint8],
    kernels: OpResolverType,
) -> Outputs:
    """The `outputs` (TFLite's name → ours), one image at a time, each flattened to N×size."""
    interpreter = Interpreter(str(checkpoint), num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    indices = {outputs.get(each["name"]): each["index"] for each in interpreter.get_output_details()}
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in outputs.values()}
    for image in images:
        scaled = image[np.newaxis].astype(np.float32) * np.float32(input_range.scale)
        interpreter.set_tensor(source, scaled + np.float32(input_range.low))
        interpreter.invoke()
        for name, row in rows.items():
            row.append(interpreter.get_tensor(indices[name]).ravel())
    return {name: np.stack(row) for name, row in rows.items()}
