"""A JSON body: the photo as base64 under `image`, parameters beside it."""

import base64
import json

from gateway.intake.submission import Submission, missing_image
from gateway.problems import Problem

_WHERE = '"image", as {"type": "base64", "data": "…"}, as {"base64": "…"} or as base64 text'


def json_submission(body: bytes) -> Submission:
    """The photo and the other members.

    Raises Problem `invalid_json`, `missing_image`, `invalid_base64`, `invalid_parameters`.
    """
    members = _members(body)
    image = members.pop("image", None)
    if image is None:
        raise missing_image(_WHERE)
    return Submission(_decode(_base64_of(image)), members)


def _members(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem("invalid_json", f"{error}") from error
    if not isinstance(value, dict):
        raise Problem("invalid_json", "The body must be a JSON object.")
    return value


def _base64_of(image: object) -> str:
    match image:
        case str(text) | {"base64": str(text)} | {"type": "base64", "data": str(text)}:
            return text
        case {"type": str(kind)} if kind != "base64":
            raise Problem("invalid_parameters", f"image: type {kind[:20]!r} is not accepted here; accepted: base64")
    raise missing_image(_WHERE)


def _decode(text: str) -> bytes:
    """Standard base64, line breaks and a `data:…;base64,` prefix allowed."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise Problem("invalid_base64", f"{error}") from error
