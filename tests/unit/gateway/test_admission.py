import asyncio
from collections.abc import Sequence

import pytest

from gateway.errors import Problem
from gateway.limits.admission import Admission, Turns
from gateway.limits.fairness import Owner, Visit
from gateway.settings import Settings
from gateway.timing import Deadline

ALICE, BOB, CAROL = (Owner(name, name) for name in ("alice", "bob", "carol"))


def admission_of(waiting: int, concurrency: int) -> Admission:
    return Admission(Settings(queue_max_size=waiting, service_concurrency=concurrency))


async def test_a_request_beyond_the_last_place_is_refused_with_a_retry_time() -> None:
    admission = admission_of(2, 1)
    with admission.visit(ALICE) as first, admission.visit(ALICE) as second, admission.visit(ALICE) as third:
        with admission.place(first), admission.place(second):
            assert admission.waiting == 2
            with pytest.raises(Problem) as caught, admission.place(third):
                pass
            with pytest.raises(Problem, match="queue_full"):
                admission.check(third)
        admission.check(third)
    assert caught.value.code == "queue_full"
    assert int(caught.value.headers["Retry-After"]) >= 1
    assert admission.waiting == 0


async def test_a_running_request_leaves_its_place_in_the_queue() -> None:
    admission = admission_of(1, 1)
    with admission.visit(ALICE) as first, admission.visit(ALICE) as second, admission.place(first):
        async with admission.turn(first, Deadline(60)):
            assert admission.waiting == 0
            with admission.place(second):
                assert admission.waiting == 1


async def test_a_caller_without_a_place_gets_one_from_the_caller_who_has_all() -> None:
    admission, ended = admission_of(3, 1), []

    async def wait_long(number: int) -> None:
        with admission.visit(ALICE) as visit:
            try:
                async with visit.yielding():
                    with admission.place(visit):
                        await asyncio.Event().wait()
            except Problem as problem:
                ended.append((number, problem.code, "Retry-After" in problem.headers))

    tasks = [asyncio.ensure_future(wait_long(number)) for number in range(3)]
    await asyncio.sleep(0)
    with admission.visit(BOB) as visit:
        admission.check(visit)
        with admission.place(visit):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert admission.waiting == 3
        with admission.place(visit), admission.visit(BOB) as another, pytest.raises(Problem), admission.place(another):
            pass  # one of three each is fair, two of three are not
    assert ended == [(2, "queue_full", True)]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert admission.waiting == 0


async def order_of(turns: Turns, owners: Sequence[Owner]) -> list[str]:
    """In which order they are served who wait from the beginning."""
    order: list[str] = []

    async def work(owner: Owner) -> None:
        async with turns.held(owner, Deadline(60)):
            order.append(owner.name)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(owner) for owner in owners))
    return order


async def test_the_turns_of_one_caller_come_in_order_and_never_more_at_once_than_allowed() -> None:
    turns, order, running = Turns(2), list[int](), 0

    async def work(number: int) -> None:
        nonlocal running
        async with turns.held(ALICE, Deadline(60)):
            running += 1
            assert running <= 2
            order.append(number)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(work(number) for number in range(8)))
    assert order == list(range(8))


@pytest.mark.parametrize("count", [1, 2])
async def test_callers_take_turns_however_many_requests_one_caller_sent_first(count: int) -> None:
    order = await order_of(Turns(count), [ALICE] * 20 + [BOB] * 2 + [CAROL])
    assert {order.index("bob"), order.index("carol")} <= set(range(count + 2))
    assert [name for name in order if name != "alice"][-1] in {"bob", "carol"}
    assert order.index("bob", order.index("bob") + 1) <= count + 5


async def test_a_tenant_of_many_callers_has_one_share() -> None:
    many = [Owner("acme", f"key:{number}") for number in range(10)]
    order = await order_of(Turns(1), [*many, *many, BOB, BOB, BOB])
    assert [order[place] for place in (1, 3, 5)] == ["bob"] * 3
    assert len({name for name in order[:13] if name != "bob"}) == 10


@pytest.mark.parametrize("steps", range(8))
async def test_cancelling_at_any_step_releases_everything(steps: int) -> None:
    admission = admission_of(10, 1)

    async def work(owner: Owner) -> None:
        with admission.visit(owner) as visit, admission.place(visit):
            async with admission.turn(visit, Deadline(60)):
                await asyncio.sleep(0)
                await asyncio.sleep(0)

    tasks = [asyncio.ensure_future(work(owner)) for owner in (ALICE, ALICE, BOB)]
    for _ in range(steps):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert admission.waiting == 0
    with admission.visit(ALICE) as visit:
        async with admission.turn(visit, Deadline(5)):
            pass


async def test_a_request_whose_turn_comes_too_late_is_refused() -> None:
    turns = Turns(1)
    async with turns.held(ALICE, Deadline(60)):
        with pytest.raises(Problem) as caught:
            async with turns.held(ALICE, Deadline(0)):
                pass
    assert caught.value.code == "deadline_exceeded"
    async with turns.held(ALICE, Deadline(0.5)):
        pass


async def test_a_request_ended_in_the_same_loop_turn_starts_no_work() -> None:
    admission, began = admission_of(1, 1), []

    async def run() -> None:
        with admission.visit(BOB) as visit:
            async with visit.yielding():
                visits.append(visit)
                async with admission.turn(visit, Deadline(60)):
                    began.append(visit)
                    await asyncio.sleep(0.01)

    visits: list[Visit] = []
    with admission.visit(ALICE) as visit:
        async with admission.turn(visit, Deadline(60)):
            running = asyncio.ensure_future(run())
            await asyncio.sleep(0)
        visits[0].end()
    with pytest.raises(Problem, match="queue_full"):
        await running
    assert not began


async def test_large_work_does_not_block_the_event_loop() -> None:
    admission, ran = admission_of(1, 1), asyncio.Event()
    loop = asyncio.get_running_loop()
    with admission.visit(ALICE) as visit:
        waiting = asyncio.ensure_future(ran.wait())

        def work() -> bool:
            asyncio.run_coroutine_threadsafe(_set(ran), loop).result(5)
            return ran.is_set()

        assert await admission.off_loop(visit, 10**6, work, Deadline(60))
        await waiting


async def _set(event: asyncio.Event) -> None:
    event.set()
