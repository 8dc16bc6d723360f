from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from exporters.errors import TranslationError
from exporters.onnx_model import IR_VERSION, OPSET
from exporters.tflite.graph import read
from exporters.tflite.translate import InputRange, translate
from tests.unit.exporters.sketch import LargestDifference, Sketch


def test_an_unknown_operator_is_named_with_its_model(tmp_path: Path) -> None:
    model = Sketch(1, 4, 4, 3)
    path = model.save(tmp_path / "odd.tflite", [model.op("TANH", 0)])
    with pytest.raises(TranslationError, match=r"odd\.tflite: the operator TANH is not supported"):
        translate(read(path), InputRange(0, 1), {"t1": "out"}, {})


def test_operators_that_only_dropped_outputs_need_are_not_translated(tmp_path: Path) -> None:
    model = Sketch(1, 4, 4, 3)
    kept, dropped = model.op("RELU", 0), model.op("TANH", 0)
    path = model.save(tmp_path / "model.tflite", [kept, dropped])
    translated = translate(read(path), InputRange(0, 1), {"t1": "out"}, {})
    assert [output.name for output in translated.graph.output] == ["out"]


def test_the_model_declares_what_old_runtimes_load_a_free_batch_and_its_metadata(tmp_path: Path) -> None:
    model = Sketch(1, 4, 6, 3)
    path = model.save(tmp_path / "model.tflite", [model.op("RELU", 0)])
    translated = translate(read(path), InputRange(-1, 1), {"t1": "out"}, {"key": "value"})
    (image,), (out,) = translated.graph.input, translated.graph.output
    assert (translated.ir_version, translated.opset_import[0].version) == (IR_VERSION, OPSET)
    assert IR_VERSION <= 9
    assert OPSET <= 17
    assert image.type.tensor_type.elem_type == helper.np_dtype_to_tensor_dtype(np.dtype(np.uint8))
    assert [side.dim_param or side.dim_value for side in image.type.tensor_type.shape.dim] == ["N", 4, 6, 3]
    assert [side.dim_param or side.dim_value for side in out.type.tensor_type.shape.dim] == ["N", 4, 6, 3]
    assert {each.key: each.value for each in translated.metadata_props} == {"key": "value"}


def test_input_range_maps_grey_levels() -> None:
    assert InputRange(-1, 1).zero_level == pytest.approx(127.5)
    assert InputRange(0, 1).zero_level == 0
    assert InputRange(-1, 1).scale == pytest.approx(1 / 127.5)


@pytest.mark.parametrize("shape", [(1, 5, 6, 3), (1, 1, 6, 3), (1, 6, 1, 3), (1, 5, 6, 1), (1, 1, 1, 4)])
def test_outputs_are_channels_last(largest_difference: LargestDifference, shape: tuple[int, ...]) -> None:
    model = Sketch(*shape)
    assert largest_difference(model, model.op("RELU", 0)) < 1e-6
