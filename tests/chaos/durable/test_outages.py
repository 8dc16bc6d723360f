"""Every server is killed or stopped under load: each accepted job ends in exactly one outcome, and all stores agree."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from rich.console import Console

from tests.chaos.durable import ledger, outages
from tests.chaos.durable.ledger import Ledger
from tests.chaos.durable.outages import Outage
from tests.chaos.durable.outside import Outside, serving
from tests.chaos.durable.work import Errand, Senders, by_request, errands, unreadable
from tests.stack import RunningStack, free_ports, running_stack

STUCK_S = 60.0
CALM_S = 2.0


@dataclass(frozen=True)
class Length:
    """Jobs of each way in, and the outages they live through."""

    jobs: int
    outages: tuple[Outage, ...]


@pytest.fixture
def length(request: pytest.FixtureRequest) -> Length:
    if request.config.getoption("--long"):
        return Length(300, tuple(outages.plan(2, outages.SERVICES)))
    return Length(60, tuple(outages.plan(1, ("worker",))))


@pytest.fixture(scope="module")
def photos(astronaut: Path) -> Mapping[str, bytes]:
    pixels = cv2.imread(str(astronaut))
    empty = np.full((300, 300, 3), 128, np.uint8)
    shapes = {"whole": pixels, "small": cv2.resize(pixels, (384, 384)), "flipped": pixels[:, ::-1], "nobody": empty}
    return {name: cv2.imencode(".jpg", shape)[1].tobytes() for name, shape in shapes.items()}


async def test_every_accepted_job_has_one_outcome(
    tmp_path: Path, photos: Mapping[str, bytes], length: Length, capsys: pytest.CaptureFixture[str]
) -> None:
    [port] = free_ports(1)
    settings = {"ALLOWED_NETWORKS": "127.0.0.0/8", "QUEUE_MAX_SIZE": "5000", "LOG_LEVEL": "INFO",
                "CACHE_ENABLED": "false", "PIPELINES": "body_masks", "TRITON_INSTANCES": "2",
                "WEBHOOK_SECRET": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"}  # fmt: skip
    with running_stack(tmp_path, **settings) as stack:
        async with serving(port, photos) as outside, httpx.AsyncClient(base_url=stack.url, timeout=40) as client:
            expected = {name: await _mask(client, data) for name, data in photos.items() if name != "nobody"}
            accepted, report = await _live_through(stack, outside, length)
            waited = await _until_done(client, accepted, outside)
            filled = await _ledger(stack, client, accepted, outside, expected)
    faults = filled.check()
    with capsys.disabled():
        console = Console()
        console.print("", *report, f"all done {waited:.1f} s after the last outage", filled.table(), sep="\n")
    assert not faults, faults


async def _mask(client: httpx.AsyncClient, photo: bytes) -> bytes:
    fields = {"mask_types": "upper_body", "gender": "M"}
    answer = await client.post("/v1/run/body_masks", files={"image": photo}, data=fields)
    return answer.raise_for_status().content


async def _live_through(stack: RunningStack, outside: Outside, length: Length) -> tuple[dict[str, Errand], list[str]]:
    """Send all work, spread over all outages; what was accepted, and how long each outage lasted."""
    accepted: dict[str, Errand] = {}
    work = [
        one
        for pair in zip(*(errands(way, length.jobs, outside) for way in ("http", "kafka")), strict=True)
        for one in pair
    ]
    middle = len(work) // 2
    work[middle:middle] = unreadable(length.jobs)
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all") as producer:
        senders = Senders(stack.url, stack.kafka, producer, "mask_input", accepted)
        harm = asyncio.create_task(_harm(stack, length.outages))
        await asyncio.gather(*_spread(senders, work, harm, len(length.outages)))
        return accepted, await harm


def _spread(
    senders: Senders, work: list[Errand], harm: "asyncio.Task[list[str]]", parts: int
) -> Iterator[Awaitable[None]]:
    """A share of the work is sent with every outage: some before, some in the middle of it."""
    for index, errand in enumerate(work):
        yield _send_later(senders, errand, index / len(work) * parts * 4.0, harm)


async def _send_later(senders: Senders, errand: Errand, delay_s: float, harm: "asyncio.Task[list[str]]") -> None:
    await asyncio.wait({harm}, timeout=delay_s)
    await senders.send(errand)


async def _harm(stack: RunningStack, planned: tuple[Outage, ...]) -> list[str]:
    report = []
    for outage in planned:
        await asyncio.sleep(CALM_S)  # so that work is under way again
        report.append(f"{outage}: ready after {await outages.bring_about(stack, outage):.1f} s")
    return report


async def _until_done(client: httpx.AsyncClient, accepted: Mapping[str, Errand], outside: Outside) -> float:
    """Seconds until every accepted job is finished and told of. Fails after STUCK_S."""
    start = time.monotonic()
    wanted = {name for name, errand in accepted.items() if not errand.poison}
    hooked = {name for name in wanted if accepted[name].way == "http"}

    async def done() -> bool:
        jobs = await ledger.read_jobs(client)
        finished = {name for name, copies in jobs.items() if all(job["finished_at"] for job in copies)}
        return wanted <= finished and hooked <= by_request(outside.webhooks).keys()

    await _eventually(done, STUCK_S)
    return time.monotonic() - start


async def _eventually(condition: Callable[[], Awaitable[bool]], limit_s: float) -> None:
    """Wait until the condition holds, or the time is over: the ledger then says what is stuck."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end and not await condition():
        await asyncio.sleep(0.5)


async def _ledger(
    stack: RunningStack,
    client: httpx.AsyncClient,
    accepted: Mapping[str, Errand],
    outside: Outside,
    expected: Mapping[str, bytes],
) -> Ledger:
    jobs = await ledger.read_jobs(client)
    told = {name for name, errand in accepted.items() if errand.way == "kafka" and not errand.poison}
    malformed = {errand.message for errand in accepted.values() if errand.poison}
    outputs: dict[str, list[bytes]] = defaultdict(list)
    for value in await _read(
        stack.kafka, "mask_output", lambda seen: told <= {json.loads(one)["request_id"] for one in seen}
    ):
        outputs[json.loads(value)["request_id"]].append(value)
    poison = Counter(await _read(stack.kafka, "mask_input_poison", lambda seen: malformed <= set(seen)))
    objects = await ledger.read_objects(client, [copies[0] for copies in jobs.values()])
    return Ledger(accepted, jobs, outputs, by_request(outside.webhooks), objects, poison, expected)


async def _read(kafka: str, topic: str, complete: Callable[[list[bytes]], bool]) -> list[bytes]:
    """Values of a topic from its beginning, until they are complete or nothing more comes for a while."""
    seen: list[bytes] = []
    end = time.monotonic() + 20
    async with AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        while time.monotonic() < end:
            batches = await consumer.getmany(timeout_ms=1000)
            seen += [record.value for batch in batches.values() for record in batch]
            if not batches and complete(seen):
                return seen
    return seen
