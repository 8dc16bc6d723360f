import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.embedded.folders import Folders, StackState
from deploy.embedded.stack import Stack, in_order, reverse
from deploy.embedded.supervisor import Service

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


class Recorded(Service):
    """Writes that it runs, and that it has ended, some seconds after it was told to. It serves once others run too."""

    stop_timeout = 5.0

    def __init__(self, folder: Path, name: str, awaits: str, ends_in_s: float) -> None:
        self.name, self._folder, self._awaits, self._ends_in_s = name, folder, awaits, ends_in_s

    def command(self) -> list[str]:
        end = f"trap 'sleep {self._ends_in_s}; echo {self.name} >> ended; exit' TERM"
        return ["sh", "-c", f"cd {self._folder}; {end}; touch {self.name}; while :; do sleep 0.02; done"]

    def environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"]}

    def ports(self) -> Mapping[str, int]:
        return {}

    async def probe(self) -> None:
        for name in (self.name, self._awaits):
            (self._folder / name).stat()


async def test_a_service_starts_beside_another_that_outlives_it(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "home")
    folders.create()
    outer = Recorded(tmp_path, "outer", awaits="inner", ends_in_s=0.0)
    inner = Recorded(tmp_path, "inner", awaits="inner", ends_in_s=0.5)
    inner.beside = frozenset({"outer"})
    running = asyncio.ensure_future(Stack([outer, inner], folders).run())
    async with asyncio.timeout(10):
        while not ((state := StackState.read(folders.state)) and state.state == "ready"):
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await running
    assert (tmp_path / "ended").read_text().split() == ["inner", "outer"]
