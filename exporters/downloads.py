"""What every kind of fetching needs, and files at a URL. A lost connection or a restart only interrupts a download."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import httpx
from pydantic import BaseModel, ConfigDict

from exporters.errors import FetchError
from gateway.hosts import ProxyError, ProxyTransport

_CHUNK = 1 << 20
_ATTEMPTS = 3
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Part:
    """The file `path` of at most `size` bytes, as the catalogue says."""

    path: Path
    size: int

    def fill(self, source: IO[bytes]) -> None:
        """Write all of `source`. Raises FetchError as soon as it is too long. Then nothing is left."""
        try:
            with self.path.open("wb") as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    self.require(target.tell())
        except FetchError:
            self.path.unlink()
            raise

    def require(self, size: int) -> None:
        """Raise FetchError if there are more bytes than allowed."""
        if size > self.size:
            raise FetchError(f"{self.path.stem} is longer than the {self.size} bytes that the catalogue says")


class Listener:
    """Watches tasks by name. This one shows nothing."""

    def started(self, task: str, total: int | None) -> None:
        """A task begins. `total` is in bytes, None if it is not known."""

    def advanced(self, task: str, done: int) -> None:
        """`done` bytes so far."""

    def finished(self, task: str) -> None:
        """The task has ended, successfully or not."""

    @contextmanager
    def watching(self, task: str, total: int | None = None) -> Iterator[None]:
        """The task lasts as long as the context."""
        self.started(task, total)
        try:
            yield
        finally:
            self.finished(task)


class FileSource(BaseModel):
    """Where one file of the catalogue comes from. `archive` names what is downloaded once for all its members."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def obstacle(self) -> str | None:
        """Why this machine cannot fetch from here, if so."""
        return None


class UrlSource(FileSource):
    """One file behind one URL."""

    type: Literal["url"]
    url: str

    @property
    def archive(self) -> str:
        """What is downloaded: the file itself."""
        return self.url

    @property
    def member(self) -> str:
        """The file, named by its URL."""
        return self.url

    def retrieve(self, targets: Mapping[str, Part], listener: Listener) -> None:
        """Download to the one path of `targets`, continuing what an earlier call left there.

        Raises FetchError. What has arrived then stays, with the server's validator beside it. Public hosts are asked
        through the proxy of the environment, if there is one.
        """
        (part,) = targets.values()
        try:
            with httpx.Client(follow_redirects=True, timeout=_TIMEOUT_S, transport=ProxyTransport()) as client:
                _download_persistently(client, self.url, part, listener)
        except (httpx.HTTPError, httpx.InvalidURL, ProxyError) as error:
            raise FetchError(f"{self.url}: {error}") from error
        _validator(part.path).unlink(missing_ok=True)


def _download_persistently(client: httpx.Client, url: str, part: Part, listener: Listener) -> None:
    """Try again, from where it stopped, when the connection or the server fails."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(httpx.HTTPError):
            return _download(client, url, part, listener)
    return _download(client, url, part, listener)


def _download(client: httpx.Client, url: str, part: Part, listener: Listener) -> None:
    path = part.path
    with client.stream("GET", url, headers=_resume_headers(path)) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            path.unlink(missing_ok=True)
        response.raise_for_status()
        start = _start(response)
        if start is not None and start != path.stat().st_size:
            path.unlink()
            raise httpx.RemoteProtocolError(f"asked for the rest of {path.name}, got bytes from {start}")
        _save_validator(response, path)
        _append(response, part, start or 0, listener)


def _resume_headers(path: Path) -> dict[str, str]:
    """Ask for the missing rest if the file is still the same, without compression, so that bytes can be counted."""
    headers = {"Accept-Encoding": "identity"}
    validator = _validator(path)
    if path.exists() and path.stat().st_size and validator.exists():
        headers |= {"Range": f"bytes={path.stat().st_size}-", "If-Range": validator.read_text()}
    return headers


def _start(response: httpx.Response) -> int | None:
    """First byte of a partial answer (RFC 9110 §14.4), None for a whole one."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return None
    first, _, _ = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")
    return int(first) if first.isdecimal() else -1


def _save_validator(response: httpx.Response, path: Path) -> None:
    """Keep a strong ETag, else the date. Without either, an interrupted download starts again (RFC 9110 §13.1.5)."""
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    if validator:
        _validator(path).write_text(validator)
    else:
        _validator(path).unlink(missing_ok=True)


def _append(response: httpx.Response, part: Part, start: int, listener: Listener) -> None:
    """Append to the file. If it grows too long, FetchError is raised and nothing is left."""
    url, length = str(response.url), response.headers.get("Content-Length")
    total = start + int(length) if length else None
    try:
        with listener.watching(url, total), part.path.open("ab" if start else "wb") as stream:
            for chunk in response.iter_bytes():
                stream.write(chunk)
                part.require(stream.tell())
                listener.advanced(url, stream.tell())
    except FetchError:
        part.path.unlink()
        _validator(part.path).unlink(missing_ok=True)
        raise


def _validator(path: Path) -> Path:
    return path.with_name(f"{path.name}.validator")
