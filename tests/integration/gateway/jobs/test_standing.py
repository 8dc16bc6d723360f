"""What operators watch: what waits, for how long, and what was lost or given up; on both kinds of stores."""

from collections.abc import Mapping
from uuid import UUID

import pytest

from gateway.jobs.outbox import OutboxMessage
from gateway.jobs.store import BadMessage
from gateway.metrics.instruments import Instruments
from gateway.metrics.page import MetricsPage
from gateway.pipelines.outputs import Failure
from tests.integration.gateway.jobs.house import JOBS, House
from tests.outboxes import take_due

HOOK = "https://example.com/hook"


async def standing(house: House) -> Mapping[str, float]:
    """Fresh gauges, by name and label value."""
    stores = house.stores
    page = MetricsPage(Instruments("gateway"), stores.jobs, stores.outbox, stores.dead_letters, stores.cache)
    await page.text()
    samples = (sample for family in page.collect() for sample in family.samples)
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


def counted(house: House, name: str, **labels: str) -> float:
    return house.services.instruments.registry.get_sample_value(name, labels) or 0.0


async def test_metrics_are_present_and_zero_without_jobs(house: House) -> None:
    found = await standing(house)
    assert {value for name, value in found.items() if not name.startswith("cache")} == {0.0}
    assert {"jobs queued", "jobs_oldest_age_seconds deleting", "outbox_pending upload", "deletions_failing"} <= set(
        found
    )
    assert "poison_entries_open" in found


async def test_jobs_are_reported_by_state_with_the_age_of_the_oldest(house: House) -> None:
    jobs = [await house.submit() for _ in range(4)]
    for job in jobs[1:3]:
        await house.begin(job["id"])
    assert (await house.client.delete(f"{JOBS}/{jobs[2]['id']}")).status_code == 202
    await house.stores.jobs.postpone_removal(UUID(str(jobs[2]["id"])), "S3 keeps it")
    found = await standing(house)
    assert {f"jobs {state}": found[f"jobs {state}"] for state in ("queued", "running", "deleting")} == {
        "jobs queued": 2.0,
        "jobs running": 1.0,
        "jobs deleting": 1.0,
    }
    assert (found["deletions_pending"], found["deletions_failing"]) == (1.0, 1.0)
    ages = [found[f"jobs_oldest_age_seconds {state}"] for state in ("queued", "running", "deleting")]
    assert all(0 < age < 60 for age in ages)
    assert ages == sorted(ages, reverse=True)
    await house.empty_queue()


async def test_deliveries_are_reported_by_kind_with_the_age_of_the_oldest(house: House) -> None:
    for _ in range(3):
        await house.fail(await house.begin((await house.submit(callback_url=HOOK))["id"]))
    found = await standing(house)
    assert (found["outbox_pending webhook"], found["outbox_pending message"]) == (3.0, 0.0)
    assert 0 < found["outbox_oldest_age_seconds webhook"] < 60
    first, second, third = await take_due(house.stores.outbox, 60)
    await house.stores.outbox.give_up(first, "answered 410")
    await house.stores.outbox.postpone(second, "answered 503", 60)
    await house.stores.outbox.delivered([third.id])
    assert (await standing(house))["outbox_pending webhook"] == 1.0


async def test_dead_letters_are_counted_until_they_are_closed(house: House) -> None:
    if not house.stores.durable:
        pytest.skip("messages need PostgreSQL")
    announcement = OutboxMessage("message", "mask_input_poison", "", b"{")
    letter = BadMessage("mask_input/0/3", None, b"{", Failure("invalid_json", "no JSON"), announcement)
    await house.stores.jobs.submit([], [letter])
    assert (await standing(house))["poison_entries_open"] == 1.0
    (entry,) = await house.stores.dead_letters.entries(10)
    await house.stores.dead_letters.drop(entry.id)
    assert (await standing(house))["poison_entries_open"] == 0.0


async def test_a_job_that_was_begun_too_often_is_counted_once(house: House) -> None:
    submitted = await house.submit()
    for _ in range(house.services.settings.max_retries + 3):
        await house.stores.jobs.claim("worker that dies", 1, 0.0)
    shown = (await house.client.get(f"{JOBS}/{submitted['id']}")).json()
    assert shown["error"]["code"] == "attempts_exhausted"
    assert counted(house, "errors_total", type="attempts_exhausted", component="worker") == 1.0
    assert counted(house, "task_completions_total", type="body_masks", status="failed") >= 1.0


async def test_the_gateways_metrics_page_has_them(house: House) -> None:
    text = (await house.client.get("/metrics")).text
    assert 'jobs{state="queued"}' in text
    assert 'outbox_pending{kind="message"}' in text
    assert 'bytes_in_flight{process="gateway-' in text
