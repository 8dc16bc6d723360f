import asyncio

import anyio
from structlog.testing import capture_logs

from gateway.errors import Problem
from gateway.supervision import Pulse
from gateway.worker.part import Part


async def test_a_part_runs_again_after_any_failure() -> None:
    pulse, ends = Pulse("part"), [Problem("store_unavailable", "away"), RuntimeError("a bug"), None]
    works = asyncio.Event()

    async def run() -> None:
        if not ends:
            pulse.beat()
            works.set()
            await asyncio.Event().wait()
        if error := ends.pop(0):
            raise error

    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            group.start_soon(Part(run, pulse).keep_running)
            await asyncio.wait_for(works.wait(), 10)
            group.cancel_scope.cancel()
    assert [line["log_level"] for line in logs] == ["warning", "error", "warning", "info"]
    assert pulse.failing is None
