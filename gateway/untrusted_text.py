"""Text that others wrote: reads JSON, base64, lists and pairs strictly, and makes any text fit to be shown.

All foreign text goes through `shown` before it reaches a terminal.
"""

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

MAX_VALUES, MAX_CONTAINERS = 200_000, 20_000
"""Values in a JSON text, and arrays and objects among them. (16 faces of 478 points have 40,000 and 8,000.)"""
MAX_ITEMS = 64
"""Items of a list, or pairs."""
MOST = 4096
"""Letters of a text that are shown; no path has more."""
_DEEPEST = 64
_MOST_DIGITS = 4000
"""Below the 4300 of Python, which an environment variable can change."""
_PIECE_DIGITS = 256 * 1024
"""Decoded in about a millisecond."""
_PLAIN, _SPACES = bytes.maketrans(b"-_", b"+/"), b" \t\n\r\x0b\x0c"
_UNUSUAL = b"-_" + _SPACES
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DATA_URL = re.compile(r"\s*data:", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=//)([^/?#\s]*|[^/?#\s:]+:(?!\d{1,5}[/?#])\S*)@")
"""A password may have a slash that nobody escaped; a port is no password."""
_SIGNED = re.compile(
    r"(?i)([?&;](?:x-(?:amz|goog|oss)-(?:signature|credential|security-token)|awsaccesskeyid|googleaccessid|signature|sig"
    r"|se|sp|policy|key-pair-id|access_token|api[-_]?key|key|token|ticket|password|secret)=)[^&#\s\"'<>]+"
)
"""Secrets in addresses: presigned links of S3 and the like, tickets, keys."""
_PASSWORD = re.compile(r"(?i)(\bpassword\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)")
"""As in libpq's connection strings."""


def read_json(data: bytes | str) -> object:
    """The value of a JSON text (RFC 8259) of UTF-8, or of UTF-16 or 32, with or without byte order mark.

    Raises ValueError for what two readers could read differently, or a database cannot keep: a name given twice in an
    object, lone surrogates, NaN, and numbers that are too large. Also for more than 64 levels, MAX_VALUES values or
    MAX_CONTAINERS arrays and objects; commas and opening brackets are counted before the text is read.
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
    _check((value,), _DEEPEST)
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
    """Percent-encoding undone (RFC 3986); a `%` that begins no escape stays. In pieces, as in `_decoded`.

    It is rewritten as quoted-printable, which Python decodes without an object for each escape: with
    `urllib.parse.unquote_to_bytes` 32 MiB took 2.5 GiB.
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
    """Decode in pieces: one call for a whole photo would hold Python's lock, and so the event loop, for 100 ms.

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


def _check(values: Iterable[object], levels: int) -> None:
    """Check values, and all inside of them down to so many levels: other readers fail on more. Raises ValueError."""
    for value in values:
        if not levels:
            raise _too_deep()
        if isinstance(value, dict):
            _check(value, levels - 1)
            _check(value.values(), levels - 1)
        elif isinstance(value, list):
            _check(value, levels - 1)
        elif isinstance(value, str) and not value.isascii():
            _check_text(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError("a number is too large, above 1.7e308")


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        escape = rf"\u{ord(value[error.start]):04x}"
        raise ValueError(f"{escape} is half a character, a lone surrogate; send both halves, or none") from error


def _too_deep() -> ValueError:
    return ValueError(f"nested deeper than {_DEEPEST} levels")


def _what(text: str) -> str:
    """What the text seems to be instead; empty if that is unknown."""
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


def split_list(value: object) -> object:
    """Items of comma-separated text, or of a list of such texts; anything else is passed on to validation.

    Raises ValueError past MAX_ITEMS items, so that a hostile list costs nothing.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        return value
    if len(texts) > MAX_ITEMS:
        raise ValueError(f"at most {MAX_ITEMS} items are accepted")
    items = [part for text in texts for part in _parts(text)]
    if len(items) > MAX_ITEMS:
        raise ValueError(f"at most {MAX_ITEMS} items are accepted")
    return items


def without_repeats(items: tuple[T, ...]) -> tuple[T, ...]:
    """The items in their first order, each once."""
    return tuple(dict.fromkeys(items))


def not_empty(items: tuple[T, ...]) -> tuple[T, ...]:
    """The items. Raises ValueError where there are none."""
    if not items:
        raise ValueError("at least one item is needed")
    return items


def _parts(text: object) -> list[object]:
    if not isinstance(text, str):
        return [text]
    return [part.strip() for part in text.split(",") if part.strip()]


def split_pairs(value: object) -> object:
    """`name=value` pairs, comma-separated, or the text of a JSON object, as an object of at most MAX_ITEMS.

    Raises ValueError.
    """
    pairs = value
    if isinstance(value, str) and value.lstrip().startswith("{"):
        pairs = parsed_json(value)
    elif isinstance(value, str):
        parts = [part.partition("=") for part in value.split(",") if part.strip()]
        pairs = {name.strip(): said.strip() for name, _, said in parts}
    if isinstance(pairs, dict) and len(pairs) > MAX_ITEMS:
        raise ValueError(f"at most {MAX_ITEMS} items are accepted")
    return pairs


def parsed_json(value: object) -> object:
    """What the text of JSON says; anything else as it is. Raises ValueError."""
    if not isinstance(value, str):
        return value
    try:
        return read_json(value)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error


def printable(text: object) -> str:
    """The text on one line: line breaks, changes of direction and control characters are escaped."""
    line = str(text)
    return line if line.isprintable() else "".join(map(_escaped, line))


def shown(text: object) -> str:
    """The text as `printable` has it, without passwords and signatures of addresses in it, and cut where it is long."""
    line = str(text)
    cut = line if len(line) <= MOST else f"{line[:MOST]}…"
    return printable(_PASSWORD.sub(r"\1…", _SIGNED.sub(r"\1…", _LOGIN.sub("…@", cut))))


def json_text(value: object, indent: int | None = None) -> str:
    """The value as JSON without a character that controls a terminal; read again, it is the same value."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()
