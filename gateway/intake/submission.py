"""What a request asks for, however it was written down."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.errors import Problem
from gateway.intake.images import Image

IMAGE_FIELDS = ("image", "file", "user_image")
FILE_FIELDS = frozenset({"segmentation_map"})
"""Fields that may hold a file of bytes, which is then handed on as base64."""


@dataclass(frozen=True)
class Submission:
    """A photo or where it is, and the other fields by name: text, or a list of texts where one was given repeatedly."""

    image: Image
    fields: Mapping[str, object]


def text_or_base64(content: bytes) -> str:
    """A file's text, or its bytes in base64 where it holds none."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return base64.b64encode(content).decode("ascii")


def gather(pairs: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Fields by name; the values of a repeated name become a list, in order."""
    fields: dict[str, object] = {}
    for name, value in pairs:
        earlier = fields.get(name)
        if earlier is None:
            fields[name] = value
        else:
            fields[name] = [*earlier, value] if isinstance(earlier, list) else [earlier, value]
    return fields


def merge(first: Mapping[str, object], second: Mapping[str, object]) -> dict[str, object]:
    """Fields of the query and of the body together.

    Raises Problem `invalid_parameters` for a name in both.
    """
    both = sorted(first.keys() & second.keys())
    if both:
        raise Problem("invalid_parameters", f"{both[0]}: given in the address and in the body")
    return {**first, **second}
