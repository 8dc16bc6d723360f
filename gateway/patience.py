"""Questions of those who watch, which must not keep them waiting."""

from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

import anyio

from gateway.problems import Problem

T = TypeVar("T")


async def answer_within(seconds: float, asked: Awaitable[T]) -> T | None:
    """The answer; None where a Problem is in its place, or none comes in time."""
    with anyio.move_on_after(seconds), suppress(Problem):
        return await asked
    return None
