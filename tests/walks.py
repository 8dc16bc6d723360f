"""Which modules of the gateway a request passes: `python -m tests.walks` lists them and their functions.

Starts an embedded stack, and beside it a gateway and a worker that note when a function of which module is called.
A module is on a walk when it was called during each of several requests, and so not by chance.
"""

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import CodeType, FrameType
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from gateway.kafka.topics import make_topics
from gateway.settings import Settings
from tests.ports import free_ports
from tests.servers import fresh_database, running_kafka, running_postgres, running_s3
from tests.stack import CHECKOUT, eventually, running_stack

PHOTO = CHECKOUT / "checkpoints" / "files" / "astronaut.png"
TIMES = 5
SLICE_S = 0.005
DOCUMENT = CHECKOUT / "docs" / "architecture.md"
MOST = {"`POST /v1/run/privacy_blur`": 28, "`mask_input` to `mask_output`": 32, "Frontal submit and status": 25}
"""How many modules each walk should pass at most, by its heading in the document."""

Calls = dict[tuple[str, str], set[int]]
"""Of each function, by its module and its name: in which slices of time it was called."""
Span = tuple[float, float]
Walk = dict[str, list[str]]


def record(module: str, file: Path) -> None:
    """Run a module as `python -m` does, and write when which modules of the gateway were called."""
    calls: Calls = defaultdict(set)
    starts: dict[CodeType, int] = {}  # where a function begins: one that goes on after an await is not called anew

    def note(frame: FrameType, event: str, _argument: object) -> None:
        name = frame.f_globals.get("__name__", "")
        ours = event == "call" and name.startswith("gateway") and frame.f_code.co_name != "<module>"
        if ours and starts.setdefault(frame.f_code, frame.f_lasti) == frame.f_lasti:
            calls[name, frame.f_code.co_qualname].add(int(time.monotonic() / SLICE_S))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        start(module)
    finally:
        sys.setprofile(None)
        file.write_text(json.dumps([(*function, sorted(slices)) for function, slices in calls.items()]))


def start(module: str) -> None:
    """Serve, or work, until SIGTERM."""
    if module == "gateway":
        from gateway.server import serve  # noqa: PLC0415 each process imports its own

        serve(Settings.from_environment())
    else:
        from gateway.worker.worker import main  # noqa: PLC0415

        main()


