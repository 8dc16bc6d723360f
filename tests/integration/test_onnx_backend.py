"""The Python-based onnxruntime backend, in a Triton of its own, with models made for the test."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.grpc as grpcclient
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from tests.model_server import serving_models

CONFIG = """
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: {batch}
input [ {{ name: "index" data_type: TYPE_INT64 dims: [ {dims} ] }} ]
output [ {{ name: "value" data_type: TYPE_FP32 dims: [ {dims} ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
{more}
"""
SLOW_BATCHING = "dynamic_batching { max_queue_delay_microseconds: 300000 preferred_batch_size: [ 4 ] }"
UNFIT = '"value" data_type: TYPE_FP32 dims: [ -1 ]'
TABLE = np.array([10, 20, 30], np.float32)


def write_model(repository: Path, name: str, batch: int, more: str = "") -> None:
    """A table look-up: an index out of its range is an error inside onnxruntime."""
    table = helper.make_tensor("table", TensorProto.FLOAT, TABLE.shape, TABLE)
    shape = ["n", 1] if batch else [2]
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "index"], ["value"])],
        name,
        [helper.make_tensor_value_info("index", TensorProto.INT64, shape)],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, shape)],
        [table],
    )
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    config = CONFIG.format(batch=batch, dims=1 if batch else 2, more=more)
    (repository / name / "config.pbtxt").write_text(config)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("onnx")
    write_model(home / "models", "batched", 4, SLOW_BATCHING)
    write_model(home / "models", "whole", 0)
    write_model(home / "models", "unfit", 4)
    config = home / "models" / "unfit" / "config.pbtxt"
    config.write_text(config.read_text().replace('"value" data_type: TYPE_FP32 dims: [ 1 ]', UNFIT))
    loaded = [f"--load-model={name}" for name in ("batched", "whole")]
    with serving_models(home, home / "models", "--model-control-mode=explicit", *loaded) as url:
        yield url


def look_up(url: str, model: str, index: np.ndarray) -> "list[float] | str":
    """The values, or what Triton says is wrong."""
    tensor = grpcclient.InferInput("index", index.shape, "INT64")
    tensor.set_data_from_numpy(index)
    with grpcclient.InferenceServerClient(url) as client:
        try:
            answer = client.infer(model, [tensor], client_timeout=20)
        except InferenceServerException as error:
            return str(error.message())
    values: list[float] = answer.as_numpy("value").ravel().tolist()
    return values


def test_a_model_without_a_batch_dimension_answers_each_request(triton: str) -> None:
    assert look_up(triton, "whole", np.array([2, 0])) == [30, 10]


def test_requests_that_are_batched_each_get_their_own_rows(triton: str) -> None:
    indices = [np.array([[0]]), np.array([[1], [2]]), np.array([[2]])]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda index: look_up(triton, "batched", index), indices))
    assert answers == [[10], [20, 30], [30]]
    assert executions(triton) < requests(triton), "nothing was batched: the test did not test"


def test_one_bad_request_of_a_batch_fails_alone(triton: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda index: look_up(triton, "batched", np.array([[index]])), [0, 99, 1, 2]))
    assert answers[0] == [10]
    assert answers[2:] == [[20], [30]]
    assert "99" in answers[1]


def test_a_model_whose_output_is_free_only_in_its_configuration_is_refused(triton: str) -> None:
    """As NVIDIA's own backend refuses it."""
    with (
        grpcclient.InferenceServerClient(triton) as client,
        pytest.raises(InferenceServerException, match=r"unfit: the output 'value' .*\[-1, -1\].*\[-1, 1\]"),
    ):
        client.load_model("unfit")


def executions(url: str) -> int:
    return statistics(url).execution_count


def requests(url: str) -> int:
    return statistics(url).inference_stats.success.count


def statistics(url: str):
    with grpcclient.InferenceServerClient(url) as client:
        return client.get_inference_statistics("batched").model_stats[0]
