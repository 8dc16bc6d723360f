"""Links to artifacts through the gateway, for buckets that others do not reach."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
import pytest_asyncio

from gateway.jobs.job import Callback, Outcome, StoredArtifact
from gateway.settings import Settings
from tests.integration.gateway.jobs.conftest import COMMON, durable_settings, living_house
from tests.integration.gateway.jobs.house import JOBS, MASK, House
from tests.integration.postgres.making import request as new_job
from tests.outboxes import take_due
from tests.servers import S3Server

PUBLIC = "https://example.com/masks"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(postgres_dsn: str, s3_server: S3Server) -> AsyncIterator[House]:
    stores = durable_settings(postgres_dsn, s3_server)
    settings = Settings(**COMMON, **stores, public_url=PUBLIC, artifact_links="gateway", base_url="")
    async for house in living_house(settings):
        yield house


async def test_views_and_callbacks_lead_to_the_gateway(house: House) -> None:
    submitted = await house.submit(callback_url="https://example.com/hook")
    await house.complete(await house.begin(submitted["id"]), b"the mask")
    view = (await house.client.get(f"{JOBS}/{submitted['id']}")).json()
    (told,) = await take_due(house.stores.outbox, 60, "webhook")
    url = f"{PUBLIC}{JOBS}/{submitted['id']}/artifacts/{MASK}"
    assert view["artifacts"][MASK]["url"] == url
    assert json.loads(told.content.body)["data"]["artifacts"][MASK]["url"] == url
    assert (await house.client.get(url.removeprefix(PUBLIC))).content == b"the mask"


@pytest.mark.parametrize("name", ["persons/0/upper_body_mask.png", "ä b?_mask.png"])
async def test_messages_lead_to_the_gateway_whatever_the_artifacts_name(house: House, name: str) -> None:
    await house.stores.artifacts.put(f"key-of-{name}", b"the mask", "image/png")
    made = Outcome(artifacts=(StoredArtifact(name, f"key-of-{name}", "image/png", 8),))
    job = replace(new_job(callbacks=(Callback("message", "mask_output"),)), outcome=made)
    await house.stores.jobs.submit([job])
    taken = await take_due(house.stores.outbox, 60, "message")
    (url,) = next(json.loads(one.content.body) for one in taken if one.job_id == job.id)["mask_paths"].values()
    assert url.startswith(f"{PUBLIC}{JOBS}/{UUID(str(job.id))}/artifacts/")
    assert (await house.client.get(url.removeprefix(PUBLIC))).content == b"the mask"
