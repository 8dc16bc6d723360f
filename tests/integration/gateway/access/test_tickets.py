"""Tickets for the streams of events."""

from uuid import uuid4

import structlog

from gateway.settings import Settings
from tests.integration.gateway.access.credentials import Headers, caller
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.house import FORM, JOBS, MASK, House, open_house


async def submitted(house: House, headers: Headers) -> str:
    return str((await house.client.post(JOBS, files=FORM, headers=headers)).json()["id"])


async def ticket_for(house: House, job: str) -> str:
    answer = await house.client.post(f"{JOBS}/{job}/events/ticket", headers=caller(scope=["jobs:read"]))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    return str(answer.json()["ticket"])


async def test_a_ticket_opens_the_events_of_its_job_and_nothing_else(house: House) -> None:
    job, other = await submitted(house, caller()), await submitted(house, caller())
    shown = {"ticket": await ticket_for(house, job)}
    for path in (f"{JOBS}/{job}/events", f"{JOBS}/{job.upper()}/events"):
        answer = await house.client.head(path, params=shown)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert_problem(await house.client.get(f"{JOBS}/{other}/events", params=shown), "ticket_invalid")
    for method, path in (
        ("GET", JOBS), ("GET", f"{JOBS}/{job}"), ("DELETE", f"{JOBS}/{job}"), ("POST", f"{JOBS}/{job}/cancel"),
        ("GET", f"{JOBS}/{job}/artifacts/{MASK}"), ("POST", f"{JOBS}/{job}/events/ticket"), ("GET", "/stats"),
    ):  # fmt: skip
        assert_problem(await house.client.request(method, path, params=shown), "credentials_missing")
        assert_problem(
            await house.client.request(method, path, headers={"X-API-Key": shown["ticket"]}), "token_invalid"
        )


async def test_a_ticket_is_shown_once_and_alone(house: House) -> None:
    job = await submitted(house, caller())
    path, ticket = f"{JOBS}/{job}/events", await ticket_for(house, job)
    twice = await house.client.get(path, params={"ticket": [ticket, ticket]})
    assert_problem(twice, "credentials_missing")
    assert_problem(await house.client.get(path, params={"ticket": ticket}, headers=caller()), "credentials_missing")
    assert_problem(await house.client.get(path, params={"ticket": ""}), "credentials_missing")


async def test_a_ticket_is_given_only_to_callers_who_may_read_the_job(house: House) -> None:
    job = await submitted(house, caller())
    path = f"{JOBS}/{job}/events/ticket"
    assert_problem(await house.client.post(path, headers=caller("globex")), "job_not_found")
    assert_problem(await house.client.post(path, headers=caller(scope=["jobs:write"])), "scope_missing")
    assert_problem(await house.client.post(f"{JOBS}/{uuid4()}/events/ticket", headers=caller()), "job_not_found")


async def test_every_gateway_of_a_database_takes_the_tickets_of_the_others(house: House, settings: Settings) -> None:
    if not house.stores.durable:
        return
    job = await submitted(house, caller())
    shown = {"ticket": await ticket_for(house, job)}
    async with open_house(settings) as other:
        assert (await other.client.head(f"{JOBS}/{job}/events", params=shown)).status_code == 200
        assert await other.stores.keys.secret() == await house.stores.keys.secret()


async def test_no_log_has_a_ticket(house: House) -> None:
    job = await submitted(house, caller())
    ticket = await ticket_for(house, job)
    with structlog.testing.capture_logs() as lines:
        for shown in (ticket, f"x{ticket}"):
            await house.client.head(f"{JOBS}/{job}/events", params={"ticket": shown})
    assert len(lines) >= 2
    assert ticket not in str(lines)