@contextmanager
def recorded(module: str, url: str, environment: dict[str, str], calls: Calls) -> Iterator[None]:
    """A process that is recorded; `calls` is filled when it has ended."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "calls.json"
        command = [sys.executable, "-m", "tests.walks", module, str(file)]
        process = subprocess.Popen(command, cwd=CHECKOUT, env=environment)
        try:
            eventually(lambda: answers(f"{url}/health/ready"), 60, f"{module} is ready")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        calls.update({(name, called): set(slices) for name, called, slices in json.loads(file.read_text())})


def answers(url: str) -> bool:
    """Whether an address answers well."""
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def on_the_way(calls: Calls, spans: list[Span]) -> Walk:
    """Modules, and those of their functions that were called during each of the requests."""
    ranges = [range(int(begin / SLICE_S), int(end / SLICE_S) + 1) for begin, end in spans]
    passed: Walk = defaultdict(list)
    for (module, function), slices in sorted(calls.items()):
        if all(any(one in slices for one in spanned) for spanned in ranges):
            passed[module].append(function)
    return passed


async def spans_of(request: Callable[[], Awaitable[None]]) -> list[Span]:
    """When each of several requests began and ended, after two that fill what is filled once."""
    spans = []
    for turn in range(TIMES + 2):
        begin = time.monotonic()
        await request()
        if turn > 1:
            spans.append((begin, time.monotonic()))
        await asyncio.sleep(0.2)
    return spans


async def run_privacy_blur(client: httpx.AsyncClient) -> None:
    """One photo, as a file of a form."""
    photo = PHOTO.read_bytes() + uuid4().bytes  # no two are alike, so that none comes from the cache
    answer = await client.post("/v1/run/privacy_blur", files={"image": ("photo.png", photo, "image/png")})
    answer.raise_for_status()


async def submit_frontal(client: httpx.AsyncClient) -> None:
    """One photo, and one look at how far it is."""
    photo = PHOTO.read_bytes() + uuid4().bytes
    answer = await client.post("/api/v1/frontal/crop/submit", files={"image": ("photo.png", photo, "image/png")})
    answer.raise_for_status()
    task = answer.json()["task_id"]
    (await client.get(f"/api/v1/frontal/crop/status/{task}")).raise_for_status()


@asynccontextmanager
async def talking(broker: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Sends one message with a photo inside, and waits for its outcome."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, max_request_size=10 * 2**20)
    consumer = AIOKafkaConsumer("mask_output", bootstrap_servers=broker, auto_offset_reset="latest")
    await asyncio.gather(producer.start(), consumer.start())

    async def send() -> None:
        name = uuid4().hex
        photo = base64.b64encode(PHOTO.read_bytes() + uuid4().bytes).decode()
        fields = {"user_id": name, "request_id": name, "gender": "F", "mask_types": ["upper_body"]}
        await producer.send_and_wait(
            "mask_input", json.dumps({**fields, "image": {"type": "base64", "data": photo}}).encode()
        )
        async for told in consumer:
            if json.loads(told.value)["request_id"] == name:
                return

    try:
        yield send
    finally:
        await asyncio.gather(producer.stop(), consumer.stop())


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """All other servers, and the environment of a gateway and a worker that use them."""
    with ExitStack() as opened:
        home = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        s3 = opened.enter_context(running_s3())
        broker = opened.enter_context(running_kafka(s3)).address
        database = fresh_database(opened.enter_context(running_postgres()).address)
        stack = opened.enter_context(running_stack(home, DB_USE_DATABASE="false"))
        gateway, worker = free_ports(2)
        yield {
            **os.environ,
            **{name.upper(): value for name, value in s3.settings().items()},
            "POSTGRES_DSN": database,
            "KAFKA_BOOTSTRAP_SERVERS": broker,
            "TRITON_GRPC_URL": stack.triton,
            "API_PORT": str(gateway),
            "WORKER_PORT": str(worker),
        }


async def walk(environment: dict[str, str]) -> dict[str, Walk]:
    """The modules of each walk."""
    in_gateway: Calls = {}
    in_worker: Calls = {}
    spans: dict[str, list[Span]] = {}
    blur, message, frontal = MOST
    broker = environment["KAFKA_BOOTSTRAP_SERVERS"]
    await make_topics(Settings(kafka_bootstrap_servers=broker))
    url, worker_url = (f"http://127.0.0.1:{environment[name]}" for name in ("API_PORT", "WORKER_PORT"))
    with recorded("gateway.worker", worker_url, environment, in_worker):
        with recorded("gateway", url, environment, in_gateway):
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                spans[blur] = await spans_of(lambda: run_privacy_blur(client))
                spans[frontal] = await spans_of(lambda: submit_frontal(client))
        async with talking(broker) as send:
            spans[message] = await spans_of(send)
    passed = {blur: in_gateway, frontal: in_gateway, message: in_worker}
    return {name: on_the_way(passed[name], spans[name]) for name in MOST}


def documented(heading: str) -> set[str]:
    """The modules in the document's table of a walk."""
    section = DOCUMENT.read_text(encoding="utf-8").partition(f"### {heading}\n")[2].partition("\n#")[0]
    return {path.replace("/", ".") for path in re.findall(r"^\| `([\w/]+)\.py`", section, re.MULTILINE)}


def show() -> int:
    """Print the walks, and how the document differs from them; 1 where it does, or where a walk is too long."""
    with servers() as environment:
        walks = asyncio.run(walk(environment))
    for name, modules in walks.items():
        sys.stdout.write(f"\n{name}: {len(modules)} modules, at most {MOST[name]}\n")
        sys.stdout.writelines(f"  {module}: {', '.join(called)}\n" for module, called in modules.items())
        sys.stdout.writelines(f"  the document lacks {module}\n" for module in modules.keys() - documented(name))
        sys.stdout.writelines(f"  the document alone has {module}\n" for module in documented(name) - modules.keys())
    good = all(len(modules) <= MOST[name] and modules.keys() == documented(name) for name, modules in walks.items())
    return 0 if good else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        record(sys.argv[1], Path(sys.argv[2]))
    else:
        raise SystemExit(show())
