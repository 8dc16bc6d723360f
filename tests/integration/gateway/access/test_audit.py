"""What is written down of who did what, and what where it cannot be."""

import asyncpg
import pytest

from gateway.access.audit import AuditFilter
from gateway.settings import Settings
from tests.integration.gateway.access.credentials import bearer, caller, token
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.conftest import living_house
from tests.integration.gateway.jobs.house import FORM, JOBS, House


async def test_an_action_is_counted_even_where_the_audit_log_skips_it(house: House, settings: Settings) -> None:
    if not house.stores.durable:
        pytest.skip("a file, which tests/unit/gateway/access/test_files.py withholds")
    sql = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    await sql.execute("ALTER TABLE maskwright.audit RENAME TO withheld")
    try:
        answer = await house.client.post(JOBS, files=FORM, headers=caller())
        refusal = await house.client.post(JOBS, files=FORM, headers=caller(scope=["jobs:read"]))
    finally:
        await sql.execute("ALTER TABLE maskwright.withheld RENAME TO audit")
        await sql.close()
    assert answer.status_code == 202
    assert_problem(refusal, "scope_missing")


async def test_rate_limited_requests_do_not_fill_the_audit_log(settings: Settings) -> None:
    often = bearer(token(sub="often"))
    async for house in living_house(settings.model_copy(update={"caller_requests_per_minute": 1})):
        answers = [await house.client.post(JOBS, files=FORM, headers=often) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 429, 429]
        acts = await house.stores.audit.entries(AuditFilter(caller="token:often"))
        assert [act.code for act in acts] == [None]


async def test_the_audit_log_keeps_no_more_of_a_path_than_it_needs(house: House) -> None:
    answer = await house.client.delete(f"{JOBS}/{'x' * 50_000}", headers=bearer(token(sub="verbose")))
    assert_problem(answer, "job_not_found")
    (act,) = await house.stores.audit.entries(AuditFilter(caller="token:verbose"))
    assert act.target.startswith(f"DELETE {JOBS}/xxx")
    assert len(act.target) < 5000
