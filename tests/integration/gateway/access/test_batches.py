"""Batches are their tenant's, and the audit log names them."""

from uuid import UUID

from gateway.access.audit import AuditFilter
from tests.integration.gateway.access.credentials import caller
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.house import PHOTO, House


async def test_another_tenants_batch_is_not_found(house: House) -> None:
    acme = caller("acme")
    files = [("files", ("a.png", PHOTO)), ("files", ("b.pdf", b"%PDF-1.7"))]
    batch = (await house.client.post("/batch-upload", files=files, headers=acme)).raise_for_status().json()
    address = f"/batch/{batch['batch_id']}"
    shown = (await house.client.get(address, headers=acme)).raise_for_status().json()
    assert [one["job_id"] for one in shown["results"]] == [one["job_id"] for one in batch["results"]]
    for tenant in ("globex", ""):
        assert_problem(await house.client.get(address, headers=caller(tenant)), "job_not_found")
    for one in batch["results"]:
        path = f"/status/{one['job_id']}"
        assert (await house.client.get(path, headers=acme)).is_success
        assert_problem(await house.client.get(path, headers=caller("globex")), "job_not_found")
    (noted,) = await house.stores.audit.entries(AuditFilter(job_id=UUID(batch["batch_id"])))
    assert (noted.caller, noted.action, noted.target) == ("token:acme-user", "submit", "POST /batch-upload")
