import asyncio

import anyio
from structlog.testing import capture_logs

from gateway.background import Heartbeat, keep_running
from gateway.errors import Problem


class Failing:
    """A task that ends as it is told to, and then works."""

    def __init__(self, ends: list[Exception | None]) -> None:
        self.heartbeat = Heartbeat("task")
        self.works = asyncio.Event()
        self._ends = ends

    async def run(self) -> None:
        if not self._ends:
            self.heartbeat.beat()
            self.works.set()
            await asyncio.Event().wait()
        if error := self._ends.pop(0):
            raise error


async def test_a_supervised_task_runs_again_after_any_failure() -> None:
    task = Failing([Problem("store_unavailable", "away"), RuntimeError("a bug"), None])
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            group.start_soon(keep_running, task)
            await asyncio.wait_for(task.works.wait(), 10)
            group.cancel_scope.cancel()
    assert [line["log_level"] for line in logs] == ["warning", "error", "warning", "info"]
    assert task.heartbeat.failing is None
