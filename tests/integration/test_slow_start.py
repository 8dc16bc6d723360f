"""A server that takes long to start, in a process of its own: a program that works, sleeps, or logs."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.embedded import StackError
from deploy.embedded.folders import ServiceState
from deploy.embedded.supervisor import Service, ServiceSupervisor, StallTimeout

QUICK = StallTimeout(seconds=1.5, check_interval=0.05)
CALM = StallTimeout(seconds=60.0, check_interval=0.05)
COMPUTE = "import time\nend = time.monotonic() + 2.0\nwhile time.monotonic() < end: sum(range(1000))\n"
LOG = "import time\nfor part in range(25):\n    print('part', part, flush=True)\n    time.sleep(0.1)\n"
SERVE = "import pathlib\npathlib.Path('{ready}').touch()\nimport time\ntime.sleep(60)\n"
SLEEP = "import time\nprint('part one', flush=True)\ntime.sleep(60)\n"


class Program(Service):
    """Serves once it has made a file."""

    name = "program"
    stop_timeout = 1.0

    def __init__(self, ready: Path, code: str) -> None:
        self._ready = ready
        self._code = code

    def prepare(self) -> None: ...

    def clean_up(self) -> None: ...

    def command(self) -> list[str]:
        return [sys.executable, "-c", self._code.format(ready=self._ready)]

    def environment(self) -> Mapping[str, str]:
        return {}

    def ports(self) -> Mapping[str, int]:
        return {}

    def doing(self, log: str) -> str:
        return log.splitlines()[-1] if log else ""

    async def probe(self) -> None:
        self._ready.stat()


async def started(tmp_path: Path, code: str, longest: float = 30, stall: StallTimeout = QUICK) -> list[ServiceState]:
    states: list[ServiceState] = []
    program = Program(tmp_path / "ready", code)
    program.start_timeout = longest
    supervisor = ServiceSupervisor(program, tmp_path / "log", states.append, stall)
    await supervisor.start()
    await supervisor.stop()
    return states


async def test_a_start_that_computes_is_not_given_up(tmp_path: Path) -> None:
    states = await started(tmp_path, COMPUTE + SERVE)
    assert [state.state for state in states] == ["starting", "ready", "stopping", "stopped"]


async def test_a_start_that_logs_is_not_given_up_and_the_state_shows_its_activity(tmp_path: Path) -> None:
    states = await started(tmp_path, LOG + SERVE)
    assert [state.state for state in states if not state.doing] == ["starting", "ready", "stopping", "stopped"]
    shown = [state.doing for state in states if state.state == "starting" and state.doing]
    assert len(shown) > 3
    assert all(activity.startswith("part ") for activity in shown)


async def test_a_start_without_progress_fails_with_its_last_activity(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"program did not start: part one, then did nothing for 2 s"):
        await started(tmp_path, SLEEP)


async def test_a_start_that_never_finishes_fails_after_its_timeout(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"it works, but is not ready after 1 s"):
        await started(tmp_path, "while True: sum(range(1000))", longest=1.0, stall=CALM)


async def test_a_restart_gets_as_much_time_as_the_first_start(tmp_path: Path) -> None:
    states: list[ServiceState] = []
    supervisor = ServiceSupervisor(Program(tmp_path / "ready", COMPUTE + SERVE), tmp_path / "log", states.append, QUICK)
    await supervisor.start()
    (tmp_path / "ready").unlink()
    watching = asyncio.ensure_future(supervisor.watch())
    async with asyncio.timeout(20):
        while [state.state for state in states].count("ready") < 2:
            await asyncio.sleep(0.05)
    watching.cancel()
    await supervisor.stop()
    assert states[-1].restarts == 1
