"""What was given up: listed, replayed, dropped."""

from uuid import uuid4

import pytest

from gateway.http.dead_letters import PoisonPage
from gateway.jobs.job import ImageReference, NewJob
from gateway.jobs.outbox import OutboxMessage
from gateway.jobs.store import BadMessage
from gateway.pipelines.outputs import Failure
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.house import House

BOOK = "/v1/poison"


def skip_without_messages(house: House) -> None:
    if not house.stores.durable:
        pytest.skip("dead letters come of messages, which need PostgreSQL")


async def put(house: House) -> dict[str, object]:
    """A new entry, as the list has it."""
    skip_without_messages(house)
    origin = f"mask_input/0/{uuid4().int % 10**9}"
    told = OutboxMessage("message", "mask_input_poison", "", b"{")
    poison = BadMessage(origin, None, b"{" + origin.encode(), Failure("invalid_json", "cut off"), told)
    await house.stores.jobs.submit([], [poison])
    page = (await house.client.get(BOOK)).raise_for_status().json()
    assert PoisonPage.model_validate(page).model_dump(mode="json") == page
    return next(entry for entry in page["entries"] if entry["origin"] == origin)


async def test_a_dead_letter_says_what_it_is(house: House) -> None:
    entry = await put(house)
    assert (entry["error"], entry["job_id"]) == ({"code": "invalid_json", "detail": "cut off"}, None)
    assert entry["bytes"] == len("{") + len(str(entry["origin"]))


@pytest.mark.parametrize(("method", "below"), [("POST", "/replay"), ("DELETE", "")])
async def test_an_entry_is_closed_once(house: House, method: str, below: str) -> None:
    entry = await put(house)
    address = f"{BOOK}/{entry['id']}{below}"
    assert (await house.client.request(method, address)).status_code == 204
    assert_problem(await house.client.request(method, address), "poison_not_found")
    left = (await house.client.get(BOOK, params={"limit": "200"})).json()["entries"]
    assert entry["id"] not in {other["id"] for other in left}


async def test_pages(house: House) -> None:
    newest, older = [(await put(house))["id"] for _ in range(2)][::-1]
    first = (await house.client.get(BOOK, params={"limit": "1"})).json()
    assert [entry["id"] for entry in first["entries"]] == [newest]
    second = (await house.client.get(BOOK, params={"limit": "1", "cursor": first["next"]})).json()
    assert [entry["id"] for entry in second["entries"]] == [older]


@pytest.mark.parametrize("entry_id", ["0", "x", "-1", "9" * 30, "9" * 5000])
@pytest.mark.parametrize(("method", "below"), [("POST", "/replay"), ("DELETE", "")])
async def test_unknown_entries(house: House, method: str, below: str, entry_id: str) -> None:
    assert_problem(await house.client.request(method, f"{BOOK}/{entry_id}{below}"), "poison_not_found")


async def test_a_job_that_was_given_up_is_replayed(house: House) -> None:
    skip_without_messages(house)
    job_id = uuid4()
    image = ImageReference("url", "https://example.com/a.jpg")
    request = NewJob(job_id, "body_masks", "", job_id.hex, b"", "{}", image, "kafka:mask_input/0/1", "0" * 32)
    await house.stores.jobs.submit([request])
    await house.fail(await house.begin(job_id), "inference_failed")
    entries = (await house.client.get(BOOK)).json()["entries"]
    (entry,) = (entry for entry in entries if entry["job_id"] == str(job_id))
    assert (entry["origin"], entry["error"]["code"]) == ("mask_input/0/1", "inference_failed")
    assert (await house.client.post(f"{BOOK}/{entry['id']}/replay")).status_code == 204
    assert (await house.client.get(f"/v1/jobs/{job_id}")).json()["state"] == "queued"
