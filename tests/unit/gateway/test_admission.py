import asyncio

import pytest

from gateway.admission import Admission
from gateway.deadline import Deadline
from gateway.problems import Problem


async def test_the_place_past_the_last_is_refused_with_a_time() -> None:
    admission = Admission(2, 1)
    with admission.place(), admission.place():
        assert admission.waiting == 2
        with pytest.raises(Problem) as caught, admission.place():
            pass
    assert caught.value.code == "queue_full"
    assert int(caught.value.headers["Retry-After"]) >= 1
    assert admission.waiting == 0


async def test_a_running_request_leaves_its_place_in_the_queue() -> None:
    admission = Admission(1, 1)
    with admission.place():
        async with admission.turn(Deadline(60)):
            assert admission.waiting == 0
            with admission.place():
                assert admission.waiting == 1


async def test_turns_come_in_order_and_never_more_at_once_than_allowed() -> None:
    admission = Admission(10, 2)
    order: list[int] = []
    running = 0

    async def work(number: int) -> None:
        nonlocal running
        async with admission.turn(Deadline(60)):
            running += 1
            assert running <= 2
            order.append(number)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(work(number) for number in range(8)))
    assert order == list(range(8))


@pytest.mark.parametrize("steps", range(6))
async def test_cancelling_at_any_step_gives_everything_back(steps: int) -> None:
    admission = Admission(10, 1)

    async def work() -> None:
        with admission.place():
            async with admission.turn(Deadline(60)):
                await asyncio.sleep(0)
                await asyncio.sleep(0)

    tasks = [asyncio.ensure_future(work()) for _ in range(3)]
    for _ in range(steps):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert admission.waiting == 0
    async with admission.turn(Deadline(60)):
        pass


async def test_a_turn_that_does_not_come_in_time() -> None:
    admission = Admission(10, 1)
    async with admission.turn(Deadline(60)):
        with pytest.raises(Problem) as caught:
            async with admission.turn(Deadline(0)):
                pass
    assert caught.value.code == "deadline_exceeded"
    async with admission.turn(Deadline(0.5)):
        pass
