"""What is done to the servers, one after the other."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from tests.stack import RunningStack

SERVICES = ("worker", "gateway", "triton", "kafka", "postgres", "s3")
STOPPED_S = 20.0
BACK_S = 60.0


@dataclass(frozen=True)
class Outage:
    """A signal for a service: SIGKILL, or SIGSTOP and after 20 seconds SIGCONT."""

    service: str
    kind: Literal["kill", "stop"]

    def __str__(self) -> str:
        return {"kill": "SIGKILL", "stop": f"SIGSTOP for {STOPPED_S:g} s"}[self.kind] + f" to {self.service}"


def plan(kills: int, stops: tuple[str, ...]) -> Iterator[Outage]:
    """Every service killed `kills` times, in turn; then the ones to be stopped."""
    yield from (Outage(service, "kill") for _ in range(kills) for service in SERVICES)
    yield from (Outage(service, "stop") for service in stops)


async def bring_about(stack: RunningStack, outage: Outage) -> float:
    """Seconds until the launcher calls the service ready again."""
    pid, start = stack.pid(outage.service), time.monotonic()
    if outage.kind == "kill":
        os.kill(pid, signal.SIGKILL)
        await _until_back(stack, outage.service, pid)
    else:
        await _stop_for_a_while(pid)
        await _until_ready(stack, outage.service)
    return time.monotonic() - start


async def _stop_for_a_while(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(STOPPED_S)  # the outage itself
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return  # the launcher took it for dead and started another


async def _until_back(stack: RunningStack, service: str, old: int) -> None:
    await eventually_true(lambda: stack.pid(service) != old and stack.is_ready(service), f"{service} is back")


async def _until_ready(stack: RunningStack, service: str) -> None:
    await eventually_true(lambda: stack.is_ready(service), f"{service} is ready")


async def eventually_true(condition: Callable[[], bool], what: str) -> None:
    """Wait without holding up the other tasks; fail after BACK_S."""
    end = time.monotonic() + BACK_S
    while not condition():
        assert time.monotonic() < end, f"not within {BACK_S:g} s: {what}"
        await asyncio.sleep(0.05)
