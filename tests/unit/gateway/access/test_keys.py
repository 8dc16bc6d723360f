import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.access.keys import ApiKey, FileKeys, KnownKeys, UnknownKeys, new_key
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
def store(tmp_path: Path) -> CountedKeys:
    return CountedKeys(tmp_path)


async def made(store: CountedKeys) -> str:
    key, text = new_key("test", "acme", ("jobs:read",), datetime.now(UTC), None)
    await store.add(key)
    return text


def wrong_key() -> str:
    return f"mwk_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


async def code(known: KnownKeys, text: str, address: str = "192.0.2.1") -> str:
    try:
        await known.caller(text, address)
    except Problem as problem:
        return problem.code
    return "let in"


async def test_random_keys_cause_no_database_lookup(store: CountedKeys) -> None:
    known, good = KnownKeys(store, Clock()), await made(store)
    assert await code(known, good) == "let in"
    store.asked = 0
    answers = [await code(known, wrong_key(), f"192.0.2.{number % 250}") for number in range(3000)]
    assert store.asked <= 60
    assert set(answers) == {"key_unknown", "rate_limited"}
    assert await code(known, good) == "let in"


async def test_a_new_key_is_accepted_while_many_unknown_keys_are_tried(store: CountedKeys) -> None:
    clock = Clock()
    known = KnownKeys(store, clock)
    for number in range(500):
        await code(known, wrong_key(), f"198.51.100.{number % 250}")
    new = await made(store)
    clock.now += 1
    await code(known, wrong_key(), "198.51.100.1")
    assert await code(known, new) == "let in"


async def test_the_same_wrong_key_costs_one_lookup(store: CountedKeys) -> None:
    known, text = KnownKeys(store, Clock()), wrong_key()
    assert {await code(known, text) for _ in range(100)} == {"key_unknown"}
    assert store.asked == 1


async def test_a_known_key_id_with_a_wrong_secret_counts_as_an_unknown_key(store: CountedKeys) -> None:
    known, good = KnownKeys(store, Clock()), await made(store)
    assert await code(known, good) == "let in"
    store.asked = 0
    assert await code(known, good[:-4] + "aaaa") == await code(known, wrong_key()) == "key_unknown"
    assert store.asked == 2


async def test_many_wrong_keys_from_one_address_are_limited_but_valid_keys_pass(store: CountedKeys) -> None:
    clock = Clock()
    known, wrong = KnownKeys(store, clock), wrong_key()
    answers = [await code(known, wrong, "192.0.2.1") for _ in range(400)]
    assert (answers[299], answers[300], answers[-1]) == ("key_unknown", "rate_limited", "rate_limited")
    assert await code(known, await made(store), "192.0.2.1") == "let in"
    assert await code(known, wrong, "192.0.2.2") == "key_unknown"


def test_unknown_callers_are_counted_by_network_for_a_minute() -> None:
    clock = Clock()
    unknown = UnknownKeys(clock)
    for number in range(300):
        unknown.add((str(number), "x"), "2001:db8::1")
    with pytest.raises(Problem, match="rate_limited") as caught:
        unknown.add(("300", "x"), "2001:db8::2%eth0")
    assert int(caught.value.headers["Retry-After"]) >= 1
    unknown.add(("301", "x"), "2001:db8:0:1::2")
    unknown.add(("302", "x"), "no address")
    clock.now += 2
    unknown.add(("303", "x"), "2001:db8::2")
    assert ("300", "x") in unknown
    clock.now += 60
    assert ("300", "x") not in unknown


def test_an_ipv4_address_inside_an_ipv6_one_is_checked_itself() -> None:
    unknown = UnknownKeys(Clock())
    for number in range(300):
        unknown.add((str(number), "x"), "::ffff:192.0.2.1")
    unknown.add(("300", "x"), "::ffff:192.0.2.2")
    with pytest.raises(Problem, match="rate_limited"):
        unknown.add(("301", "x"), "192.0.2.1")


def test_memory_about_unknown_callers_is_bounded() -> None:
    unknown = UnknownKeys(Clock())
    for number in range(25_000):
        unknown.add((str(number), "x"), f"2001:db8:{number // 65_536:x}:{number % 65_536:x}::1")
    assert len(unknown._until) <= 10_000
    assert len(unknown._failures) <= 10_000
    assert ("24999", "x") in unknown


async def test_many_concurrent_checks_share_one_lookup(store: CountedKeys) -> None:
    known = KnownKeys(store)
    answers = await asyncio.gather(*(code(known, wrong_key(), f"192.0.2.{number}") for number in range(200)))
    assert set(answers) == {"key_unknown"}
    assert store.asked <= 2


async def test_all_waiters_are_told_at_once_when_the_database_is_away(tmp_path: Path) -> None:
    store = AwayKeys(tmp_path)
    known = KnownKeys(store)
    answers = await asyncio.gather(*(code(known, wrong_key()) for _ in range(200)))
    assert set(answers) == {"store_unavailable"}
    assert store.asked <= 2


async def test_a_revoked_key_is_refused_at_once(store: CountedKeys) -> None:
    known, good = KnownKeys(store), await made(store)
    assert await code(known, good) == "let in"
    assert await store.revoke(good.split("_")[1])
    assert await code(known, good) == "key_revoked"


async def test_an_outage_of_the_database_is_over_when_it_is_back(tmp_path: Path) -> None:
    clock = Clock()

    store = SlowlyAwayKeys(tmp_path, clock)
    known, good = KnownKeys(store, clock), await made(store)
    assert {await code(known, good) for _ in range(20)} == {"store_unavailable"}
    store.away = False
    assert await code(known, good) == "let in"
