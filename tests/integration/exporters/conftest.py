"""A file server on this machine that can resume, ignore ranges, cut answers short, or change its file."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from exporters.catalogue import Paths


@dataclass
class FileServer:
    """What is served, how, and the requests seen so far."""

    content: bytes = bytes(range(256)) * 4096
    resumes: bool = True
    cuts: list[int] = field(default_factory=list)
    """Bytes after which each coming answer is cut off."""
    statuses: list[int] = field(default_factory=list)
    """Statuses of the coming answers, 200 when used up."""
    validator: str | None = None
    ranges: list[str | None] = field(default_factory=list)
    port: int = 0

    @property
    def etag(self) -> str:
        return self.validator or f'"{hashlib.sha256(self.content).hexdigest()[:8]}"'

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/file.bin"


class _Handler(BaseHTTPRequestHandler):
    files: FileServer

    def do_GET(self) -> None:
        files, wanted = self.files, self.headers.get("Range")
        files.ranges.append(wanted)
        if files.statuses:
            self.send_error(files.statuses.pop(0))
            return
        resumed = wanted is not None and files.resumes and self.headers.get("If-Range") == files.etag
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if resumed and wanted else 0
        if start >= len(files.content):
            self.send_error(416)
            return
        self.send_response(206 if resumed else 200)
        if resumed:
            self.send_header("Content-Range", f"bytes {start}-{len(files.content) - 1}/{len(files.content)}")
        if files.validator != "":
            self.send_header("ETag", files.etag)
        self.send_header("Content-Length", str(len(files.content) - start))
        self.end_headers()
        body = files.content[start:]
        self.wfile.write(body[: files.cuts.pop(0)] if files.cuts else body)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    files = FileServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"files": files}))
    files.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield files
    server.shutdown()
    thread.join()
    server.server_close()


class Shelf:
    """A catalogue written for one test, and the folders it is fetched into."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(folder / "catalogue.toml", folder / "files", folder / "model_repository")
        self.paths.catalogue.touch()

    def add(self, name: str, content: bytes, source: str, sha256: str | None = None) -> None:
        digest = sha256 or hashlib.sha256(content).hexdigest()
        with self.paths.catalogue.open("a") as catalogue:
            catalogue.write(
                f'[[file]]\nname = "{name}"\nkind = "photo"\nlicence = "CC0-1.0"\nbytes = {len(content)}\n'
                f'sha256 = "{digest}"\npurpose = "a test"\nused_by = ["demo"]\nsource = {source}\n'
            )

    @property
    def names(self) -> list[str]:
        """Everything in the folder of fetched files but the lock."""
        return sorted(path.name for path in self.paths.files.iterdir() if path.name != ".lock")

    def content(self, name: str) -> bytes:
        return (self.paths.files / name).read_bytes()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)
