import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import InferResult
from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelInferResponse
from tritonclient.utils import serialize_byte_tensor

from gateway.errors import Problem
from gateway.pipelines.outputs import Artifact
from gateway.triton import infer_request, read_result


def answer_of(result: bytes, names: Sequence[bytes] = (), artifacts: Sequence[bytes] = ()) -> InferResult:
    """What Triton sends for these outputs."""
    response = ModelInferResponse()
    for name, values in (("result", [result]), ("artifact_names", names), ("artifacts", artifacts)):
        response.outputs.add(name=name, datatype="BYTES", shape=[len(values)])
        packed = serialize_byte_tensor(np.array(values, dtype=np.object_))
        response.raw_output_contents.append(packed.item() if packed.size else b"")
    return InferResult(response)


def test_artifacts_keep_their_names_order_and_bytes() -> None:
    inference = read_result(answer_of(b'{"status":"completed"}', [b"a.png", b"b.json"], [b"\0\xff\0", b""]))
    assert inference.artifacts == (Artifact("a.png", b"\0\xff\0"), Artifact("b.json", b""))
    assert [artifact.media_type for artifact in inference.artifacts] == ["image/png", "application/json"]


def test_no_artifacts() -> None:
    assert read_result(answer_of(b'{"status":"completed","persons":[2]}')).result["persons"] == [2]


@pytest.mark.parametrize(
    ("reason", "code"), [("no_person", "no_person"), ("image_corrupt", "image_corrupt"), ("odd", "inference_failed")]
)
def test_the_models_reason_becomes_the_problem(reason: str, code: str) -> None:
    result = json.dumps({"status": "failed", "reason": reason, "detail": "because"}).encode()
    with pytest.raises(Problem, match="because") as caught:
        read_result(answer_of(result))
    assert caught.value.code == code


@pytest.mark.parametrize("result", [b"", b"{", b"[]", b"{}", b'"text"', b"3"])
def test_a_model_answer_that_breaks_the_contract_is_a_model_failure(result: bytes) -> None:
    with pytest.raises(Problem) as caught:
        read_result(answer_of(result))
    assert caught.value.code == "inference_failed"


@pytest.mark.parametrize(("names", "artifacts"), [([b"a.png"], []), ([b"\xff"], [b"data"])])
def test_artifacts_without_usable_names_are_the_models_failure(names: list[bytes], artifacts: list[bytes]) -> None:
    with pytest.raises(Problem) as caught:
        read_result(answer_of(b'{"status":"completed"}', names, artifacts))
    assert caught.value.code == "inference_failed"


@given(st.binary(max_size=400) | st.integers(0, 70_000).map(bytes), st.binary(max_size=200))
def test_a_request_is_what_triton_reads(image: bytes, parameters: bytes) -> None:
    request = ModelInferRequest.FromString(infer_request("detect", image, parameters))
    assert request.model_name == "detect"
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in request.inputs] == [
        ("image", "BYTES", [1]),
        ("parameters", "BYTES", [1]),
    ]
    packed = [serialize_byte_tensor(np.array([value], dtype=np.object_)).item() for value in (image, parameters)]
    assert list(request.raw_input_contents) == packed
