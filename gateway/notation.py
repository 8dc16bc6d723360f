"""JSON and base64 as callers write them: read in one way, whichever way they came in."""

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator

MAX_VALUES, MAX_CONTAINERS = 200_000, 20_000
"""Of JSON, and arrays and objects among them: 16 faces of 478 points have 40,000 and 8,000."""
_DEEPEST = 64
_MOST_DIGITS = 4000
"""Below the 4300 of Python, which an environment variable changes."""
_PIECE_DIGITS = 256 * 1024
"""Decoded in about a millisecond."""
_PLAIN, _SPACES = bytes.maketrans(b"-_", b"+/"), b" \t\n\r\x0b\x0c"
_UNUSUAL = b"-_" + _SPACES
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DATA_URL = re.compile(r"\s*data:", re.IGNORECASE)


def read_json(data: bytes | str) -> object:
    """The value of a JSON text (RFC 8259) of UTF-8, or of UTF-16 or 32, with or without byte order mark.

    Raises ValueError for what two readers could read differently, or a database cannot keep: a name given twice in an
    object, lone surrogates, numbers that are none (NaN) or too large; and for more than 64 levels, or MAX_VALUES
    values or MAX_CONTAINERS, which are counted before: commas and opening brackets.
    """
    text = data if isinstance(data, str) else _text(data)
    containers = text.count("[") + text.count("{")
    if text.count(",") + containers > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
    if containers > MAX_CONTAINERS:
        raise ValueError(f"more than {MAX_CONTAINERS} arrays and objects, or nested deeper than {_DEEPEST} levels")
    try:
        value = _DECODER.decode(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise _too_deep() from error
    _check(value)
    return value


def read_base64(text: str) -> bytes:
    """The bytes of base64, or of a `data:` URL (RFC 2397), its percent-encoding undone.

    Of both alphabets of RFC 4648 (`+/` and `-_`), with line breaks and spaces, with or without padding. Raises
    ValueError, which says what the text is instead.
    """
    if _DATA_URL.match(text):
        head, comma, text = text.partition(",")
        if not comma:
            raise ValueError("a data: URL has a comma before its data")
        if not head.rstrip().lower().endswith(";base64"):
            return _unquoted(text)
        text = _unquoted(text).decode("latin-1") if "%" in text else text
    try:
        return _decoded(text)
    except _PaddingError as error:
        raise ValueError(f"{_what(text)}incorrect padding, or cut short: {error} digits") from error
    except ValueError as error:
        raise ValueError(f"{_what(text)}only letters, digits, +/ or -_, and = at the end are base64") from error


class _PaddingError(ValueError):
    """Too many `=`, or a number of digits that no bytes have."""


def _unquoted(text: str) -> bytes:
    """Percent-encoding undone (RFC 3986); a `%` that begins no escape stays. In pieces, as below.

    As the quoted-printable that it resembles, of which Python makes no object for each escape: 32 MiB took 2.5 GiB.
    """
    start, pieces = 0, []
    while start < len(text):
        end = start + _PIECE_DIGITS
        cut = text.rfind("%", end - 2, end)
        end = end if cut < 0 else cut
        piece = _NO_ESCAPE.sub(b"%25", text[start:end].encode())
        pieces.append(binascii.a2b_qp(piece.replace(b"=", b"%3D").replace(b"%", b"=")))
        start = end
    return b"".join(pieces)


def _decoded(text: str) -> bytes:
    """In pieces: a call on a whole photo would hold Python's lock, and with it the event loop, for 100 ms.

    Raises ValueError, _PaddingError.
    """
    photo, kept, count, padding = list[bytes](), b"", 0, 0
    for start in range(0, len(text), _PIECE_DIGITS):
        piece = text[start : start + _PIECE_DIGITS].encode("ascii")
        if any(map(piece.__contains__, _UNUSUAL)):
            piece = piece.translate(_PLAIN, _SPACES)
        bare = piece.rstrip(b"=")
        if padding and bare:
            raise ValueError("more after the padding")
        padding += len(piece) - len(bare)
        count += len(bare)
        digits = kept + bare if kept else bare
        whole = len(digits) // 4 * 4
        photo.append(base64.b64decode(memoryview(digits)[:whole], validate=True))
        kept = digits[whole:]
    if padding > 2 or count % 4 == 1:  # noqa: PLR2004 as base64 is
        raise _PaddingError(f"{count}")
    photo.append(base64.b64decode(kept + b"=" * (-len(kept) % 4), validate=True))
    return b"".join(photo)


def _text(data: bytes) -> str:
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if data[:1] == b"\0":
            raise ValueError("it begins with a zero byte, as what a schema registry frames; send JSON alone") from error
        named = encoding.upper().removesuffix("-SIG")
        raise ValueError(f"not {named}: byte {error.start}, {error.reason}; send JSON as UTF-8") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{twice[:60]!a} is given twice in an object")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits is too large")
    return int(digits)


def _constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON; a number, or null")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant)


def _check(value: object) -> None:
    """Level by level: what is nested deeply would end other readers. Raises ValueError."""
    level: list[object] = [value]
    for _ in range(_DEEPEST):
        for one in level:
            _check_one(one)
        level = list(_inside(level))
        if not level:
            return
    raise _too_deep()


def _inside(level: Iterable[object]) -> Iterator[object]:
    for one in level:
        if isinstance(one, dict):
            yield from one
            yield from one.values()
        elif isinstance(one, list):
            yield from one


def _check_one(value: object) -> None:
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            escape = rf"\u{ord(value[error.start]):04x}"
            raise ValueError(f"{escape} is half a character, a lone surrogate; send both halves, or none") from error
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large, above 1.7e308")


def _too_deep() -> ValueError:
    return ValueError(f"nested deeper than {_DEEPEST} levels")


def _what(text: str) -> str:
    """What the text seems to be instead, where one can tell."""
    start = text.lstrip()[:8].lower()
    if start.startswith(("http://", "https://", "s3://")):
        return 'this is a URL, which {"url": …} or {"s3": …} take; '
    if start.startswith("data:"):
        return "this is a data: URL within another; "
    if start.startswith(("b'", 'b"')):
        return "this is how Python shows bytes: decode() them first; "
    if start.startswith(("{", "[", "<")):
        return "this is other text; "
    if "%" in text:
        return "this is percent-encoded: decode it first; "
    return ""
