"""Failures that the input caused. They travel from step to step as data, and fail no other request."""

from collections.abc import Callable
from typing import cast

from steps.tensors import JsonObject, Step, Tensor, Tensors, json_object, json_tensor


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
