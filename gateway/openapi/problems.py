"""Errors, as the API's description has them."""

from collections.abc import Iterable

from gateway.errors import MEDIA_TYPE, PROBLEMS, RETRIED, problem_fields

Responses = dict[int | str, dict[str, object]]

COMPONENT = "#/components/schemas/{model}"
PROBLEM_SCHEMA = {
    "title": "Problem",
    "description": "Problem details (RFC 9457); `code` is stable, `detail` is for people.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": list(PROBLEMS)},
        "instance": {"type": "string", "format": "uri-reference", "description": "The path that was asked for."},
    },
}
REQUEST_ID = {"X-Request-Id": {"description": "Names the request in the log.", "schema": {"type": "string"}}}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}


def problem_responses(codes: Iterable[str], path: str) -> Responses:
    """Errors of an address by status, with an example of each code."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {status: _problem_response(status, listed, path) for status, listed in sorted(by_status.items())}


def _problem_response(status: int, codes: Iterable[str], path: str) -> dict[str, object]:
    examples = {code: {"summary": PROBLEMS[code].title, "value": _problem_example(code, path)} for code in codes}
    return {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
        "content": {MEDIA_TYPE: {"schema": {"$ref": COMPONENT.format(model="Problem")}, "examples": examples}},
        "headers": {**REQUEST_ID, **(_RETRY_AFTER if status in RETRIED else {})},
    }


def _problem_example(code: str, path: str) -> dict[str, object]:
    entry = PROBLEMS[code]
    return {**problem_fields(code, entry.example), "instance": entry.example_path or path}
