"""Everything is one tenant's alone."""

from dataclasses import replace
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.access.audit import AuditFilter
from gateway.jobs.objects import artifact_key
from gateway.jobs.outbox import OutboxMessage
from gateway.jobs.store import BadMessage
from gateway.pipelines.outputs import Failure
from tests.integration.gateway.access.credentials import Headers, caller
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.house import FORM, JOBS, LEASE_S, MASK, House
from tests.integration.gateway.jobs.test_cache_routes import DRAWN, entry

ACME, GLOBEX, NOBODY = caller("acme"), caller("globex"), caller("")


async def submit(house: House, headers: Headers, **fields: str) -> httpx.Response:
    return await house.client.post(JOBS, files=FORM, data=fields, headers=headers)


async def test_two_tenants_may_use_the_same_request_id(house: House) -> None:
    named = {"user_id": "1", "request_id": uuid4().hex}
    first = (await submit(house, ACME, **named)).json()
    for headers in (GLOBEX, NOBODY):
        other = await submit(house, headers, **named, mask_types="dress")
        assert (other.status_code, other.json()["id"] != first["id"]) == (202, True)
    again = await submit(house, ACME, **named)
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert_problem(await submit(house, ACME, **named, mask_types="dress"), "idempotency_conflict")


async def test_users_of_two_tenants_do_not_wait_for_each_other(house: House) -> None:
    user = uuid4().hex
    jobs = [(await submit(house, headers, user_id=user)).json()["id"] for headers in (ACME, GLOBEX, ACME)]
    leases = await house.stores.jobs.claim("tester", 100, LEASE_S)
    assert [str(lease.job.id) for lease in leases if lease.job.request.user_id == user] == jobs[:2]
    for lease in leases:
        await house.stores.jobs.release(lease)
    for job in jobs:
        await house.stores.jobs.cancel(UUID(job))


