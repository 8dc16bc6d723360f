"""When two requests are the same request."""

import hashlib
import json
import unicodedata
from collections.abc import Sequence

from gateway.errors import Problem
from gateway.jobs.job import Callback, ImageReference

ID_CHARACTERS = 128
_OPTIONAL = frozenset({"user_id"})
_REFUSED = {"Cc": "control characters", "Cs": "lone surrogates"}
"""General categories of the Unicode standard: what no log line, message key or text column should hold."""


def fingerprint(
    pipeline: str, parameters: str, image: bytes | ImageReference, callbacks: Sequence[Callback] = ()
) -> bytes:
    """A SHA-256 that is equal for equal requests: same model, same parameters in any order, same photo, same callbacks.

    `parameters` is a JSON object.
    """
    photo = [hashlib.sha256(image).hexdigest()] if isinstance(image, bytes) else [image.kind, image.location]
    told = [[callback.kind, callback.destination] for callback in callbacks]
    text = json.dumps([pipeline, json.loads(parameters), photo, told], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def check_id(field: str, value: str) -> str:
    """The value, where it can be an id: 1–128 characters, none of them control characters; `user_id` may be empty.

    Raises Problem `invalid_parameters`, which names the field.
    """
    if not value and field not in _OPTIONAL:
        raise Problem("invalid_parameters", f"{field}: must not be empty")
    if len(value) > ID_CHARACTERS:
        raise Problem("invalid_parameters", f"{field}: at most {ID_CHARACTERS} characters are accepted")
    for character in value:
        if refused := _REFUSED.get(unicodedata.category(character)):
            raise Problem("invalid_parameters", f"{field}: must not hold {refused}")
    return value
