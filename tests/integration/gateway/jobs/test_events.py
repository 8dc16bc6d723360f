"""A job's states as server-sent events."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx

from gateway.http.events import state_events
from gateway.jobs.view import JobView, by_key
from gateway.limits.fairness import NOBODY, Visit
from tests.integration.gateway.jobs.house import JOBS, House, until

Event = dict[str, str]


@asynccontextmanager
async def watching(house: House, job_id: object, **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
    async with house.client.stream("GET", f"{JOBS}/{job_id}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events_of(answer)


async def events_of(answer: httpx.Response) -> AsyncIterator[Event]:
    event: Event = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if not line and event:
            yield event
            event = {}
        elif name:
            event[name] = value


async def rest_of(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


def unsigned(view: dict[str, object]) -> object:
    """Without the signatures of links, which change each second."""
    return json.loads(re.sub(r'\?X-Amz-[^"]*', "", json.dumps(view)))


async def test_every_state_is_told_until_the_outcome(house: House) -> None:
    submitted = await house.submit()
    async with watching(house, submitted["id"]) as events:
        first = await anext(events)
        assert (first["event"], json.loads(first["data"])) == ("state", submitted)
        lease = await house.begin(submitted["id"])
        running = json.loads((await anext(events))["data"])
        assert running["state"] == "running"
        await house.complete(lease)
        last = await anext(events)
        view = json.loads(last["data"])
        assert JobView.model_validate(view).state == "completed"
        assert await rest_of(events) == []
    shown = await house.client.get(f"{JOBS}/{submitted['id']}")
    assert unsigned(view) == unsigned(shown.json())
    seen = await house.client.get(f"{JOBS}/{submitted['id']}/events", headers={"Last-Event-ID": last["id"]})
    assert seen.status_code == 204


async def test_many_subscribers_may_watch_and_leave(house: House) -> None:
    submitted = await house.submit()
    topic, subscriptions = str(submitted["id"]), house.stores.signals._subscriptions
    async with watching(house, topic) as one, watching(house, topic) as other:
        for events in (one, other):
            await anext(events)
        assert len(subscriptions[topic]) == 2

    async def left() -> bool:
        return topic not in subscriptions

    await until(left, "nobody is subscribed any more")
    await house.stores.jobs.cancel(UUID(topic))


async def test_a_deleted_job_ends_its_streams(house: House) -> None:
    submitted = await house.submit()
    async with watching(house, submitted["id"]) as events:
        await anext(events)
        await house.client.delete(f"{JOBS}/{submitted['id']}")
        told = await asyncio.wait_for(rest_of(events), 20)
    assert told[-1]["event"] == "deleted"


async def test_a_silent_stream_sends_keep_alives(house: House) -> None:
    submitted = await house.submit()
    chunks = state_events(house.services, Visit(NOBODY), UUID(str(submitted["id"])), by_key(""), 0.01)
    assert (await anext(chunks)).startswith(b"id: 0-queued\n")
    assert (await anext(chunks)).startswith(b":")
    await chunks.aclose()
    await house.stores.jobs.cancel(UUID(str(submitted["id"])))