async def test_a_full_queue_of_one_tenant_blocks_no_other_tenant(house: House) -> None:
    room = house.services.settings.queue_max_size - (await house.stores.jobs.counts()).queued
    jobs = [(await submit(house, ACME)).json()["id"] for _ in range(room)]
    refused = await submit(house, ACME)
    assert_problem(refused, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    seen = {headers: await house.client.get("/queue-status", headers=caller(headers)) for headers in ("acme", "guest")}
    assert {tenant: answer.json()["full"] for tenant, answer in seen.items()} == {"acme": True, "guest": False}
    jobs.append((await submit(house, caller("guest"))).json()["id"])
    leases = await house.stores.jobs.claim("tester", 2, LEASE_S, "acme")
    assert "guest" in {lease.job.request.tenant for lease in leases}
    for lease in leases:
        await house.stores.jobs.release(lease)
    for job in jobs:
        await house.stores.jobs.cancel(UUID(job))


async def test_a_list_has_the_tenants_own_jobs_alone(house: House) -> None:
    user = uuid4().hex
    ids = {
        tenant: (await submit(house, caller(tenant), user_id=user)).json()["id"] for tenant in ("acme", "globex", "")
    }
    for tenant, job in ids.items():
        listed = (await house.client.get(JOBS, params={"user_id": user}, headers=caller(tenant))).json()
        assert [one["id"] for one in listed["jobs"]] == [job]


async def test_artifacts_of_the_same_name_do_not_collide(house: House) -> None:
    named = {"user_id": "same", "request_id": uuid4().hex}
    for tenant in ("acme", "globex", ""):
        job = (await submit(house, caller(tenant), **named)).json()
        await house.complete(await house.begin(job["id"]), tenant.encode() or b"nobody's")
    for tenant in ("acme", "globex", ""):
        (job,) = (await house.client.get(JOBS, params=named, headers=caller(tenant))).json()["jobs"]
        answer = await house.client.get(f"{JOBS}/{job['id']}/artifacts/{MASK}", headers=caller(tenant))
        assert answer.content == (tenant.encode() or b"nobody's")


async def test_links_to_artifacts_work_for_their_tenant_alone(house: House) -> None:
    if house.stores.durable:
        pytest.skip("links carry a signature of the object store")
    job = (await submit(house, ACME)).json()
    await house.complete(await house.begin(job["id"]))
    shown = (await house.client.get(f"{JOBS}/{job['id']}", headers=ACME)).json()
    link = shown["artifacts"][MASK]["url"].removeprefix(house.services.settings.local_url)
    assert (await house.client.get(link, headers=ACME)).content == b"mask"
    for headers in (GLOBEX, NOBODY):
        assert_problem(await house.client.get(link, headers=headers), "artifact_not_found")
    assert_problem(await house.client.get(link), "credentials_missing")


async def test_a_result_of_another_tenant_cannot_be_used_as_a_photo(house: House) -> None:
    if not house.stores.durable:
        pytest.skip("there is no object store")
    settings = house.services.settings
    theirs, nobodys = (artifact_key("user", "request", MASK, tenant) for tenant in ("acme", ""))
    tricks = (f"/{theirs}", f"//{theirs}", f"\\{theirs}", theirs.replace("/", "\\"), f"/\\/{theirs}")
    escapes = (f"x/../{theirs}", f"!globex/..\\{theirs}", f"!globex\\..\\{theirs}")
    others = ((GLOBEX, theirs), (NOBODY, theirs), (ACME, nobodys), *((GLOBEX, key) for key in escapes))
    for headers, key in (*others, *((NOBODY, key) for key in tricks)):
        body = {"image": {"s3": key}}
        assert_problem(await house.client.post(JOBS, json=body, headers=headers), "invalid_parameters")
    for key in (theirs, f"s3://{settings.minio_bucket}/{theirs}"):
        assert (await house.client.post(JOBS, json={"image": {"s3": key}}, headers=ACME)).status_code == 202


async def test_cached_results_are_listed_for_their_tenant(house: House) -> None:
    made = entry(DRAWN)
    await house.stores.cache.keep(replace(made, key=replace(made.key, tenant="acme")))
    seen = {}
    for tenant in ("acme", "globex", ""):
        recent = await house.client.get("/api/v1/cache/recent", params={"limit": 50}, headers=caller(tenant))
        seen[tenant] = made.task_id in [one["task_id"] for one in recent.json()]
    assert seen == {"acme": True, "globex": False, "": False}


async def test_the_poison_book_is_the_tenants_whose_messages_come_from_kafka(house: House) -> None:
    if not house.stores.durable:
        pytest.skip("messages need PostgreSQL")
    failure = Failure("invalid_json", "no JSON")
    announcement = OutboxMessage("message", "poison", "", b"{")
    await house.stores.jobs.submit([], [BadMessage("input/0/1", None, uuid4().bytes, failure, announcement)])
    (newest, *_) = (await house.client.get("/v1/poison", headers=ACME)).json()["entries"]
    path = f"/v1/poison/{newest['id']}"
    for headers in (GLOBEX, NOBODY):
        assert (await house.client.get("/v1/poison", headers=headers)).json() == {"entries": [], "next": None}
        assert_problem(await house.client.delete(path, headers=headers), "poison_not_found")
        assert_problem(await house.client.post(f"{path}/replay", headers=headers), "poison_not_found")
    assert (await house.client.delete(path, headers=ACME)).status_code == 204


async def test_the_audit_log_says_who_did_what_to_which_job(house: House) -> None:
    job = (await submit(house, ACME)).json()["id"]
    path = f"{JOBS}/{job}"
    await house.client.get(path, headers=ACME)
    await house.client.delete(path, headers=GLOBEX)
    await house.client.delete(path, headers=caller(scope=["jobs:read"]))
    await house.client.post(f"{path}/cancel", headers=ACME)
    of_job = await house.stores.audit.entries(AuditFilter(job_id=UUID(job)))
    acts = [(one.caller, one.tenant, one.action, one.code) for one in of_job]
    assert acts == [("token:acme-user", "acme", action, None) for action in ("cancel", "submit")]
    assert of_job[0].target == f"POST {path}/cancel"
    (foreign,) = await house.stores.audit.entries(AuditFilter(caller="token:globex-user", limit=1))
    assert (foreign.action, foreign.code, foreign.job_id) == ("delete", "job_not_found", None)
    own = await house.stores.audit.entries(AuditFilter(tenant="acme"))
    assert [one.code for one in own if one.target == foreign.target == f"DELETE {path}"] == ["scope_missing"]
