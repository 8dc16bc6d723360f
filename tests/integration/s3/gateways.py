"""Gateways before the embedded S3 that lack or refuse something, as real ones do."""

import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """What a client asked for; `key` is without the bucket."""

    method: str
    bucket: str
    key: str
    query: str
    headers: Mapping[str, str]

    @property
    def deletes_many(self) -> bool:
        return self.method == "POST" and self.query.split("=")[0] == "delete"


@dataclass(frozen=True)
class Refusal:
    """An answer that is not the server's own."""

    status: int
    body: bytes = b""
    media_type: str = "application/xml"


def refusal(status: int, code: str) -> Refusal:
    """One in XML."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>no {code}</Message></Error>'
    return Refusal(status, body.encode())


Rule = Callable[[Request], Refusal | None]


@dataclass
class Gateway:
    """The gateway's address, what it refuses, and what it was asked for; `rule` may change at any time."""

    endpoint: str
    rule: Rule
    asked: list[Request] = field(default_factory=list)

    def deletes(self) -> list[Request]:
        return [one for one in self.asked if one.method == "DELETE" or one.deletes_many]


@contextmanager
def gateway_before(
    endpoint: str, rule: Rule = lambda _request: None, tls: ssl.SSLContext | None = None
) -> Iterator[Gateway]:
    """A gateway that passes on what its rule does not refuse; signatures hold, since the Host header stays."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = urlsplit(self.path)
            bucket, _, key = unquote(address.path).removeprefix("/").partition("/")
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, bucket, key, address.query, headers)
            served.asked.append(request)
            refused = served.rule(request)
            if refused is not None:
                self.answer(refused.status, [("Content-Type", refused.media_type)], refused.body)
                return
            upstream = http.client.HTTPConnection(endpoint, timeout=20)
            try:
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    upstream.putheader(name, value)
                upstream.endheaders(body)
                answer = upstream.getresponse()
                self.answer(answer.status, answer.getheaders(), answer.read())
            finally:
                upstream.close()

        def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve  # noqa: N815 the names that http.server calls

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # who speaks no TLS to it, or goes away
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    served = Gateway(f"127.0.0.1:{server.server_address[1]}", rule)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
