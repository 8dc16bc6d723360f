"""The contract with Triton's models, as tensors: encoded photo and JSON in, JSON and named artifacts out."""

import json

import numpy as np
from tritonclient.grpc import InferInput, InferResult

from gateway.artifacts import Artifact, InferenceResult
from gateway.problems import PROBLEMS, Problem


def bytes_tensor(name: str, value: bytes) -> InferInput:
    """A BYTES tensor of shape [1]."""
    tensor = InferInput(name, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([value], dtype=np.object_))
    return tensor


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
