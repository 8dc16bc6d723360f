import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.embedded.stack import in_order, reverse

NAMES = "abcdef"


@st.composite
def needs(draw: st.DrawFn) -> dict[str, set[str]]:
    """Each name needs some of those before it, so that there is no circle."""
    return {name: draw(st.sets(st.sampled_from(NAMES[:index] or "z"))) for index, name in enumerate(NAMES)}


def order_of(wanted: dict[str, set[str]]) -> list[str]:
    done: list[str] = []

    async def act(name: str) -> None:
        await asyncio.sleep(0)
        done.append(name)

    asyncio.run(in_order(wanted, act))
    return done


@given(needs())
def test_services_start_after_what_they_need_and_stop_before_it(wanted: dict[str, set[str]]) -> None:
    forth, back = order_of(wanted), order_of(reverse(wanted))
    assert sorted(forth) == sorted(back) == sorted(NAMES)
    for name, needed in wanted.items():
        for other in needed & set(NAMES):
            assert forth.index(other) < forth.index(name)
            assert back.index(name) < back.index(other)


def test_independent_services_start_concurrently() -> None:
    async def meet() -> None:
        barrier = {name: asyncio.Event() for name in "ab"}

        async def act(name: str) -> None:
            barrier[name].set()
            for event in barrier.values():
                await event.wait()

        await asyncio.wait_for(in_order({"a": set(), "b": set()}, act), 5)

    asyncio.run(meet())


def test_first_error_cancels_the_rest_and_is_raised() -> None:
    ended: list[str] = []

    async def act(name: str) -> None:
        if name == "bad":
            raise ValueError(name)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    with pytest.raises(ValueError, match="bad"):
        asyncio.run(in_order({"slow": set(), "bad": set(), "never": {"slow"}}, act))
    assert ended == ["slow"]
