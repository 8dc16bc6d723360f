"""Deleted means gone, whatever S3 and the processes do: a gateway, a janitor, and an S3 that refuses things."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from gateway.cache.cache import ALL_DAYS
from gateway.errors import Problem
from gateway.jobs.job import Lease, Outcome
from gateway.pipelines.outputs import Failure
from gateway.settings import Settings
from gateway.worker.retention import Janitor
from tests.cache_contract import entry
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.conftest import COMMON, durable_settings, living_house
from tests.integration.gateway.jobs.house import FORM, JOBS, MASK, House
from tests.integration.gateway.jobs.test_cli import maskwright
from tests.integration.s3.gateways import Gateway, Refusal, Request, gateway_before, refusal
from tests.servers import S3Server

Sql = Callable[[str], Awaitable[object]]


@pytest.fixture(scope="module")
def s3(s3_server: S3Server) -> Iterator[Gateway]:
    with gateway_before(s3_server.endpoint) as before:
        yield before


@pytest.fixture(scope="module")
def settings(postgres_dsn: str, s3_server: S3Server, s3: Gateway) -> Settings:
    given = {**durable_settings(postgres_dsn, s3_server), "minio_endpoint": s3.endpoint}
    return Settings(**COMMON, **given)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened(settings: Settings) -> AsyncIterator[House]:
    async for house in living_house(settings):
        yield house


@pytest.fixture
def house(opened: House, s3: Gateway) -> Iterator[House]:
    """A gateway before an S3 that is well."""
    yield opened
    s3.rule = lambda _request: None


@pytest.fixture
async def sql(settings: Settings) -> AsyncIterator[Sql]:
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    yield connection.execute
    await connection.close()


@dataclass(frozen=True)
class Named:
    """A job and its request."""

    id: str
    name: str


async def begun(house: House) -> tuple[Named, Lease]:
    """A job that a worker has, which has written one mask."""
    job = Named(str((submitted := await house.submit(request_id=uuid4().hex))["id"]), str(submitted["request_id"]))
    lease = await house.begin(job.id)
    await write(house, job, "unnamed.png")
    return job, lease


async def completed(house: House) -> Named:
    """A job with a mask that its outcome names, and one that it does not."""
    job, lease = await begun(house)
    await house.complete(lease)
    return job


async def write(house: House, job: Named, name: str) -> None:
    await house.stores.artifacts.put(f"_/{job.name}/{name}", b"mask", "image/png")


async def objects(house: House, job: Named) -> list[str]:
    """What is left of a job."""
    return [*await house.stores.photos.keys(job.id), *await house.stores.artifacts.keys(f"_/{job.name}/")]


async def shown(house: House, job: Named) -> dict[str, object]:
    return dict((await house.client.get(f"{JOBS}/{job.id}")).json())


async def delete(house: House, job: Named) -> int:
    return (await house.client.delete(f"{JOBS}/{job.id}")).status_code


async def gone(house: House, job: Named) -> None:
    assert await objects(house, job) == []
    assert_problem(await house.client.get(f"{JOBS}/{job.id}"), "job_not_found")


async def clean(house: House, sql: Sql) -> None:
    """What a worker's janitor does when a removal is due again, and no worker can write any more."""
    await sql("UPDATE jobs SET removal_at = now(), writes_until = now() WHERE removal_at IS NOT NULL")
    await Janitor(house.services.settings, house.stores).clean()


def away(_request: Request) -> Refusal:
    return refusal(503, "ServiceUnavailable")


def keeping(part: str) -> Callable[[Request], Refusal | None]:
    """A legal hold on what has this in its key."""

    def rule(request: Request) -> Refusal | None:
        if request.deletes_many:
            return refusal(501, "NotImplemented")
        return refusal(403, "AccessDenied") if request.method == "DELETE" and part in request.key else None

    return rule


async def test_a_job_is_deleted_at_once_from_an_s3_without_batch_removal(house: House, s3: Gateway) -> None:
    job = await completed(house)
    s3.rule = keeping("nothing")
    assert await delete(house, job) == 204
    await gone(house, job)


