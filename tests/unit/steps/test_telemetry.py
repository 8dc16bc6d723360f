import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import CHECKOUT

SESSION = """
import onnx, onnx.helper as make, {module}
graph = make.make_graph(
    [make.make_node("Identity", ["a"], ["b"])], "g",
    [make.make_tensor_value_info("a", 1, [1])], [make.make_tensor_value_info("b", 1, [1])])
model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
import onnxruntime
onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
"""


@pytest.mark.parametrize("module", ["steps.onnx_session", "exporters.recipe"])
def test_onnxruntime_keeps_no_identifier_and_reports_nothing(module: str, tmp_path: Path) -> None:
    # Elsewhere it takes a machine for one of CI, or of its own tests, which never report.
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", SESSION.format(module=module)], cwd=CHECKOUT, env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
