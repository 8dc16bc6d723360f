"""Named tensors, as Triton passes them from step to step; failures that the input caused; and the last step's result.

Failures travel from step to step as data, so that they fail no other request.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Tensor: TypeAlias = NDArray[np.generic]
Tensors: TypeAlias = Mapping[str, Tensor]
Step: TypeAlias = Callable[[Tensors], Tensors]
Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = Mapping[str, Json]

Found = TypeVar("Found")


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


class InputError(Exception):
    """The photo cannot be processed. `code` is stable, `detail` is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def failure_context(failure: InputError) -> JsonObject:
    """The context that a failed step hands on."""
    return {"failure": {"code": failure.code, "detail": failure.detail}}


def has_failed(context: Tensor) -> bool:
    """Whether a `context` tensor carries a failure."""
    return "failure" in json_object(context)


def require_success(context: JsonObject) -> None:
    """Raise the InputError that an earlier step handed on, if there is one."""
    if "failure" in context:
        failure = cast("dict[str, str]", context["failure"])
        raise InputError(failure["code"], failure["detail"])


def carrying_failures(blank: Callable[[Tensors], Tensors]) -> Callable[[Step], Step]:
    """Make a step hand on an earlier failure, and turn its own InputError into one.

    `blank` gives the outputs besides `context` that the next model still needs: an ensemble cannot skip a step.
    """

    def decorate(step: Step) -> Step:
        def guarded(tensors: Tensors) -> Tensors:
            context = tensors.get("context")
            if context is not None and has_failed(context):
                return {**blank(tensors), "context": context}
            try:
                return step(tensors)
            except InputError as failure:
                return {**blank(tensors), "context": json_tensor(failure_context(failure))}

        return guarded

    return decorate


def asked_for(found: Sequence[Found], which: str, several: tuple[str, str]) -> Sequence[Found]:
    """`all` of the found people or faces, or the largest, which comes first.

    Raises InputError if `which` is `single` and there are several: with this code, and this detail about their `count`.
    """
    if which == "single" and len(found) > 1:
        code, detail = several
        raise InputError(code, detail.format(count=len(found)))
    return found if which == "all" else found[:1]
