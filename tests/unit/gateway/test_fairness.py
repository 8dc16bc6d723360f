import asyncio
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.limits import fairness
from gateway.limits.fairness import Owner, Pool, Visit
from gateway.timing import Deadline, Pace

ALICE, BOB = Owner("alice", "alice"), Owner("bob", "bob")
TOTAL = 10


async def hold(pool: Pool, visit: Visit, amount: int, going: asyncio.Event) -> str:
    """Take as much, hold it until told, and give it back."""
    try:
        async with visit.yielding():
            await pool.wait(visit, amount, Deadline(5))
            await going.wait()
    except Problem as problem:
        return problem.code
    finally:
        pool.put(visit, 0)
    return "held"


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def test_a_lone_caller_may_use_the_whole_limit() -> None:
    pool = Pool(TOTAL)
    assert all(pool.take(Visit(ALICE), 1) for _ in range(TOTAL))
    assert not pool.take(Visit(ALICE), 1)


async def test_the_caller_with_least_takes_from_the_one_with_most_until_equal() -> None:
    pool, going = Pool(TOTAL), asyncio.Event()
    tasks = [asyncio.ensure_future(hold(pool, Visit(ALICE), 1, going)) for _ in range(TOTAL)]
    await settle()
    bobs = [Visit(BOB) for _ in range(TOTAL)]
    assert [pool.take(visit, 1) for visit in bobs] == [True] * 5 + [False] * 5
    going.set()
    outcomes = await asyncio.gather(*tasks)
    assert outcomes == ["held"] * 5 + ["queue_full"] * 5, "the last who came went first"
    assert pool.taken == 5


async def test_a_protected_request_keeps_its_memory() -> None:
    pool = Pool(TOTAL)
    pool.put(Visit(ALICE), TOTAL)
    assert not pool.take(Visit(BOB), 1)
    assert not pool.has_room(Visit(BOB))


async def test_each_caller_of_a_tenant_has_its_share() -> None:
    pool, going = Pool(TOTAL), asyncio.Event()
    first, second = Owner("acme", "key:1"), Owner("acme", "key:2")
    tasks = [asyncio.ensure_future(hold(pool, Visit(first), 1, going)) for _ in range(TOTAL)]
    await settle()
    assert pool.take(Visit(second), 1)
    going.set()
    await asyncio.gather(*tasks)


async def test_freed_memory_goes_to_the_caller_who_holds_least() -> None:
    pool, going, release = Pool(TOTAL), asyncio.Event(), asyncio.Event()
    busy = asyncio.ensure_future(hold(pool, Visit(Owner("x", "x")), 8, release))
    own = Visit(ALICE)
    pool.put(own, 2)
    waiting = [asyncio.ensure_future(hold(pool, visit, 6, going)) for visit in (own, Visit(ALICE), Visit(BOB))]
    await settle()
    release.set()
    await busy
    await settle()
    assert pool._of[BOB] == 6
    going.set()
    assert await asyncio.gather(*waiting) == ["held"] * 3
    assert pool.taken == 0


async def test_the_last_request_gives_way_in_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "_LOOK_S", 0.01)
    pool, going = Pool(TOTAL), asyncio.Event()
    visits = [Visit(ALICE), Visit(BOB)]
    for visit in visits:
        pool.put(visit, 5)
    tasks = [asyncio.ensure_future(hold(pool, visit, 6, going)) for visit in visits]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert [task.result() for task in done] == ["queue_full"]
    going.set()
    assert await asyncio.gather(*tasks) == ["held", "queue_full"]


async def test_a_request_that_can_never_fit_ends_no_other() -> None:
    pool, going = Pool(TOTAL), asyncio.Event()
    tasks = [asyncio.ensure_future(hold(pool, Visit(ALICE), 1, going)) for _ in range(6)]
    await settle()
    pool.put(Visit(BOB), 4)  # is not to be ended, and soon the richest
    assert not pool.take(Visit(Owner("x", "x")), 5)
    going.set()
    assert await asyncio.gather(*tasks) == ["held"] * 6


async def test_freed_memory_left_over_goes_to_waiting_callers() -> None:
    pool, going = Pool(TOTAL), asyncio.Event()
    tasks = [asyncio.ensure_future(hold(pool, Visit(ALICE), amount, going)) for amount in (5, 5, 3)]
    await settle()
    assert pool.take(Visit(BOB), 1)
    await settle()
    assert pool.taken == 9
    going.set()
    assert await asyncio.gather(*tasks) == ["held", "queue_full", "held"]


