"""Translations of drawn models held against the LiteRT interpreter."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from exporters.recipes import SYMMETRIC
from exporters.tflite.graph import read
from exporters.tflite.translate import InputRange, translate
from tests.unit.exporters.sketch import LargestDifference, Sketch


@pytest.fixture
def largest_difference(tmp_path: Path) -> LargestDifference:
    """Save a sketch, translate it, and run both on a batch of two random images."""

    def check(drawn: Sketch, *outputs: int, input_range: InputRange = SYMMETRIC) -> float:
        path = drawn.save(tmp_path / "model.tflite", list(outputs))
        shape = drawn.tensors[0].shape[1:]
        images = np.random.default_rng(7).integers(0, 256, (2, *shape), np.uint8)
        names = {f"t{index}": f"out{index}" for index in outputs}
        model = translate(read(path), input_range, names, {}).SerializeToString()
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        results = session.run(list(names.values()), {"image": images})
        interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        interpreter.allocate_tensors()
        gaps = []
        for place, image in enumerate(images):
            scaled = image[np.newaxis].astype(np.float32) * np.float32(input_range.scale) + np.float32(input_range.low)
            interpreter.set_tensor(0, scaled)
            interpreter.invoke()
            expected = [interpreter.get_tensor(index) for index in outputs]
            for result, each in zip(results, expected, strict=True):
                assert result[place].size == each.size
                gaps.append(float(np.abs(result[place].ravel() - each.ravel()).max()))
        return max(gaps)

    return check
