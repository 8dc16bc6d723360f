"""What is old goes in portions, however much there is."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from gateway.access.audit import AuditEntry, AuditFilter
from tests.integration.postgres.making import poison


async def test_measurements_of_years_are_pruned_a_few_thousand_at_a_time(stores, sql):
    await sql.execute(
        "INSERT INTO processing_metrics (metric_name, metric_value, pipeline, recorded_at)"
        " SELECT 'time', 1, CASE WHEN i % 10 > 0 THEN 'detect' END, now() - interval '31 days'"
        " FROM generate_series(1, 40000) AS i"
    )
    await sql.execute("CREATE TABLE noted (gone bigint)")
    await sql.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO maskwright.noted SELECT count(*) FROM gone; RETURN NULL; END $$"
    )
    await sql.execute(
        "CREATE TRIGGER noting AFTER DELETE ON processing_metrics REFERENCING OLD TABLE AS gone"
        " FOR EACH STATEMENT EXECUTE FUNCTION note()"
    )
    told = []
    assert await stores.cache.cleanup(lambda: told.append(None)) == 0
    assert await sql.fetchval("SELECT count(*) FROM processing_metrics") == 4000, "those of others stay"
    assert await sql.fetchval("SELECT max(gone) FROM noted") == 5000
    assert len(told) >= 8, "whoever waits for it hears of each portion"


async def test_locks_of_dead_holders_are_removed(stores, sql):
    await sql.execute(
        "INSERT INTO locks SELECT i, gen_random_uuid(), now() - interval '2 days' FROM generate_series(1, 9) i"
    )
    await sql.execute("INSERT INTO locks VALUES (10, gen_random_uuid(), now())")
    await stores.cache.cleanup()
    assert await sql.fetchval("SELECT count(*) FROM locks") == 1


async def test_large_results_go_few_at_a_time(stores, sql):
    await sql.execute(
        "INSERT INTO task_results (task_id, input_hash, status, pipeline, bytes, used_at, ttl_expires_at)"
        " SELECT i, i, 'SUCCESS', 'detect', 16 * 1024 * 1024, now(), now() - interval '1 day'"
        " FROM generate_series(1, 20) AS i"
    )
    told = []
    assert await stores.cache.cleanup(lambda: told.append(None)) == 20
    assert len(told) == 5


async def test_the_audit_log_forgets_what_is_too_old(stores):
    for age in (400, 366, 364, 0):
        at = datetime.now(UTC) - timedelta(days=age)
        await stores.audit.note(AuditEntry(at, "ann", "", "GET", uuid4(), f"{age}", None, "r"))
    assert await stores.audit.prune(365) == 2
    assert await stores.audit.prune(365) == 0
    assert [entry.target for entry in await stores.audit.entries(AuditFilter(caller="ann", tenant=""))] == ["0", "364"]


async def test_closed_dead_letters_are_pruned_and_open_ones_stay(stores, sql):
    await stores.jobs.submit([], [poison(origin=f"mask_input/0/{offset}") for offset in range(3)])
    old, young, _ = await stores.poison.entries(10)
    for entry in (old, young):
        await stores.poison.drop(entry.id)
    await sql.execute("UPDATE poison SET created_at = created_at - interval '1 year'")
    await sql.execute("UPDATE poison SET closed_at = closed_at - interval '91 days' WHERE id = $1", old.id)
    assert await stores.poison.prune(90) == 1
    assert await stores.poison.prune(90) == 0
    assert await sql.fetchval("SELECT count(*) FROM poison") == 2
