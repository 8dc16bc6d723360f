"""A server that nobody means well with: it answers every request with the bytes that it was made with."""

import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from typing_extensions import override

Answer = Callable[[str], Iterable[bytes]]
"""Of a path: pieces, which may never end."""


@dataclass
class Hostile:
    """The server; `heads` are those of the requests that came."""

    url: str
    heads: list[str] = field(default_factory=list)


@contextmanager
def hostile(answer: Answer) -> Iterator[Hostile]:
    """It answers until the context ends."""

    class Handler(socketserver.StreamRequestHandler):
        timeout = 30

        @override
        def handle(self) -> None:
            try:
                if head := _head(self.rfile):
                    server.heads.append(head)
                    for piece in answer(head.split(" ")[1]):
                        self.wfile.write(piece)
            except OSError:  # the client has heard enough
                return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as listener:
        server = Hostile(f"http://127.0.0.1:{listener.server_address[1]}")
        threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            listener.shutdown()


def _head(file: BinaryIO) -> str:
    """The head of a request, whose body is read and forgotten."""
    lines: list[str] = []
    while (line := file.readline().decode("latin-1")) not in {"", "\r\n"}:
        lines.append(line)
    length = next((one for one in lines if one.lower().startswith("content-length:")), ":0")
    file.read(int(length.partition(":")[2]))
    return "".join(lines)


def http(body: bytes, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    """A whole answer."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode() + body
