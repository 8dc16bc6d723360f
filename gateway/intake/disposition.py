"""Content-Disposition of a form's part: the names in it, in every way that clients write them.

Browsers follow the WHATWG (raw UTF-8 in quotes; `"` and line ends as %22, %0D, %0A), urllib3 1 and mail libraries RFC
8187 (`filename*=UTF-8''na%C3%AFve.jpg`), some of them RFC 2231 (`filename*0=`, `filename*1=`). RFC 7578 §4.2 tells
clients to leave the last two, and they send them. .NET sends encoded words (RFC 2047): `=?utf-8?B?bmHDr3ZlLmpwZw==?=`.
"""

import base64
import quopri
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote_to_bytes

_PARAMETER = re.compile(
    rb"""
    ;[ \t]*(?P<key>[^=;" \t]+)[ \t]*=[ \t]*
    (?:"(?P<quoted>(?:[^"\\]|\\.)*)"(?=[ \t]*(?:;|$)) | "(?P<raw>[^"]*)" | (?P<token>[^;"]*))
    """,
    re.VERBOSE | re.DOTALL,
)
"""A quoted value in which a backslash escapes; one that ends in one, which browsers do not escape; a bare value."""
_ESCAPED = re.compile(rb'\\(["\\])')
_OF_BROWSERS = re.compile(rb"%(22|0[AaDd])")
_CHARSETS = frozenset({"utf-8", "iso-8859-1", "us-ascii"})
_WORD = rb"=\?(?P<charset>[\w-]+)\?(?P<way>[BbQq])\?(?P<text>[^? ]*)\?="
_ENCODED_WORD = re.compile(_WORD)
_ENCODED_WORDS = re.compile(rb"(?:" + re.sub(rb"\?P<\w+>", rb"", _WORD) + rb"[ \t]*)+")
_MOST_PIECES = 64


def parameter(header: bytes, name: str) -> str | None:
    """The parameter `name`: as RFC 8187 or 2231 has it where that can be read, else the plain one; None for neither."""
    given = dict(_parameters(header))
    for value in (_extended(given, name), _in_pieces(given, name)):
        if value is not None:
            return value
    plain = given.get(name)
    if plain is None:
        return None
    words = _in_words(plain)
    if words is not None:
        return words
    return _OF_BROWSERS.sub(lambda found: bytes.fromhex(found[1].decode()), plain).decode("utf-8", "replace")


def _parameters(header: bytes) -> Iterator[tuple[str, bytes]]:
    """Names in small letters, and values without quotes."""
    for found in _PARAMETER.finditer(header):
        name, quoted, bare = found["key"].decode("latin-1").lower(), found["quoted"], found["raw"] or found["token"]
        yield name, (bare or b"").strip() if quoted is None else _ESCAPED.sub(rb"\1", quoted)


def _extended(given: Mapping[str, bytes], name: str) -> str | None:
    value = given.get(f"{name}*")
    if value is None:
        return None
    charset, encoded = _with_charset(value)
    return _text(charset, unquote_to_bytes(encoded))


def _in_pieces(given: Mapping[str, bytes], name: str) -> str | None:
    """RFC 2231 §3 and §4.1: pieces numbered from 0, each percent-encoded if its number ends in `*`."""
    charset, content = "utf-8", b""
    for number in range(_MOST_PIECES):
        plain, encoded = given.get(f"{name}*{number}"), given.get(f"{name}*{number}*")
        if encoded is not None:
            if number == 0:
                charset, encoded = _with_charset(encoded)
            content += unquote_to_bytes(encoded)
        elif plain is not None:
            content += plain
        elif number == 0:
            return None
        else:
            break
    return _text(charset, content)


def _in_words(value: bytes) -> str | None:
    """The text of encoded words, where the value is nothing else; a character may lie in two of them."""
    if not _ENCODED_WORDS.fullmatch(value):
        return None
    words = list(_ENCODED_WORD.finditer(value))
    try:
        content = b"".join(_word(word["way"], word["text"]) for word in words)
    except ValueError:
        return None
    return _text(words[0]["charset"].decode().lower(), content)


def _word(way: bytes, text: bytes) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text, validate=True) if way in b"Bb" else quopri.decodestring(text, header=True)


def _with_charset(value: bytes) -> tuple[str, bytes]:
    """`charset'language'value`; no charset where that is not its form."""
    charset, _, rest = value.partition(b"'")
    _, found, encoded = rest.partition(b"'")
    return charset.decode("latin-1").lower() if found else "", encoded


def _text(charset: str, content: bytes) -> str | None:
    """None for other charsets than RFC 8187's, and for what is none of theirs."""
    if charset not in _CHARSETS:
        return None
    try:
        return content.decode(charset)
    except UnicodeDecodeError:
        return None
