"""`python -m loadtests.text`: how texts of many small items, in every field, affect other callers."""

import asyncio
import base64
import itertools
import json
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from gateway.http.openapi import tiny_png
from loadtests.caller import BOUNDARY

FILLINGS: Mapping[str, tuple[str, str, str]] = {
    "[[],[],…]": ("[", "[],", "0]"),
    '{"":0,…}': ("{", '"":0,', '"a":0}'),
    "0,0,0,…": ("", "0,", "0"),
    ",,,,": ("", ",", ""),
    "&a&a&a": ("", "&a", ""),
}
"""How a text begins, its items, and how it ends."""
_BESIDE: Mapping[str, str] = {"user_id": "u", "job_id": "j"}
_PHOTOS = ("image", "user_image", "file", "files")
_MIB = 1024 * 1024
_ALONE_S = 2.0

app = typer.Typer()


@dataclass(frozen=True)
class Place:
    """A field of a route, in a form, in JSON or in the address."""

    path: str
    way: str
    name: str
    photo: str


@dataclass
class Seen:
    """Observations of some requests: milliseconds of /health/live, seconds of the answers, MiB, codes."""

    health: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    longest: int = 0
    codes: Counter[str] = field(default_factory=Counter)

    def row(self) -> tuple[str, ...]:
        """The cells of a table."""
        codes = ", ".join(f"{code} {count}" for code, count in self.codes.most_common())
        health = np.array(self.health)
        return (
            f"{np.percentile(health, 99):.0f}", f"{health.max():.0f}", f"{max(self.answers):.2f}",
            f"{max(self.memory):.0f}", f"{self.longest}", codes,
        )  # fmt: skip


@app.command()
def measure(
    megabytes: Annotated[list[int] | None, typer.Option(help="Sizes of the texts; 3 and 33.")] = None,
    at_once: Annotated[int, typer.Option(help="Requests at one time.")] = 6,
    most: Annotated[int, typer.Option(help="Fields with each kind of text, at most.")] = 1000,
    *,
    every: Annotated[bool, typer.Option(help="Each field with each text; else each with one of them.")] = False,
) -> None:
    """For each kind of text, print the worst values of /health/live, the answers and the gateway's memory."""
    columns = ("text", "in", "MB", "live p99 ms", "live max ms", "answer s", "memory +MiB", "answer bytes", "codes")
    table = Table(*columns, title=f"{at_once} at once")
    with _gateway() as (port, pid):
        places = list(_places(port))
        _warm_up(port)
        before = _peak(pid)
        with _probing(port) as alone:
            time.sleep(_ALONE_S)
        table.add_row("none", "", "", f"{np.percentile(alone, 99):.0f}", f"{max(alone):.0f}")
        for size in megabytes or [3, 33]:
            for (filling, way), some in _kinds(places, every=every).items():
                seen, text = Seen(), _text(filling, size * 1_000_000)
                with _probing(port) as seen.health:
                    for place in some[:most]:
                        _attack(port, pid, _request(port, place, text), at_once, before, seen)
                table.add_row(filling, way, f"{size}", *seen.row())
        restarted = "the gateway lives" if Path(f"/proc/{pid}").exists() else "THE GATEWAY DIED"
    Console(width=180).print(table, f"{len(places)} fields; {restarted}")


@app.command()
def probe(port: int) -> None:
    """Print the milliseconds of each GET /health/live, until stdin ends."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        client.get("/health/live")
        print("ready", flush=True)  # noqa: T201 the parent waits for it
        times = []
        while not select.select([sys.stdin], [], [], 0)[0]:
            began = time.perf_counter()
            client.get("/health/live").raise_for_status()
            times.append((time.perf_counter() - began) * 1e3)
            time.sleep(0.005)
    print(json.dumps(times))  # noqa: T201 the parent reads it


def _kinds(places: Sequence[Place], *, every: bool) -> dict[tuple[str, str], list[Place]]:
    kinds: dict[tuple[str, str], list[Place]] = {}
    for place, filling in zip(places, itertools.cycle(FILLINGS)) if not every else itertools.product(places, FILLINGS):
        kinds.setdefault((filling, place.way), []).append(place)
    return kinds


def _text(filling: str, size: int) -> str:
    start, item, end = FILLINGS[filling]
    return start + item * (size // len(item)) + end


def _places(port: int) -> Iterator[Place]:
    """Every field in the API's description."""
    document = httpx.get(f"http://127.0.0.1:{port}/openapi.json", trust_env=False).json()
    for path, operations in document["paths"].items():
        operation = operations.get("post", {})
        for kind, body in operation.get("requestBody", {}).get("content", {}).items():
            schema = _resolved(document, body.get("schema", {}))
            names = list(schema.get("properties", ()))
            photo = next((name for name in names if name in _PHOTOS), None)
            if photo and kind in ("multipart/form-data", "application/json"):
                way = "a form" if kind.startswith("multipart") else "JSON"
                yield from (Place(path, way, name, photo) for name in names if name not in _PHOTOS)
                yield Place(path, way, "no_such_field", photo)


