from contextlib import AsyncExitStack

import asyncpg
import pytest

from gateway.background import Signals
from gateway.settings import Settings
from gateway.stores import open_postgres
from tests.queue_machine import QueueUnderTest, announce, check_queue
from tests.servers import fresh_database

TABLES = "jobs, deliveries, poison, workers, user_mask_outputs"


class PostgresQueue(QueueUnderTest):
    """The stores on a database of their own, and a connection beside them that plays fate."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._settings = Settings(postgres_dsn=dsn)
        self._opened = AsyncExitStack()
        self._fate: asyncpg.Connection | None = None

    async def begin(self, settings: Settings) -> None:
        if self._fate is None:
            self._fate = await asyncpg.connect(self._dsn)
        self._settings = settings.model_copy(update={"postgres_dsn": self._settings.postgres_dsn})
        await self.restart()
        await self._fate.execute(f"TRUNCATE {TABLES} RESTART IDENTITY")

    async def pass_time(self, seconds: float) -> None:
        past = f"- interval '{seconds} seconds'"
        columns = ("run_at", "lease_until", "created_at", "writes_until", "removal_at")
        await self._fate.execute(f"UPDATE jobs SET {', '.join(f'{column} = {column} {past}' for column in columns)}")
        await self._fate.execute(f"UPDATE deliveries SET run_at = run_at {past}")
        await self._fate.execute(f"UPDATE workers SET seen_at = seen_at {past}")

    async def restart(self) -> None:
        await self._opened.aclose()
        stores = await self._opened.enter_async_context(open_postgres(self._settings, announce, Signals()))
        self.jobs, self.outbox, self.dead_letters = stores.jobs, stores.outbox, stores.dead_letters

    async def sever(self) -> None:
        await self._fate.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    async def end(self) -> None:
        await self._opened.aclose()
        if self._fate is not None:
            await self._fate.close()


def test_the_queue_does_what_the_model_says(postgres_dsn: str, request: pytest.FixtureRequest) -> None:
    examples = 1000 if request.config.getoption("--long") else 40
    check_queue(lambda: PostgresQueue(fresh_database(postgres_dsn)), examples)
