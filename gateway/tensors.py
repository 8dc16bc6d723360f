"""The contract with Triton's models, as tensors: encoded photo and JSON in, JSON and named artifacts out."""

import json

from tritonclient.grpc import InferResult
from tritonclient.grpc.service_pb2 import ModelInferRequest

from gateway.problems import PROBLEMS, Problem
from gateway.results import Artifact, InferenceResult

_RAW_CONTENTS = bytes(((7 << 3) | 2,))
"""What begins each of `raw_input_contents` of a ModelInferRequest: its number, and that a length follows."""


def infer_request(model: str, image: bytes, parameters: bytes) -> bytes:
    """A ModelInferRequest of two BYTES tensors of shape [1], encoded.

    Not with tritonclient, which copies a photo four times on its way, three of them for as long as the model runs.
    """
    head = ModelInferRequest(model_name=model)
    for name in ("image", "parameters"):
        head.inputs.add(name=name, datatype="BYTES", shape=[1])
    return b"".join((head.SerializeToString(), *_raw_contents(image), *_raw_contents(parameters)))


def _raw_contents(value: bytes) -> tuple[bytes, ...]:
    """One element of a BYTES tensor, which is its length and itself."""
    length = len(value).to_bytes(4, "little")
    return _RAW_CONTENTS, _varint(len(length) + len(value)), length, value


def _varint(number: int) -> bytes:
    """Seven bits a byte, the least first; the eighth says that more follow (protobuf's encoding)."""
    low, rest = number & 0x7F, number >> 7
    return bytes((low | 0x80,)) + _varint(rest) if rest else bytes((low,))


def read_result(answer: InferResult) -> InferenceResult:
    """Result and artifacts of an answer.

    Raises Problem with the model's own reason where it refused the photo, `inference_failed` where the answer does not
    keep the contract.
    """
    try:
        result = json.loads(_elements(answer, "result")[0])
        status = result["status"]
    except (LookupError, TypeError, ValueError) as error:
        raise Problem("inference_failed", "The model's result is not a JSON object with a status.") from error
    if status != "completed":
        raise _refusal(result)
    return InferenceResult(result, _artifacts(answer))


def _artifacts(answer: InferResult) -> tuple[Artifact, ...]:
    named = zip(_elements(answer, "artifact_names"), _elements(answer, "artifacts"), strict=True)
    try:
        return tuple(Artifact(name.decode(), content) for name, content in named)
    except ValueError as error:
        raise Problem("inference_failed", "The model's artifacts and their names do not match.") from error


def _elements(answer: InferResult, name: str) -> list[bytes]:
    tensor = answer.as_numpy(name)
    return [] if tensor is None else list(tensor)


def _refusal(result: dict[str, object]) -> Problem:
    code, detail = str(result.get("reason")), str(result.get("detail"))
    if code in PROBLEMS:
        return Problem(code, detail)
    return Problem("inference_failed", f"{code}: {detail}")