def _resolved(document: Mapping[str, object], schema: dict[str, object]) -> dict[str, dict[str, object]]:
    found: object = schema
    while isinstance(found, dict) and "$ref" in found:
        reference, found = str(found["$ref"]), document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name] if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def _request(port: int, place: Place, text: str) -> list[bytes]:
    """The head and the body."""
    fields = {name: value for name, value in _BESIDE.items() if place.path == "/process" and name != place.name}
    if place.way == "JSON":
        kind, body = "application/json", _json(place.name, text)
    else:
        kind, body = f"multipart/form-data; boundary={BOUNDARY.decode()}", _form({**fields, place.name: text}, place)
    head = (
        f"POST {place.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return [head.encode(), body]


def _json(name: str, text: str) -> bytes:
    """Lists and objects as such."""
    value = text if text[0] in "[{" else f"[{text}]" if text[0] == "0" else json.dumps(text)
    photo = base64.b64encode(tiny_png()).decode()
    return f'{{"image": "{photo}", {json.dumps(name)}: {value}}}'.encode()


def _form(fields: Mapping[str, str], place: Place) -> bytes:
    line = b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    parts = [line % (name.encode(), b"", value.encode()) for name, value in fields.items()]
    parts.append(line % (place.photo.encode(), b'; filename="a.png"', tiny_png()))
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def _attack(port: int, pid: int, request: Sequence[bytes], at_once: int, before: float, seen: Seen) -> None:  # noqa: PLR0913, PLR0917 a measurement has that many sides
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    answers = asyncio.run(_all(port, request, at_once))
    seen.memory.append(_peak(pid) - before)
    for seconds, content in answers:
        seen.answers.append(seconds)
        seen.longest = max(seen.longest, len(content))
        seen.codes[_code(content)] += 1


async def _all(port: int, request: Sequence[bytes], at_once: int) -> list[tuple[float, bytes]]:
    return await asyncio.gather(*(_post(port, request) for _ in range(at_once)))


async def _post(port: int, request: Sequence[bytes]) -> tuple[float, bytes]:
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.writelines(request)
    answer = await _answer(reader)
    writer.close()
    return time.perf_counter() - began, answer


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """Read the answer, which may come before the whole request is sent. Returns what came of it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        return head + await reader.readexactly(int(length[1]) if length else 0)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except ConnectionError as error:
        return str(error).encode()


def _code(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        return str(json.loads(body).get("code") or head.split()[1].decode())
    except (ValueError, IndexError):
        return head[:60].decode(errors="replace") or "no answer"


@contextmanager
def _probing(port: int) -> Iterator[list[float]]:
    command = [sys.executable, "-m", "loadtests.text", "probe", str(port)]
    times: list[float] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as prober:
        if prober.stdout is None or prober.stdin is None or not prober.stdout.readline():
            raise RuntimeError("no probe")
        yield times
        prober.stdin.close()
        times += json.loads(prober.stdout.readline())


@contextmanager
def _gateway() -> Iterator[tuple[int, int]]:
    """A gateway that keeps its jobs in memory, without models: no request gets that far."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    given = {"API_PORT": str(port), "DB_USE_DATABASE": "false", "TRITON_GRPC_URL": "127.0.0.1:1", "LOG_LEVEL": "ERROR"}
    with subprocess.Popen([sys.executable, "-m", "gateway"], env={**os.environ, **given}) as process:
        try:
            _until_live(port)
            yield port, process.pid
        finally:
            process.terminate()


def _until_live(port: int) -> None:
    for _ in range(300):
        with suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/health/live", trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise RuntimeError("the gateway does not come up")


def _warm_up(port: int) -> None:
    place = Place("/v1/jobs", "a form", "gender", "image")
    for _ in range(5):
        asyncio.run(_post(port, _request(port, place, "x" * _MIB)))


def _peak(pid: int) -> float:
    """The largest memory of a process since its peak was reset, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    app()
