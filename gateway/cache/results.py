"""Results looked up before they are computed, and kept after."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from gateway.artifacts import InferenceResult
from gateway.cache.cache import Cache, CachedResult, CacheHit, CacheKey, Likeness, NewEntry
from gateway.cache.flights import Flights
from gateway.cache.keys import Work, key_of, likeness_of
from gateway.cache.versions import ModelVersions
from gateway.deadline import Deadline
from gateway.logs import get_logger
from gateway.problems import Problem
from gateway.results import Failure
from gateway.settings import Settings

T = TypeVar("T")

LARGEST_ENTRY = 16 * 1024 * 1024
"""Bytes of artifacts past which a result is not kept."""

_HOUR_S = 3600.0
_AWAY_S = 5.0
"""How long the cache is left alone after its database did not answer: requests go on without it."""
_NEVER = float("-inf")
_SMALL_PHOTO = 512 * 1024
"""Bytes that are hashed in less time than a thread costs."""

_log = get_logger("gateway.cache")


@dataclass(frozen=True)
class Lives:
    """How long results, and refusals, are kept, in seconds."""

    result_s: float
    refusal_s: float


@dataclass(frozen=True)
class Reservation:
    """A hit; or leave to compute the result, and what it will be kept under, if it is to be kept."""

    lives: Lives
    key: CacheKey | None = None
    hit: CacheHit | None = None
    likeness: Likeness | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """What an answer says of the cache (RFC 9211); nothing where it was not asked."""
        if self.key is None:
            return {}
        return {"Cache-Status": "Maskwright; hit" if self.hit else "Maskwright; fwd=miss"}

    def entry(self, value: CachedResult, task_id: str, submitted_at: datetime) -> NewEntry | None:
        """What is to be kept of a computed result; None where nothing is."""
        if self.key is None or sum(len(artifact.data) for artifact in value.artifacts) > LARGEST_ENTRY:
            return None
        life_s = self.lives.refusal_s if value.failure else self.lives.result_s
        return NewEntry(self.key, task_id, submitted_at, value, life_s, self.likeness)


def _lives(settings: Settings) -> Lives:
    """Refusals never outlive results."""
    hours = settings.cache_ttl_hours
    return Lives(hours * _HOUR_S, min(hours, settings.cache_failure_ttl_hours) * _HOUR_S)


class Results:
    """The cache as requests use it: no failure of its database is a failure of theirs."""

    def __init__(self, settings: Settings, cache: Cache, versions: ModelVersions) -> None:
        self._enabled = settings.cache_enabled
        self._namespace = settings.cache_namespace
        self._bits = settings.similarity_bits
        self._tolerance = settings.similarity_tolerance
        self._lives = _lives(settings)
        self._cache = cache
        self._versions = versions
        self._flights = Flights()
        self._away_until = _NEVER

    async def find(self, work: Work) -> CacheHit | None:
        """The result of equal, or alike, work; it is not counted."""
        return (await self._look(work)).hit

    @asynccontextmanager
    async def reserved(self, work: Work, deadline: Deadline) -> AsyncIterator[Reservation]:
        """A hit, perhaps after others who compute the same have done; or nobody else computes it meanwhile.

        Raises Problem `deadline_exceeded` where others do not get done in time, and what kept them from it where it
        would keep this request too.
        """
        found = await self._look(work)
        key = found.key
        if key is None or found.hit:
            yield found
            return
        flight = self._flights.join(key.digest)
        async with AsyncExitStack() as stack:
            await self._wait(stack, key, deadline)
            with self._flights.led(key.digest, flight):
                yield replace(found, hit=await self._ask(lambda: self._cache.find(key)))

    async def keep(self, entry: NewEntry | None) -> None:
        """Keep what was computed, if it is to be kept."""
        if entry:
            await self._ask(lambda: self._cache.keep(entry))

    def count(self, served: CacheHit | NewEntry | None) -> None:
        """Count a request that the cache had a part in."""
        if served:
            self._cache.count(served)

    async def _look(self, work: Work) -> Reservation:
        """Whether there is a hit; without a key where the cache is off or away."""
        versions = await self._versions.current() if self._enabled and not self._away else None
        if versions is None:
            return Reservation(self._lives)
        versions = f"{self._namespace}\n{versions}"
        key = await _key_of(work, versions)
        hit = await self._ask(lambda: self._cache.find(key))
        likeness = None if hit or not self._bits else await self._likeness(work, versions)
        if likeness:
            hit = await self._ask(lambda: self._cache.find_like(likeness, self._bits))
        return Reservation(self._lives, None if self._away else key, hit, likeness)

    async def _likeness(self, work: Work, versions: str) -> Likeness | None:
        """Decoding takes a while, so in a thread."""
        return await asyncio.to_thread(likeness_of, work, versions, self._tolerance)

    async def _wait(self, stack: AsyncExitStack, key: CacheKey, deadline: Deadline) -> None:
        try:
            with deadline.enforce():
                await stack.enter_async_context(self._cache.alone(key))
        except TimeoutError as error:
            raise deadline.exceeded() from error

    @property
    def _away(self) -> bool:
        return time.monotonic() < self._away_until

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """The answer; None where there is none, and for a while nothing more is asked.

        Then one request asks whether the cache is back, and the others still go on without it.
        """
        if self._away:
            return None
        if self._away_until != _NEVER:
            self._leave_alone()
        try:
            answer = await question()
        except Problem as problem:
            self._leave_alone()
            _log.warning(f"the cache is away: {problem}")
            return None
        self._away_until = _NEVER
        return answer

    def _leave_alone(self) -> None:
        self._away_until = time.monotonic() + _AWAY_S


async def _key_of(work: Work, versions: str) -> CacheKey:
    """Hashing many bytes takes a while, so in a thread."""
    if len(work.photo) <= _SMALL_PHOTO:
        return key_of(work, versions)
    return await asyncio.to_thread(key_of, work, versions)


async def computed(infer: Callable[[], Awaitable[InferenceResult]]) -> CachedResult:
    """A result, or why there will never be one. Raises Problem where there may be one later."""
    began = time.monotonic()
    try:
        inference = await infer()
    except Problem as problem:
        if problem.transient:
            raise
        refusal = Failure(problem.code, problem.detail)
        return CachedResult({}, (), refusal, _ms_since(began))
    return CachedResult(inference.result, inference.artifacts, None, _ms_since(began))


def inference_of(value: CachedResult, headers: Mapping[str, str]) -> InferenceResult:
    """What the model gave. Raises Problem, with these headers, where it refused."""
    if value.failure:
        raise Problem(value.failure.code, value.failure.detail, headers=headers)
    return InferenceResult(value.result, value.artifacts)


def _ms_since(began: float) -> float:
    return (time.monotonic() - began) * 1000
