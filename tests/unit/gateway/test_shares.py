import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import shares
from gateway.deadline import Deadline
from gateway.problems import Problem
from gateway.shares import Pool
from gateway.visits import Owner, Visit

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


async def test_a_lone_caller_may_have_all_of_it() -> None:
    pool = Pool(TOTAL)
    assert all(pool.take(Visit(ALICE), 1) for _ in range(TOTAL))
    assert not pool.take(Visit(ALICE), 1)


async def test_who_has_least_gets_some_of_whoever_has_most_down_to_equal_parts() -> None:
    pool, going = Pool(TOTAL), asyncio.Event()
    tasks = [asyncio.ensure_future(hold(pool, Visit(ALICE), 1, going)) for _ in range(TOTAL)]
    await settle()
    bobs = [Visit(BOB) for _ in range(TOTAL)]
    assert [pool.take(visit, 1) for visit in bobs] == [True] * 5 + [False] * 5
    going.set()
    outcomes = await asyncio.gather(*tasks)
    assert outcomes == ["held"] * 5 + ["queue_full"] * 5, "the last who came went first"
    assert pool.taken == 5


async def test_who_may_not_be_ended_keeps_what_it_has() -> None:
    pool = Pool(TOTAL)
    pool.put(Visit(ALICE), TOTAL)
    assert not pool.take(Visit(BOB), 1)
    assert not pool.has_room(Visit(BOB))


async def test_of_one_tenant_each_caller_has_its_share() -> None:
    pool, going = Pool(TOTAL), asyncio.Event()
    first, second = Owner("acme", "key:1"), Owner("acme", "key:2")
    tasks = [asyncio.ensure_future(hold(pool, Visit(first), 1, going)) for _ in range(TOTAL)]
    await settle()
    assert pool.take(Visit(second), 1)
    going.set()
    await asyncio.gather(*tasks)


async def test_what_becomes_free_goes_to_whoever_holds_least() -> None:
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


async def test_where_everybody_waits_for_the_others_the_last_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_LOOK_S", 0.01)
    pool, going = Pool(TOTAL), asyncio.Event()
    visits = [Visit(ALICE), Visit(BOB)]
    for visit in visits:
        pool.put(visit, 5)
    tasks = [asyncio.ensure_future(hold(pool, visit, 6, going)) for visit in visits]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert [task.result() for task in done] == ["queue_full"]
    going.set()
    assert await asyncio.gather(*tasks) == ["held", "queue_full"]


async def test_room_that_does_not_come_in_time() -> None:
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


async def test_who_waits_again_for_as_much_is_served_again() -> None:
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
