from pathlib import Path

import pytest

from exporters.errors import TranslationError
from exporters.tflite.graph import read
from tests.unit.exporters.sketch import Sketch


def test_a_file_that_is_not_a_tflite_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.tflite"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(TranslationError, match=r"page\.tflite is not a TFLite model"):
        read(path)


def test_read_gives_shapes_operators_and_options(tmp_path: Path) -> None:
    model = Sketch(1, 4, 4, 12)
    path = model.save(
        tmp_path / "model.tflite", [model.op("DEPTH_TO_SPACE", 0, title="DepthToSpaceOptions", blockSize=2)]
    )
    graph = read(path)
    assert [tensor.shape for tensor in graph.tensors] == [(1, 4, 4, 12), (1, 8, 8, 3)]
    (operator,) = graph.operators
    assert (operator.kind, operator.inputs, operator.outputs) == ("DEPTH_TO_SPACE", (0,), (1,))
    assert operator.options == {"blockSize": 2}
    assert (graph.inputs, graph.outputs, graph.output("t1")) == ((0,), (1,), 1)
