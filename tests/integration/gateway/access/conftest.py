"""A gateway that asks who its callers are, on both kinds of stores."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.settings import Settings
from tests.integration.gateway.access.credentials import AUDIENCE, ISSUER, SECRET, Signer
from tests.integration.gateway.jobs.conftest import COMMON, durable_settings, living_house
from tests.integration.gateway.jobs.house import House


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer.new()


@pytest.fixture(scope="module", params=["memory", "durable"])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Settings:
    folder: Path = tmp_path_factory.mktemp("access")
    asking = {
        "access": "required",
        "jwt_secret": SECRET,
        "jwt_jwks_file": signer.write(folder / "jwks.json"),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "kafka_tenant": "acme",
        "maskwright_home": folder,
    }
    if request.param == "memory":
        return Settings(**COMMON, **asking, db_use_database=False, minio_endpoint="")
    dsn, s3 = request.getfixturevalue("postgres_dsn"), request.getfixturevalue("s3_server")
    return Settings(**COMMON, **asking, **durable_settings(dsn, s3))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings) -> AsyncIterator[House]:
    async for house in living_house(settings):
        yield house
