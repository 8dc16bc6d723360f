import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.access.files import FileKeys
from gateway.access.keys import ApiKey, KeyRing, Strangers, new_key
from gateway.errors import Problem
from gateway.settings import Settings


class CountedKeys(FileKeys):
    """Keys in a file, and how often they were asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Settings(maskwright_home=folder))
        self.asked = 0

    async def find(self, key_id: str) -> ApiKey | None:
        self.asked += 1
        return next((key for key in await super().all() if key.id == key_id), None)

    async def all(self) -> Sequence[ApiKey]:
        self.asked += 1
        return await super().all()


class AwayKeys(CountedKeys):
    async def all(self) -> Sequence[ApiKey]:
        self.asked += 1
        await asyncio.sleep(0)
        raise Problem("store_unavailable", "PostgreSQL did not answer.")


@dataclass
class Clock:
    """Moves a little at each look, as time does."""

    now: float = 1000.0
    looks: int = field(default=0)

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now


class SlowlyAwayKeys(CountedKeys):
    """Of a database that is waited for in vain, as long as it is away."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder)
        self.away = True
        self._clock = clock

    async def all(self) -> Sequence[ApiKey]:
        if self.away:
            self._clock.now += 8
            raise Problem("store_unavailable", "PostgreSQL did not answer.")
        return await super().all()


@pytest.fixture
def book(tmp_path: Path) -> CountedKeys:
    return CountedKeys(tmp_path)


async def made(book: CountedKeys) -> str:
    key, text = new_key("test", "acme", ("jobs:read",), datetime.now(UTC), None)
    await book.add(key)
    return text


def stranger() -> str:
    return f"mwk_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


async def code(ring: KeyRing, text: str, address: str = "192.0.2.1") -> str:
    try:
        await ring.caller(text, address)
    except Problem as problem:
        return problem.code
    return "let in"


async def test_random_keys_do_not_reach_the_database(book: CountedKeys) -> None:
    ring, good = KeyRing(book, Clock()), await made(book)
    assert await code(ring, good) == "let in"
    book.asked = 0
    answers = [await code(ring, stranger(), f"192.0.2.{number % 250}") for number in range(3000)]
    assert book.asked <= 60
    assert set(answers) == {"key_unknown", "rate_limited"}
    assert await code(ring, good) == "let in"


async def test_a_new_key_is_let_in_while_others_are_tried(book: CountedKeys) -> None:
    clock = Clock()
    ring = KeyRing(book, clock)
    for number in range(500):
        await code(ring, stranger(), f"198.51.100.{number % 250}")
    new = await made(book)
    clock.now += 1
    await code(ring, stranger(), "198.51.100.1")
    assert await code(ring, new) == "let in"


async def test_the_same_wrong_key_costs_one_look(book: CountedKeys) -> None:
    ring, text = KeyRing(book, Clock()), stranger()
    assert {await code(ring, text) for _ in range(100)} == {"key_unknown"}
    assert book.asked == 1


async def test_a_known_id_with_another_secret_is_any_strangers_key(book: CountedKeys) -> None:
    ring, good = KeyRing(book, Clock()), await made(book)
    assert await code(ring, good) == "let in"
    book.asked = 0
    assert await code(ring, good[:-4] + "aaaa") == await code(ring, stranger()) == "key_unknown"
    assert book.asked == 2


async def test_who_tries_many_keys_from_one_address_is_told_so_and_others_there_are_let_in(book: CountedKeys) -> None:
    clock = Clock()
    ring, wrong = KeyRing(book, clock), stranger()
    answers = [await code(ring, wrong, "192.0.2.1") for _ in range(400)]
    assert (answers[299], answers[300], answers[-1]) == ("key_unknown", "rate_limited", "rate_limited")
    assert await code(ring, await made(book), "192.0.2.1") == "let in"
    assert await code(ring, wrong, "192.0.2.2") == "key_unknown"


def test_strangers_are_counted_by_network_for_a_minute() -> None:
    clock = Clock()
    strangers = Strangers(clock)
    for number in range(300):
        strangers.add((str(number), "x"), "2001:db8::1")
    with pytest.raises(Problem, match="rate_limited") as caught:
        strangers.add(("300", "x"), "2001:db8::2%eth0")
    assert int(caught.value.headers["Retry-After"]) >= 1
    strangers.add(("301", "x"), "2001:db8:0:1::2")
    strangers.add(("302", "x"), "no address")
    clock.now += 2
    strangers.add(("303", "x"), "2001:db8::2")
    assert ("300", "x") in strangers
    clock.now += 60
    assert ("300", "x") not in strangers


def test_an_ipv4_address_in_an_ipv6_one_counts_for_itself() -> None:
    strangers = Strangers(Clock())
    for number in range(300):
        strangers.add((str(number), "x"), "::ffff:192.0.2.1")
    strangers.add(("300", "x"), "::ffff:192.0.2.2")
    with pytest.raises(Problem, match="rate_limited"):
        strangers.add(("301", "x"), "192.0.2.1")


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    strangers = Strangers(Clock())
    for number in range(25_000):
        strangers.add((str(number), "x"), f"2001:db8:{number // 65_536:x}:{number % 65_536:x}::1")
    assert len(strangers._until) <= 10_000
    assert len(strangers._failures) <= 10_000
    assert ("24999", "x") in strangers


async def test_many_at_once_share_one_look(book: CountedKeys) -> None:
    ring = KeyRing(book)
    answers = await asyncio.gather(*(code(ring, stranger(), f"192.0.2.{number}") for number in range(200)))
    assert set(answers) == {"key_unknown"}
    assert book.asked <= 2


async def test_while_the_database_is_away_all_who_wait_are_told_at_once(tmp_path: Path) -> None:
    book = AwayKeys(tmp_path)
    ring = KeyRing(book)
    answers = await asyncio.gather(*(code(ring, stranger()) for _ in range(200)))
    assert set(answers) == {"store_unavailable"}
    assert book.asked <= 2


async def test_a_revoked_key_is_refused_at_once(book: CountedKeys) -> None:
    ring, good = KeyRing(book), await made(book)
    assert await code(ring, good) == "let in"
    assert await book.revoke(good.split("_")[1])
    assert await code(ring, good) == "key_revoked"


async def test_an_outage_of_the_database_is_over_when_it_is_back(tmp_path: Path) -> None:
    clock = Clock()

    book = SlowlyAwayKeys(tmp_path, clock)
    ring, good = KeyRing(book, clock), await made(book)
    assert {await code(ring, good) for _ in range(20)} == {"store_unavailable"}
    book.away = False
    assert await code(ring, good) == "let in"
