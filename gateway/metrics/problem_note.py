"""What a request was answered with, kept beside it."""

from collections.abc import MutableMapping

_KEY = "problem_code"


def note_problem(scope: MutableMapping[str, object], code: str) -> None:
    """Say that a request, by its ASGI scope, is answered with a problem of this code."""
    scope[_KEY] = code


def noted_problem(scope: MutableMapping[str, object]) -> str | None:
    """The code; None for a request that is answered well."""
    code = scope.get(_KEY)
    return code if isinstance(code, str) else None