@pytest.mark.parametrize("leaves", ["cancelled", "late"])
async def test_the_next_request_is_served_when_the_first_leaves(leaves: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "_LOOK_S", 60)
    pool, busy = Pool(TOTAL), Visit(ALICE)
    pool.put(busy, TOTAL)
    pool._looked_at = asyncio.get_running_loop().time()
    first = asyncio.ensure_future(pool.wait(Visit(BOB), 6, Deadline(0.1)))
    second = asyncio.ensure_future(pool.wait(Visit(ALICE), 2, Deadline(5)))
    await settle()
    pool.put(busy, 7)
    await settle()
    assert not second.done()
    if leaves == "cancelled":
        first.cancel()
    await asyncio.wait({first})
    await asyncio.wait_for(second, 5)


async def test_a_deadlock_never_ends_requests_that_hold_nothing_or_are_protected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fairness, "_LOOK_S", 0.01)
    pool, going = Pool(TOTAL), asyncio.Event()
    holding = [Visit(ALICE), Visit(ALICE)]
    for visit in holding:
        pool.put(visit, 5)
    tasks = [asyncio.ensure_future(hold(pool, visit, 6, going)) for visit in holding]
    late = [asyncio.ensure_future(hold(pool, Visit(ALICE), 4, going)), asyncio.ensure_future(wait_for_four(pool))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    going.set()
    assert await asyncio.gather(*tasks, *late) == ["held", "queue_full", "held", "had it"]


async def wait_for_four(pool: Pool) -> str:
    visit = Visit(ALICE)
    await pool.wait(visit, 4, Deadline(5))
    pool.put(visit, 0)
    return "had it"


@pytest.mark.parametrize(("wanted", "outcomes"), [(9, ["held"] * 3), (6, ["queue_full", "queue_full", "held"])])
async def test_slow_requests_are_ended_only_if_that_frees_enough(
    wanted: int, outcomes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fairness, "_LOOK_S", 0.01)
    monkeypatch.setattr(fairness, "_SLUGGISH_S", 0)
    pool, going, holding = Pool(TOTAL), asyncio.Event(), [Visit(ALICE) for _ in range(3)]
    for visit in holding[:2]:
        visit.pace = Pace(1, 1)
    tasks = [asyncio.ensure_future(hold(pool, visit, 3, going)) for visit in holding]
    await settle()
    with suppress(Problem):
        await pool.wait(Visit(ALICE), wanted, Deadline(0.2))
    going.set()
    assert await asyncio.gather(*tasks) == outcomes


async def test_thousands_of_small_requests_yield_to_a_large_one_at_once() -> None:
    pool = Pool(8000)
    for _ in range(8000):
        visit = Visit(ALICE)
        visit._ender = int
        pool.take(visit, 1)
    began = time.process_time()
    assert pool.take(Visit(BOB), 4000)
    assert time.process_time() - began < 1
    assert pool.taken == 8000


async def test_thousands_of_callers_are_served_in_one_turn_of_the_loop() -> None:
    pool, busy = Pool(3000), Visit(ALICE)
    pool.put(busy, 3000)
    owners = [Owner(str(number), str(number)) for number in range(3000)]
    waiting = [asyncio.ensure_future(pool.wait(Visit(owner), 1, Deadline(30))) for owner in owners]
    await settle()
    began = time.process_time()
    pool.put(busy, 0)
    await asyncio.gather(*waiting)
    assert time.process_time() - began < 1


async def test_a_request_is_refused_when_memory_is_not_freed_in_time() -> None:
    pool = Pool(TOTAL)
    pool.put(Visit(ALICE), TOTAL)
    with pytest.raises(Problem, match="queue_full"):
        await pool.wait(Visit(BOB), 1, Deadline(0.01))
    assert pool.taken == TOTAL


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, TOTAL)), max_size=60))
def test_no_more_is_taken_than_there_is(steps: list[tuple[int, int]]) -> None:
    pool = Pool(TOTAL)
    visits = [Visit(owner) for owner in (ALICE, ALICE, BOB, Owner("acme", "1"), Owner("acme", "2"), Owner("acme", "2"))]
    held = dict.fromkeys(visits, 0)

    def forget(visit: Visit) -> None:
        held[visit] = 0

    with suppress(StopIteration):
        for number, amount in steps:
            visit = visits[number]
            visit._ender = lambda visit=visit: forget(visit)
            if pool.take(visit, amount):
                held[visit] = amount
            assert pool.taken == sum(held.values()) <= TOTAL
    for visit in visits:
        pool.put(visit, 0)
    assert (pool.taken, pool._of, pool._held) == (0, {}, {})


async def test_a_caller_who_waits_again_is_served_again() -> None:
    pool, visit, other = Pool(TOTAL), Visit(ALICE), Visit(BOB)
    for _ in range(3):
        pool.put(other, TOTAL)
        waiting = [asyncio.ensure_future(pool.wait(one, 4, Deadline(5))) for one in (visit, Visit(ALICE))]
        await settle()
        waiting[1].cancel()
        await settle()
        pool.put(other, 0)
        await waiting[0]
        pool.put(visit, 0)
    await settle()
    assert pool.taken == 0
