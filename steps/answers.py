"""What a pipeline's last step answers: a result as JSON, and named artifacts."""

from collections.abc import Mapping

from steps.tensors import JsonObject, Tensors, bytes_tensor, json_tensor


def completed(result: JsonObject, artifacts: Mapping[str, bytes]) -> Tensors:
    """`result` BYTES [1] JSON, `artifact_names` and `artifacts` BYTES [K]."""
    return _answer({"status": "completed", "reason": None, "detail": None, **result}, artifacts)


def refused(code: str, detail: str) -> Tensors:
    """The same tensors, of a request that the input made fail; no artifacts."""
    return _answer({"status": "failed", "reason": code, "detail": detail}, {})


def _answer(result: JsonObject, artifacts: Mapping[str, bytes]) -> Tensors:
    return {
        "result": json_tensor(result),
        "artifact_names": bytes_tensor([name.encode() for name in artifacts]),
        "artifacts": bytes_tensor(list(artifacts.values())),
    }
