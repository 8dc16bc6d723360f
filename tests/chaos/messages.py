"""HTTP requests as bytes, each with the one verdict it deserves."""

import base64
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.integration.gateway.hostile import FORM, Case, all_cases, form

RUN = "/v1/run/body_masks"
OK = "ok"
NOT_HTTP = "not_http"
ANNOUNCED = 100_000_000
MEGABYTE = b"\0" * 1_000_000


@dataclass(frozen=True)
class Message:
    """A request; its answers' verdict must be `expected`, and answers of the same `name` must not differ."""

    name: str
    wire: bytes
    expected: str = OK

    @property
    def body_at(self) -> int:
        """Where the head ends."""
        return self.wire.index(b"\r\n\r\n") + 4


def post(content: bytes, content_type: str, *, query: str = "", headers: Mapping[str, str] | None = None) -> bytes:
    """A `POST /v1/run/body_masks`."""
    fields = {"Content-Type": content_type, "Content-Length": str(len(content)), **(headers or {})}
    return _head(f"POST {RUN}{'?' if query else ''}{query}", fields) + content


def good_messages(photos: Mapping[str, bytes]) -> list[Message]:
    """Every photo, with several parameters, as a form, as JSON and raw: the way in makes no difference to the name."""
    choices: tuple[Mapping[str, str], ...] = (
        {"mask_types": "upper_body"},
        {"mask_types": "dress", "gender": "F", "style": "labels"},
        {"mask_types": "lower_body", "frame": "canvas"},
        {},
    )
    return [message for name, photo in photos.items() for fields in choices for message in _ways(name, photo, fields)]


def hostile_messages() -> list[Message]:
    """The table of hostile inputs."""
    return [Message(case.name, _case(case), case.code) for case in all_cases()]


def huge_messages() -> list[Message]:
    """Bodies over the limit: 100 MB announced of which 1 MB comes, and 34 MB that were not announced."""
    announced = _head(f"POST {RUN}", {"Content-Type": "image/jpeg", "Content-Length": str(ANNOUNCED)})
    chunked = _head(f"POST {RUN}", {"Content-Type": "image/jpeg", "Transfer-Encoding": "chunked"})
    chunks = (b"%x\r\n" % len(MEGABYTE) + MEGABYTE + b"\r\n") * 34 + b"0\r\n\r\n"
    return [
        Message("huge-announced", announced + MEGABYTE, "body_too_large"),
        Message("huge-unannounced", chunked + chunks, "body_too_large"),
    ]


def garbage_messages(dice: random.Random) -> list[Message]:
    """Bytes that are no HTTP, and HTTP that nobody needs."""
    start = f"POST {RUN} HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n".encode()
    no_http = {
        "noise": b"\xff" + dice.randbytes(500) + b"\r\n\r\n",
        "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(200),
        "words": b"hello, is anybody there\r\n\r\n",
        "no-target": b"GET\r\n\r\n",
        "version": f"GET {RUN} HTTP/9.9\r\n\r\n".encode(),
        "negative-length": start + b"Content-Length: -1\r\n\r\n",
        "endless-length": start + b"Content-Length: 99999999999999999999999\r\n\r\n",
        "two-lengths": start + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "length-and-chunks": start + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "space-in-name": start + b"X Y: z\r\n\r\n",
        "zero-in-value": start + b"X: a\0b\r\n\r\n",
        "bad-chunk": start + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nxx\r\n",
    }
    odd = {
        "no-such-method": (_head("BREW /pot", {}), "not_found"),
        "get": (_head(f"GET {RUN}", {}), "method_not_allowed"),
        "dots": (_head("GET /v1/run/../../etc/passwd", {}), "not_found"),
        "not-utf8": (_head("GET /%ff%fe%00", {}), "not_found"),
        "other-pipeline": (_head("POST /v1/run/%F0%9F%92%A9", {"Content-Length": "0"}), "pipeline_not_found"),
        "high-bytes": (start + b"X: \xff\xfe\xfd\r\nContent-Length: 0\r\n\r\n", "body_empty"),
        "long-header": (start + b"X: " + b"y" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n", NOT_HTTP),
        "many-headers": (start + b"X: y\r\n" * 5_000 + b"Content-Length: 0\r\n\r\n", NOT_HTTP),
    }
    table = {**{name: (wire, NOT_HTTP) for name, wire in no_http.items()}, **odd}
    return [Message(f"garbage-{name}", wire, expected) for name, (wire, expected) in table.items()]


def _ways(name: str, photo: bytes, fields: Mapping[str, str]) -> Iterator[Message]:
    query = "&".join(f"{key}={value}" for key, value in fields.items())
    name = f"{name}?{query}"
    texts = [(key, value.encode()) for key, value in fields.items()]
    document = {"image": base64.b64encode(photo).decode(), **fields}
    yield Message(name, post(form(("image", photo), *texts), FORM, headers={"Expect": "100-continue"}))
    yield Message(name, post(json.dumps(document).encode(), "application/json"))
    yield Message(name, post(photo, "image/jpeg", query=query))


def _case(case: Case) -> bytes:
    return post(case.content, case.content_type, query=case.query, headers=case.headers)


def _head(target: str, fields: Mapping[str, str]) -> bytes:
    lines = (f"{target} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in fields.items()), "", "")
    return "\r\n".join(lines).encode()
