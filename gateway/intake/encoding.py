"""Content-Encoding of requests (RFC 9110 §8.4.1): which ones are accepted."""

from gateway.errors import Problem
from gateway.fetching.codings import Decoder

_ACCEPTED = "gzip, deflate"


def check_plain(content_encoding: str) -> None:
    """Raises Problem `encoding_unsupported` for a body that was compressed."""
    if _named(content_encoding):
        detail = "This body is read as it comes; send it without Content-Encoding, the photos as they are."
        raise Problem("encoding_unsupported", detail, headers={"Accept-Encoding": "identity"})


def decoder_for(content_encoding: str) -> Decoder | None:
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


def _named(content_encoding: str) -> list[str]:
    return [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
