from collections.abc import AsyncIterator

import asyncpg
import pytest

from gateway.background import Signals
from gateway.settings import Settings
from gateway.stores import DatabaseStores, open_postgres
from tests.integration.postgres.making import LEASE_S, announce
from tests.servers import fresh_database


@pytest.fixture
def settings(postgres_dsn: str) -> Settings:
    """Of a database of the test's own."""
    return Settings(postgres_dsn=fresh_database(postgres_dsn), max_retries=1, lease_s=LEASE_S)


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[DatabaseStores]:
    async with open_postgres(settings, announce, Signals()) as opened:
        yield opened


@pytest.fixture
async def sql(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection beside the stores, which finds all tables."""
    path = {"search_path": f"{settings.postgres_schema}, public"}
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value(), server_settings=path)
    try:
        yield connection
    finally:
        await connection.close()
