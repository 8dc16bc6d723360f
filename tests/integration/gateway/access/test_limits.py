"""What one caller may take, of others' credentials and of none."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from gateway.settings import Settings
from tests.integration.gateway.access.credentials import Headers, bearer, caller, token
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.conftest import living_house
from tests.integration.gateway.jobs.house import FORM, JOBS, House

REQUESTS, BYTES = 5, 2000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited(settings: Settings) -> AsyncIterator[House]:
    limits = {"caller_requests_per_minute": REQUESTS, "caller_bytes_per_minute": BYTES}
    async for house in living_house(settings.model_copy(update=limits)):
        yield house


async def look(house: House, headers: Headers) -> httpx.Response:
    return await house.client.get(JOBS, headers=headers)


async def test_a_caller_who_asks_too_often_is_told_when_to_come_back(limited: House) -> None:
    often, seldom = bearer(token(sub="often")), bearer(token(sub="seldom"))
    assert {(await look(limited, often)).status_code for _ in range(REQUESTS)} == {200}
    answer = await look(limited, often)
    assert_problem(answer, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 60 / REQUESTS
    assert (await look(limited, seldom)).status_code == 200
    assert (await limited.client.get("/health/live")).status_code == 200


async def test_bodies_of_unknown_length_count_by_their_bytes(limited: House) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * 1000

    much = bearer(token(sub="much"))
    first = await limited.client.post(JOBS, content=body(), headers={**much, "content-type": "image/png"})
    assert_problem(first, "image_unsupported")
    answer = await limited.client.post(JOBS, files=FORM, headers=much)
    assert_problem(answer, "rate_limited")
    assert 55 <= int(answer.headers["retry-after"]) <= 61


async def test_refused_requests_count_too(limited: House) -> None:
    nothing = caller("refused", scope=[])
    for _ in range(REQUESTS):
        assert_problem(await look(limited, nothing), "scope_missing")
    assert_problem(await look(limited, nothing), "rate_limited")
