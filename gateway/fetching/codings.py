"""Content-Encoding of what is fetched (RFC 9110 §8.4.1), undone within a limit."""

from gateway.errors import Problem
from gateway.intake.encoding import PIECE_BYTES, Decoder

ACCEPTED = "identity, gzip;q=0.5, deflate;q=0.5"
"""For Accept-Encoding: photos are compressed already, so the bytes themselves first."""
_TAKEN = frozenset({"gzip", "deflate"})
_OTHERS = frozenset({"aes128gcm", "br", "compress", "dcb", "dcz", "exi", "pack200-gzip", "zstd"})
"""IANA's registry, without `identity`. What is not in it changes no bytes: `aws-chunked`, as an SDK sent an object, and
what people write there (`base64`, `utf-8`, `binary`, `none`)."""


class CodingError(ValueError):
    """Why a body cannot be had out of its coding, in sentences about it."""


class TooLargeError(ValueError):
    """What comes out is larger than the limit."""


def coding_of(header: str) -> str:
    """`gzip` or `deflate`; empty for the bytes themselves. Raises CodingError for others, and for several."""
    named = [part.strip().lower().removeprefix("x-") for part in header.split(",")]
    codings = [one for one in named if one in _TAKEN | _OTHERS]
    if len(codings) > 1:
        raise CodingError(f"the body is encoded {len(codings)} times ({', '.join(codings)[:40]}); once is accepted.")
    coding = codings[0] if codings else ""
    if coding in _OTHERS:
        raise CodingError(f"the body comes {coding}-encoded; accepted are gzip, deflate and none.")
    return coding


def decoded(body: bytes, coding: str, limit: int) -> bytes:
    """What a body of this coding holds, at most `limit` bytes. Raises CodingError, TooLargeError.

    A gzip member's end costs a copy of what was given with it: so little at once.
    """
    if not coding:
        return body
    decoder, content = Decoder(coding), bytearray()
    try:
        for start in range(0, len(body), PIECE_BYTES):
            for piece in decoder.pieces(body[start : start + PIECE_BYTES]):
                content += piece
                if len(content) > limit:
                    raise TooLargeError
        decoder.finish()
    except Problem as problem:
        raise CodingError(f"the header Content-Encoding says {coding}. {problem.detail}") from problem
    return bytes(content)
