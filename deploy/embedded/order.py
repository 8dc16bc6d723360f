"""Doing something for each of several, some of which must wait for others."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet

Needs = Mapping[str, AbstractSet[str]]
"""What each name waits for; names that are not keys count for nothing."""


async def in_order(needs: Needs, action: Callable[[str], Awaitable[None]]) -> None:
    """Run the action for every name, each after what it needs and beside the rest.

    The first error ends what still runs, and is raised; a circle would wait for ever.
    """
    done = {name: asyncio.Event() for name in needs}

    async def run(name: str) -> None:
        for needed in needs[name] & done.keys():
            await done[needed].wait()
        await action(name)
        done[name].set()

    tasks = [asyncio.ensure_future(run(name)) for name in needs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def reverse(needs: Needs) -> Needs:
    """The same in the opposite direction: each name waits for those that needed it."""
    return {name: {other for other, needed in needs.items() if name in needed} for name in needs}
