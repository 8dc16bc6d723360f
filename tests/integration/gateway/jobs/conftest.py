"""The same tests on both kinds of stores."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import pytest
import pytest_asyncio

from gateway.settings import Settings
from tests.integration.gateway.jobs.house import House, open_house
from tests.servers import S3Server, fresh_database

COMMON: Mapping[str, object] = {
    "triton_grpc_url": "127.0.0.1:1",
    "triton_patience_s": 0,
    "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "mask_asset_url": "https://assets.example.com/v1/mask/upload",
    "kafka_bootstrap_servers": "",
    "queue_max_size": 20,
}


def durable_settings(postgres_dsn: str, s3: S3Server) -> Mapping[str, object]:
    """A database and buckets of one's own."""
    name = uuid4().hex[:8]
    buckets = {"minio_bucket": f"masks-{name}", "minio_photo_bucket": f"photos-{name}"}
    return {"db_use_database": True, "postgres_dsn": fresh_database(postgres_dsn), **s3.settings(), **buckets}


@pytest.fixture(scope="module", params=["memory", "durable"])
def settings(request: pytest.FixtureRequest) -> Settings:
    """Settings of a gateway on one kind of stores."""
    if request.param == "memory":
        return Settings(**COMMON, db_use_database=False, minio_endpoint="")
    dsn, s3 = request.getfixturevalue("postgres_dsn"), request.getfixturevalue("s3_server")
    return Settings(**COMMON, **durable_settings(dsn, s3))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings) -> AsyncIterator[House]:
    async for house in living_house(settings):
        yield house


async def living_house(settings: Settings) -> AsyncIterator[House]:
    """A gateway; opened and closed by one task, as its parts may want."""
    opened: asyncio.Future[House] = asyncio.get_running_loop().create_future()
    closing = asyncio.Event()
    living = asyncio.create_task(_live(settings, opened, closing))
    await asyncio.wait([opened, living], return_when=asyncio.FIRST_COMPLETED)
    if living.done():
        await living
    yield opened.result()
    closing.set()
    await living


async def _live(settings: Settings, opened: "asyncio.Future[House]", closing: asyncio.Event) -> None:
    async with open_house(settings) as house:
        opened.set_result(house)
        await closing.wait()
