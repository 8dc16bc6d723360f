"""What lists of jobs look at among many."""

import json
from collections.abc import Iterator
from itertools import product

import pytest

from gateway.jobs.job import JobFilter
from gateway.postgres.rows import list_query

_FILL = """
INSERT INTO jobs (
    id, pipeline, user_id, request_id, fingerprint, parameters, image_kind, image_location, priority, source, trace_id,
    callbacks, state, held, attempts, finished_at, result, artifacts, timings_ms, tenant, deleted_at, removal_at
)
SELECT gen_random_uuid(), 'body_masks', 'user-' || i % 2, 'request-' || i, 'x', '{}', 'url', 'http://x', 0, 'http', '',
    '[]', 'completed', false, 1, now(), '{}', '[]', '{}', '', CASE WHEN i % 50 = 0 THEN now() END, 'infinity'
FROM generate_series(1, 20000) AS i
"""
FIELDS = {
    "state": (None, "queued", "completed", "failed", "deleting"),
    "user_id": (None, "", "user-1", "user-2"),
    "pipeline": (None, "body_masks", "detect"),
    "request_id": (None, "request-7", "nothing"),
    "tenant": ("", "acme"),
    "deleting": (True, False),
    "before": (None, 400),
}
LIMIT = 51


@pytest.fixture
async def filled(stores, sql):  # noqa: ARG001 which make the tables
    await sql.execute(_FILL)
    await sql.execute("ANALYZE jobs")
    return sql


async def test_no_combination_of_filters_looks_at_more_than_it_shows(filled):
    looked = {}
    for values in product(*FIELDS.values()):
        wanted = JobFilter(**dict(zip(FIELDS, values, strict=True)), limit=LIMIT)
        query, arguments = list_query(wanted)
        query = query.replace("maskwright.", "")
        (row,) = await filled.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}", *arguments)
        looked[wanted] = sum(_rows(json.loads(row[0])[0]["Plan"]))
    most = max(looked, key=looked.get)
    assert looked[most] <= 15 * LIMIT, most


@pytest.mark.usefixtures("filled")
async def test_the_newest_come_first_whatever_their_state(stores):
    jobs = await stores.jobs.find(JobFilter(limit=200, deleting=True))
    assert [job.sequence for job in jobs] == list(range(20000, 19800, -1))
    assert {job.state for job in jobs} == {"completed", "deleting"}
    page = await stores.jobs.find(JobFilter(limit=3, before=19951, state="deleting"))
    assert [job.sequence for job in page] == [19950, 19900, 19850]


def _rows(plan: dict[str, object]) -> Iterator[float]:
    """Rows of tables that are touched, whether they are shown or not."""
    if "Relation Name" in plan or "Index Name" in plan:
        removed = sum(float(str(value)) for name, value in plan.items() if name.startswith("Rows Removed"))
        yield (float(str(plan["Actual Rows"])) + removed) * float(str(plan["Actual Loops"]))
    for part in plan.get("Plans", []):
        yield from _rows(part)
