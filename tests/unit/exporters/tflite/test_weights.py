from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from exporters.errors import TranslationError
from exporters.tflite.graph import read
from exporters.tflite.weights import constants
from tests.unit.exporters.sketch import Sketch


def dimension(
    size: int, segments: list[int] | None = None, indices: list[int] | None = None
) -> schema.DimensionMetadataT:
    metadata = schema.DimensionMetadataT()
    metadata.format, metadata.denseSize = schema.DimensionType.DENSE, size
    if segments is not None:
        metadata.format = schema.DimensionType.SPARSE_CSR
        metadata.arraySegmentsType = metadata.arrayIndicesType = schema.SparseIndexVector.Uint8Vector
        metadata.arraySegments, metadata.arrayIndices = schema.Uint8VectorT(), schema.Uint8VectorT()
        metadata.arraySegments.values, metadata.arrayIndices.values = segments, indices
    return metadata


def sparsity(
    order: list[int], block_map: list[int], *dimensions: schema.DimensionMetadataT
) -> schema.SparsityParametersT:
    parameters = schema.SparsityParametersT()
    parameters.traversalOrder, parameters.blockMap, parameters.dimMetadata = order, block_map, list(dimensions)
    return parameters


ROWS = sparsity([0, 1], [], dimension(4), dimension(3, [0, 1, 1, 3, 4], [2, 0, 1, 2]))
COLUMNS = sparsity([1, 0], [], dimension(3), dimension(4, [0, 1, 2, 4], [2, 2, 0, 3]))
BLOCKS = sparsity([0, 1, 2, 3], [0, 1], dimension(2), dimension(2, [0, 1, 2], [1, 0]), dimension(2), dimension(2))


@pytest.mark.parametrize(("layout", "shape", "count"), [(ROWS, (4, 3), 4), (COLUMNS, (4, 3), 4), (BLOCKS, (4, 4), 8)])
def test_densify_equals_litert(
    tmp_path: Path, layout: schema.SparsityParametersT, shape: tuple[int, ...], count: int
) -> None:
    """LiteRT's own DENSIFY added to a constant input of zeros, against the folded constant."""
    values = np.arange(1, count + 1, dtype=np.float32)
    model = Sketch(1, 1, *shape)
    dense = model.op("DENSIFY", model.constant(values, shape, layout), title="DensifyOptions")
    total = model.op("ADD", 0, dense, title="AddOptions", fusedActivationFunction=0)
    path = model.save(tmp_path / "model.tflite", [total])
    expected = litert_at_zero(path, (1, 1, *shape))[0, 0]
    assert np.count_nonzero(expected) == count
    np.testing.assert_array_equal(constants(read(path))[dense], expected)


def litert_at_zero(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, np.zeros(shape, np.float32))
    interpreter.invoke()
    output: NDArray[np.float32] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return output


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    model = Sketch(1, 4, 4, 3)
    model.op("DEQUANTIZE", model.constant(np.ones(3, np.int8)), title="DequantizeOptions")
    path = tmp_path / "model.tflite"
    path.write_bytes(model._pack([0]))
    with pytest.raises(TranslationError, match="unsupported type"):
        constants(read(path))