async def test_a_job_with_an_object_that_s3_keeps_is_listed_as_deleting_until_it_is_gone(
    house: House, s3: Gateway, sql: Sql
) -> None:
    job = await completed(house)
    s3.rule = keeping(MASK)
    answer = await house.client.delete(f"{JOBS}/{job.id}")
    assert (answer.status_code, answer.json()["state"], answer.json()["artifacts"]) == (202, "deleting", {})
    assert f"{MASK} (AccessDenied" in (await shown(house, job))["last_error"]["detail"]
    assert await objects(house, job) == [f"_/{job.name}/{MASK}"], "all others are gone"
    for filters in ({}, {"state": "deleting"}):
        listed = (await house.client.get(JOBS, params=filters)).json()["jobs"]
        assert [one["state"] for one in listed if one["id"] == job.id] == ["deleting"]
    assert job.id not in (await house.client.get(JOBS, params={"state": "completed"})).text
    assert_problem(await house.client.get(f"{JOBS}/{job.id}/artifacts/{MASK}"), "job_not_found")
    told = await maskwright(house, "jobs", "delete", job.id)
    assert told.exit_code == 0
    assert f"{job.id} deleting: storage_unavailable: S3 keeps " in told.output
    await clean(house, sql)
    assert (await shown(house, job))["state"] == "deleting"
    s3.rule = keeping("nothing")
    await clean(house, sql)
    await gone(house, job)


async def test_deleting_again_removes_what_s3_kept(house: House, s3: Gateway) -> None:
    job = await completed(house)
    s3.rule = keeping(MASK)
    assert await delete(house, job) == 202
    s3.rule = keeping("nothing")
    assert [await delete(house, job) for _ in range(2)] == [204, 404]
    await gone(house, job)


async def test_a_job_deleted_while_s3_is_away_is_removed_when_s3_is_back(house: House, s3: Gateway, sql: Sql) -> None:
    job = await completed(house)
    s3.rule = away
    assert await delete(house, job) == 202
    with pytest.raises(Problem, match="storage_unavailable"):
        await clean(house, sql)
    s3.rule = keeping("nothing")
    await clean(house, sql)
    await gone(house, job)


async def test_objects_of_a_gateway_killed_between_database_and_s3_are_removed(house: House, sql: Sql) -> None:
    job = await completed(house)
    await house.stores.jobs.delete(UUID(job.id))
    assert (await shown(house, job))["state"] == "deleting"
    await clean(house, sql)
    await gone(house, job)


async def test_an_object_that_s3_keeps_blocks_no_other_job(house: House, s3: Gateway, sql: Sql) -> None:
    first, second = await completed(house), await completed(house)
    s3.rule = keeping(first.name)
    for job in (first, second):
        await house.stores.jobs.delete(UUID(job.id))
    await clean(house, sql)
    assert await objects(house, first)
    await gone(house, second)


async def test_an_s3_removal_is_verified(house: House, s3: Gateway) -> None:
    job = await completed(house)
    s3.rule = lambda request: Refusal(204) if request.method == "DELETE" and request.key else keeping("x")(request)
    assert await delete(house, job) == 202
    assert (await shown(house, job))["state"] == "deleting"


async def test_masks_of_a_failed_attempt_that_s3_kept_go_later(house: House, s3: Gateway, sql: Sql) -> None:
    job, lease = await begun(house)
    await house.stores.jobs.finish(lease, Outcome(failure=Failure("storage_unavailable", "S3 went away")))
    s3.rule = away
    with pytest.raises(Problem, match="storage_unavailable"):
        await clean(house, sql)
    s3.rule = keeping("nothing")
    await clean(house, sql)
    assert await objects(house, job) == []
    assert (await shown(house, job))["state"] == "failed"


async def test_masks_that_a_worker_writes_after_its_job_was_deleted_go_too(house: House, sql: Sql) -> None:
    job, _ = await begun(house)
    assert await delete(house, job) == 202
    assert await objects(house, job) == []
    await write(house, job, MASK)
    await clean(house, sql)
    await gone(house, job)


async def test_a_later_request_of_the_same_name_keeps_its_masks(house: House, s3: Gateway, sql: Sql) -> None:
    job = await completed(house)
    s3.rule = keeping(MASK)
    assert await delete(house, job) == 202
    s3.rule = keeping("nothing")
    again = (await house.client.post(JOBS, files=FORM, data={"request_id": job.name})).json()
    await house.complete(await house.begin(again["id"]), b"of the second")
    await clean(house, sql)
    assert (await house.client.get(f"{JOBS}/{again['id']}/artifacts/{MASK}")).content == b"of the second"
    assert_problem(await house.client.get(f"{JOBS}/{job.id}"), "job_not_found")


async def test_deleting_a_job_removes_the_cached_result_it_made(house: House) -> None:
    job, lease = await begun(house)
    before = (await house.stores.cache.stats(ALL_DAYS)).entries
    await house.stores.jobs.finish(lease, Outcome(), replace(entry(1), task_id=job.id))
    assert (await house.stores.cache.stats(ALL_DAYS)).entries == before + 1
    assert await delete(house, job) == 204
    assert (await house.stores.cache.stats(ALL_DAYS)).entries == before
