"""The photo in a large JSON body, decoded in pieces where it lies.

A call of Python's `json` or `base64` on a whole photo would hold the interpreter's lock, and with it the event loop,
for a tenth of a second, from whichever thread. The photo is more than half of a large body, so its middle lies in it.
"""

import base64
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

LARGE = 256 * 1024
"""Bytes of a body from which it is worth the while."""
_PIECE = 256 * 1024
_ESCAPES = {b"\\/": b"/", b"\\n": b"", b"\\r": b"", b"\\t": b""}
_LONGEST_PREFIX = 200


@dataclass(frozen=True)
class LargeJson:
    """A body without its photo, whose place `token` has."""

    rest: bytes
    photo: bytes
    token: str

    def is_image(self, value: object) -> bool:
        """Whether the value of the member `image` is the photo."""
        token = self.token
        return value in (token, {"base64": token}, {"type": "base64", "data": token})


def large_json(body: bytes) -> LargeJson | None:
    """The body and its photo; None where no long text of plain base64 lies in its middle: read all of it then."""
    middle = len(body) // 2
    start, end = body.rfind(b'"', 0, middle) + 1, body.find(b'"', middle)
    if len(body) < LARGE or start == 0 or end - start < middle or not _is_value(body, start, end):
        return None
    photo = _decoded(memoryview(body)[_past_prefix(body, start) : end])
    if photo is None:
        return None
    token = secrets.token_hex(16)
    return LargeJson(body[:start] + token.encode() + body[end:], photo, token)


def _is_value(body: bytes, start: int, end: int) -> bool:
    """Whether what surrounds a text shows that it is one, a value, and not what lies between two others."""
    before, after = body[max(0, start - 9) : start - 1].rstrip(), body[end + 1 : end + 9].lstrip()
    return before[-1:] in (b":", b",", b"[") and after[:1] in (b",", b"}", b"]")


def _past_prefix(body: bytes, start: int) -> int:
    """Where the digits begin: past `data:image/png;base64,`."""
    if body[start : start + 5] != b"data:":
        return start
    comma = body.find(b",", start, start + _LONGEST_PREFIX)
    return comma + 1 if body[:comma].endswith(b";base64") else start


def _decoded(text: memoryview) -> bytes | None:
    """The bytes of base64 with JSON's escapes in it; None for what is none, or not padded."""
    photo: list[bytes] = []
    kept, padded = b"", False
    try:
        for digits in _digits(text):
            if padded and digits:
                return None
            kept += digits
            whole = len(kept) // 4 * 4
            photo.append(base64.b64decode(kept[:whole], validate=True))
            padded = b"=" in kept
            kept = kept[whole:]
    except ValueError:
        return None
    return None if kept else b"".join(photo)


def _digits(text: memoryview) -> Iterator[bytes]:
    """The digits, in pieces. Raises ValueError for an escape that stands for no digit or line end."""
    cut = b""
    for start in range(0, len(text), _PIECE):
        piece = cut + bytes(text[start : start + _PIECE])
        cut = piece[-1:] if piece.endswith(b"\\") else b""
        piece = piece[: len(piece) - len(cut)]
        if b"\\" in piece:
            for escape, meant in _ESCAPES.items():
                piece = piece.replace(escape, meant)
        yield piece
    if cut:
        raise ValueError("an escape that ends nowhere")
