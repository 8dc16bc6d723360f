"""Content-Encoding: bodies that were compressed on their way, decompressed piece by piece (RFC 9110 §8.4.1)."""

import zlib
from collections.abc import Iterator

from gateway.errors import Problem

PIECE_BYTES = 64 * 1024
_ACCEPTED = "gzip, deflate"
_GZIP, _ZLIB, _RAW = 31, zlib.MAX_WBITS, -zlib.MAX_WBITS
"""How zlib tells its formats apart: RFC 1952, 1950 and 1951."""
_MOST_MEMBERS = 4096
"""Of a gzip stream. BGZF begins one each 64 KB; more than these are made to keep us busy."""


def check_plain(content_encoding: str) -> None:
    """Raises Problem `encoding_unsupported` for a body that was compressed."""
    if _named(content_encoding):
        detail = "This body is read as it comes; send it without Content-Encoding, the photos as they are."
        raise Problem("encoding_unsupported", detail, headers={"Accept-Encoding": "identity"})


def decoder_for(content_encoding: str) -> "Decoder | None":
    """None for a body that was not compressed. Raises Problem `encoding_unsupported`."""
    match _named(content_encoding):
        case []:
            return None
        case ["gzip" | "x-gzip"]:
            return Decoder("gzip")
        case ["deflate"]:
            return Decoder("deflate")
    detail = f"Content-Encoding: {content_encoding[:60]} is not accepted; send gzip or deflate, or the body as it is."
    raise Problem("encoding_unsupported", detail, headers={"Accept-Encoding": _ACCEPTED})


class Decoder:
    """Undoes gzip, in one member or several, or deflate, which many send without the zlib header it should have."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._members = 0
        self._first = b""
        self._stream: zlib._Decompress | None = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What more data decode to, in pieces of at most PIECE_BYTES. Raises Problem `invalid_encoding`."""
        pending = False
        while data or pending:
            if self._stream is None:
                data = self._begin(data)
            if self._stream is None:
                return
            piece = self._decompress(self._stream, data)
            pending = len(piece) == PIECE_BYTES
            if self._stream.eof:
                data, pending, self._stream = self._stream.unused_data, False, None
            else:
                data = self._stream.unconsumed_tail
            if piece:
                yield piece

    def finish(self) -> None:
        """The body is at its end. Raises Problem `invalid_encoding` where the stream is not."""
        if self._stream is not None or self._first:
            raise self._wrong("ends early; send all of it")

    def _begin(self, data: bytes) -> bytes:
        """Open a stream, as soon as its two first bytes are there; what it is to read."""
        if self._members:
            data = data.lstrip(b"\0")  # gzip pads to the size of a tape's block
        data = self._first + data
        if len(data) < len(b"\x1f\x8b"):
            self._first = data
            return b""
        self._first = b""
        self._members += 1
        if self._members > (_MOST_MEMBERS if self._name == "gzip" else 1):
            raise self._wrong("goes on after its end; send it alone")
        self._stream = zlib.decompressobj(_GZIP if self._name == "gzip" else _deflate_bits(data))
        return data

    def _decompress(self, stream: "zlib._Decompress", data: bytes) -> bytes:
        try:
            return stream.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            raise self._wrong(f"is damaged ({error}); send it as it was made") from error

    def _wrong(self, what: str) -> Problem:
        return Problem("invalid_encoding", f"The {self._name} stream {what}.")


def _named(content_encoding: str) -> list[str]:
    return [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]


def _deflate_bits(start: bytes) -> int:
    """A zlib header has 8 in the low half of its first byte, and is a multiple of 31 (RFC 1950 §2.2)."""
    is_zlib = start[0] & 0x0F == zlib.DEFLATED and int.from_bytes(start[:2], "big") % 31 == 0
    return _ZLIB if is_zlib else _RAW
