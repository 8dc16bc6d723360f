"""The longest text of a large JSON body, cut out of it: the photo, where it is one.

Python's `json` on a whole body would hold the interpreter's lock, and with it the event loop, for a tenth of a second,
from whichever thread. The photo is more than half of a large body, so its middle lies in it.
"""

import codecs
import json
import secrets
from dataclasses import dataclass

LARGE = 256 * 1024
"""Bytes of a body from which it is worth the while."""
_PIECE = 256 * 1024
_TOLD = "\\\t\n\r\x0b\x0c"
_LONGEST_ESCAPE = len(r"\uffff")


@dataclass(frozen=True)
class LargeJson:
    """A body without its longest text, whose place `token` has; `literal` is that text as it was written."""

    rest: bytes
    token: str
    literal: memoryview

    def put_back(self, value: object) -> object:
        """The value with the text in the token's place, where it is that, or an object's member.

        Raises ValueError for what is no text of JSON.
        """
        if value == self.token:
            return self._text()
        if isinstance(value, dict) and self.token in value.values():
            return {name: self._text() if one == self.token else one for name, one in value.items()}
        return value

    def _text(self) -> str:
        decoder, pieces, kept = codecs.getincrementaldecoder("utf-8")(), list[str](), ""
        for start in range(0, len(self.literal), _PIECE):
            kept += decoder.decode(self.literal[start : start + _PIECE], start + _PIECE >= len(self.literal))
            end = _before_cut_escape(kept) if start + _PIECE < len(self.literal) else len(kept)
            pieces.append(_read(kept[:end]))
            kept = kept[end:]
        return "".join(pieces)


def _read(piece: str) -> str:
    """What a piece of a text stands for. Raises ValueError.

    Without escapes and line ends, base64 stands for itself; other control characters are no base64 either.
    """
    return json.loads(f'"{piece}"') if any(map(piece.__contains__, _TOLD)) else piece


def large_json(body: bytes) -> LargeJson | None:
    """The body, cut; None where no text lies about its middle that is longer than half of it: read all of it then.

    Where it is cut between two texts, the rest is no JSON: the token stands alone in it.
    """
    middle = len(body) // 2
    start, end = body.rfind(b'"', 0, middle) + 1, body.find(b'"', middle)
    if len(body) < LARGE or start == 0 or end - start < middle or not _is_value(body, start, end):
        return None
    token = f"text {secrets.token_hex(16)}"
    return LargeJson(body[:start] + token.encode() + body[end:], token, memoryview(body)[start:end])


def _is_value(body: bytes, start: int, end: int) -> bool:
    """Whether what surrounds a text shows that it is one, a value, and not what lies between two others."""
    before, after = body[max(0, start - 9) : start - 1].rstrip(), body[end + 1 : end + 9].lstrip()
    return before[-1:] in (b":", b",", b"[") and after[:1] in (b",", b"}", b"]")


def _before_cut_escape(text: str) -> int:
    """Where an escape begins that the end of the text may cut; the end where there is none."""
    last = text.rfind("\\", len(text) - _LONGEST_ESCAPE + 1)
    run = len(text[: last + 1]) - len(text[: last + 1].rstrip("\\"))
    return last if run % 2 else len(text)
