"""Named tensors, as Triton passes them from step to step, and the result of a pipeline's last step."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

Tensor: TypeAlias = NDArray[np.generic]
Tensors: TypeAlias = Mapping[str, Tensor]
Step: TypeAlias = Callable[[Tensors], Tensors]
Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = Mapping[str, Json]


def bytes_tensor(values: Sequence[bytes]) -> Tensor:
    """A BYTES tensor of shape [len(values)], dtype object."""
    tensor = np.empty(len(values), dtype=np.object_)
    tensor[:] = values
    return cast("Tensor", tensor)


def first_bytes(tensor: Tensor) -> bytes:
    """The first element of a BYTES tensor of any shape. An empty tensor gives b""."""
    flat = tensor.reshape(-1)
    if flat.size == 0:
        return b""
    return cast("bytes", flat[0])


def json_tensor(value: JsonObject) -> Tensor:
    """A BYTES tensor of shape [1] that holds a JSON object in UTF-8."""
    return bytes_tensor([json.dumps(value, separators=(",", ":")).encode()])


def json_object(tensor: Tensor) -> JsonObject:
    """The JSON object that `json_tensor` wrote. Raises ValueError for anything else."""
    value = json.loads(first_bytes(tensor))
    if not isinstance(value, dict):
        message = f"expected a JSON object, got {type(value).__name__}"
        raise ValueError(message)  # noqa: TRY004 - the type of the data is wrong, not that of an argument
    return cast("JsonObject", value)


def completed(result: JsonObject, artifacts: Mapping[str, bytes]) -> Tensors:
    """`result` BYTES [1] JSON, `artifact_names` and `artifacts` BYTES [K]."""
    return _answer({"status": "completed", "reason": None, "detail": None, **result}, artifacts)


def refused(code: str, detail: str) -> Tensors:
    """The same tensors for a request that failed because of its input. There are no artifacts."""
    return _answer({"status": "failed", "reason": code, "detail": detail}, {})


def _answer(result: JsonObject, artifacts: Mapping[str, bytes]) -> Tensors:
    return {
        "result": json_tensor(result),
        "artifact_names": bytes_tensor([name.encode() for name in artifacts]),
        "artifacts": bytes_tensor(list(artifacts.values())),
    }
