"""Good, bad and disconnecting requests all at once; afterwards the service is as it was before."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gateway.errors import PROBLEMS
from tests.chaos import visits
from tests.chaos.crowd import Crowd
from tests.chaos.messages import NOT_HTTP, OK
from tests.chaos.processes import Usage, usage
from tests.chaos.visits import Answer, Exchange, Visit, pay_all
from tests.stack import RunningStack, eventually, running_stack

SEED = 20
CLIENTS = 24
STALLED = 4
DEADLINE = 8.0
SLACK = 4.0
SPARE_FILES = 4
# Measured: as bodies come and go the gateway swings between 125 and 156 MiB and stays there over 10,000 requests, the
# others grow by 12 at most. A gateway that keeps every body grows by 100 in the short form.
GROWTH_MB = 64


@dataclass(frozen=True)
class Length:
    """Requests in each part of the test; the first part warms up."""

    parts: tuple[int, ...]


@pytest.fixture
def length(request: pytest.FixtureRequest) -> Length:
    return Length((1000,) * 10 if request.config.getoption("--long") else (200, 400))


@pytest.fixture
def crowd(astronaut: Path, bus: Path, couple: bytes) -> Crowd:
    return Crowd({"astronaut": astronaut.read_bytes(), "bus": bus.read_bytes(), "couple": couple}, SEED)


def test_the_service_is_afterwards_as_it_was_before(
    tmp_path: Path, crowd: Crowd, length: Length, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"REQUEST_TIMEOUT_S": str(DEADLINE), "LOG_LEVEL": "WARNING", "CACHE_ENABLED": "false",
                "PIPELINES": "body_masks", "TRITON_INSTANCES": "2"}  # fmt: skip
    with running_stack(tmp_path, **settings) as stack:
        calm = [Visit(visits.in_turn, (message,)) for message in crowd.good]
        exchanges = play(stack, calm)
        usages = [usage(stack)]
        *warm_up, last = length.parts
        for requests in warm_up:
            exchanges += play(stack, crowd.visits(requests))
            usages.append(usage(stack))
        exchanges += play(stack, [*crowd.stalled(STALLED), *crowd.visits(last)])
        eventually(lambda: queue_size(stack) == 0, 10, "the queue is empty again")
        eventually(lambda: not leaks(usages[0], usage(stack)), 10, f"files are closed again: {usages[0]}")
        usages.append(usage(stack))
        exchanges += play(stack, calm)
    with capsys.disabled():
        print(report(exchanges, usages))  # noqa: T201 - the figures are what a person runs `make chaos` for
    assert [wrong for exchange in exchanges if (wrong := fault(exchange))] == []
    assert different_bytes(exchanges) == []
    assert max(exchange.seconds for exchange in exchanges) < DEADLINE + SLACK
    assert len({frozenset(taken) for taken in usages}) == 1, "a process died"
    assert "unexpected error" not in (tmp_path / "logs" / "gateway.log").read_text()
    assert max(use.memory_mb - usages[1][name].memory_mb for name, use in usages[-1].items()) < GROWTH_MB


def play(stack: RunningStack, row: Iterable[Visit]) -> list[Exchange]:
    url = httpx.URL(stack.url)
    return asyncio.run(pay_all(row, url.host, url.port or 80, 3 * DEADLINE, CLIENTS))


def queue_size(stack: RunningStack) -> int:
    return int(httpx.get(f"{stack.url}/health", timeout=10, trust_env=False).json()["queue_size"])


def leaks(before: Mapping[str, Usage], now: Mapping[str, Usage]) -> list[str]:
    return [name for name in before if name in now and now[name].files > before[name].files + SPARE_FILES]


def fault(exchange: Exchange) -> str:
    """What is wrong with an answer; empty where nothing is, or the client left before it came."""
    if exchange.answer is None:
        return ""
    verdict, expected = verdict_of(exchange.answer), exchange.message.expected
    return "" if verdict == expected else f"{exchange.message.name}: {verdict} instead of {expected}"


def verdict_of(answer: Answer) -> str:
    """`ok`, the problem's code, or NOT_HTTP for what never reached the application."""
    if answer.status == httpx.codes.OK:
        return OK
    if answer.headers.get("content-type") == "application/problem+json":
        code = str(json.loads(answer.body)["code"])
        return code if PROBLEMS[code].status == answer.status else f"{code} with status {answer.status}"
    if (answer.status, answer.body[:12]) in {(400, b"Invalid HTTP"), (431, b"The request'"), (505, b"This server ")}:
        return NOT_HTTP
    return f"status {answer.status}: {answer.body[:80]!r}"


def different_bytes(exchanges: Iterable[Exchange]) -> list[str]:
    """Names of messages that were answered with 200 in more than one way."""
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for exchange in exchanges:
        if exchange.answer and exchange.answer.status == httpx.codes.OK:
            bodies[exchange.message.name].add(lasting(exchange.answer))
    return [name for name, kinds in bodies.items() if len(kinds) > 1]


def lasting(answer: Answer) -> bytes:
    """The body without what rightly differs from answer to answer: the request's id and the time things took."""
    if answer.headers["content-type"] != "application/json":
        return answer.body
    return json.dumps({**json.loads(answer.body), "request_id": "", "timings_ms": {}}).encode()


def report(exchanges: Sequence[Exchange], usages: Sequence[Mapping[str, Usage]]) -> str:
    counts = Counter(verdict_of(exchange.answer) if exchange.answer else "left" for exchange in exchanges)
    slowest = max(exchange.seconds for exchange in exchanges if exchange.message.name != "stalled")
    lines = [f"\n{len(exchanges)} requests, slowest {slowest:.1f} s: {dict(counts.most_common())}"]
    for name in usages[-1]:
        taken = [one[name] for one in usages if name in one]
        memory = " ".join(f"{use.memory_mb:.0f}" for use in taken)
        lines.append(f"{name}: {memory} MiB, {taken[0].files} then {taken[-1].files} files")
    return "\n".join(lines)
