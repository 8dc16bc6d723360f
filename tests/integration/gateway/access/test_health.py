"""Health is open to probes: what is so for everybody, and why it is so for those who operate the gateway."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.http.health import Health
from gateway.settings import Settings
from tests.integration.gateway.access.credentials import Headers, bearer, caller, key, token
from tests.integration.gateway.jobs.conftest import COMMON, living_house
from tests.integration.gateway.jobs.house import House, open_house
from tests.model_server import serving_models

MODEL = "detect_lite"
CONFIG = f"""
name: "{MODEL}"
backend: "python"
input {{ name: "image", data_type: TYPE_STRING, dims: 1 }}
output {{ name: "result", data_type: TYPE_STRING, dims: 1 }}
"""
WRONG = "raise LookupError('nothing at 10.0.0.7:9000')"


@pytest.fixture(scope="module")
def broken_triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Triton with a model that does not load."""
    models = tmp_path_factory.mktemp("models")
    (models / MODEL / "1").mkdir(parents=True)
    (models / MODEL / "config.pbtxt").write_text(CONFIG)
    (models / MODEL / "1" / "model.py").write_text(WRONG)
    with serving_models(
        tmp_path_factory.mktemp("home"), models, "--exit-on-error=false", "--strict-readiness=false"
    ) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings, broken_triton: str) -> AsyncIterator[House]:
    async for house in living_house(settings.model_copy(update={"triton_grpc_url": broken_triton})):
        yield house


async def reason(house: House, headers: Headers, path: str = "/health") -> str:
    document = (await house.client.get(path, headers=headers)).json()
    assert Health.model_validate(document).model_dump(mode="json") == document
    assert {"status": "degraded", "queue_size": 0, "segmentation_ready": False}.items() <= document.items()
    (model,) = document["models"]
    assert (model["name"], model["state"]) == (MODEL, "UNAVAILABLE")
    return str(model["reason"])


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
async def test_causes_are_shown_to_callers_with_the_operate_scope(house: House, path: str) -> None:
    keys = house.stores.keys
    for headers in (caller(scope=["operate"]), bearer(await key(keys, scopes=["operate"]))):
        assert "10.0.0.7:9000" in await reason(house, headers, path)
    others = (caller(scope=["run:*", "jobs:*"]), bearer(await key(keys, scopes=["jobs:read"])), bearer("nonsense"))
    wrong = (bearer(token(exp=1)), bearer(f"mwk_{'0' * 12}_{'x' * 43}"), {"X-API-Key": "x", **caller()}, {})
    for headers in (*others, *wrong):
        assert await reason(house, headers, path) == ""


@pytest.mark.parametrize(("access", "told"), [("off", "10.0.0.7:9000"), ("open", "")])
async def test_causes_without_access_control_are_shown_to_loopback_only(
    tmp_path: Path, broken_triton: str, access: str, told: str
) -> None:
    settings = {**COMMON, "db_use_database": False, "minio_endpoint": "", "maskwright_home": tmp_path}
    settings["triton_grpc_url"] = broken_triton
    async with open_house(Settings(**settings, access=access)) as house:
        said = await reason(house, {})
    assert told in said
    assert bool(told) == bool(said)
