"""Looks results up before they are computed, and keeps them after; the database's failures fail no request."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from weakref import WeakValueDictionary

from gateway.cache.cache import Cache, CachedResult, CacheHit, CacheKey, NewEntry, Similarity
from gateway.cache.keys import ModelVersions, Work, key_of, similarity_of
from gateway.errors import Problem
from gateway.logs import get_logger
from gateway.pipelines.outputs import Failure, InferenceResult
from gateway.settings import Settings
from gateway.timing import Deadline

_SHARED = frozenset({"triton_unavailable", "inference_failed"})
"""Problems that the next request would only meet after the same wait."""


@dataclass(eq=False)
class Waiters:
    """Requests for one result, of which one computes at a time; `problem` is what the last one met."""

    problem: Problem | None = None


class SharedFailures:
    """Lets requests that want the same result at one moment share the failure to compute it."""

    def __init__(self) -> None:
        self._under_way: WeakValueDictionary[bytes, Waiters] = WeakValueDictionary()

    def join(self, digest: bytes) -> Waiters:
        """The requests that want this result now, and this one."""
        return self._under_way.setdefault(digest, Waiters())

    @contextmanager
    def computing(self, digest: bytes, waiters: Waiters) -> Iterator[None]:
        """Compute for all of them, one at a time; requests that come after a failure do not share it.

        Raises the Problem that an earlier one of them met.
        """
        if waiters.problem:
            raise _copy(waiters.problem)
        try:
            yield
        except Problem as problem:
            if problem.code in _SHARED:
                waiters.problem = _copy(problem)
                self._under_way.pop(digest, None)
            raise


def _copy(problem: Problem) -> Problem:
    """A copy without the traceback, which keeps the photo in memory."""
    return Problem(problem.code, problem.detail, headers=problem.headers)


T = TypeVar("T")

LARGEST_ENTRY = 16 * 1024 * 1024
"""Results with more bytes of artifacts are not kept."""

_HOUR_S = 3600.0
_AWAY_S = 5.0
"""How long requests go on without the cache after its database did not answer."""
_NEVER = float("-inf")
_SMALL_PHOTO = 512 * 1024
"""So many bytes are hashed faster than a thread is started."""

_log = get_logger("gateway.cache")


@dataclass(frozen=True)
class Reservation:
    """A hit; or the permission to compute the result, and the key under which it will be kept, if it is to be kept.

    Results are kept for `result_s` seconds, refusals for `refusal_s`.
    """

    result_s: float
    refusal_s: float
    key: CacheKey | None = None
    hit: CacheHit | None = None
    similarity: Similarity | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The header by which an answer tells of the cache (RFC 9211); none if the cache was not asked."""
        if self.key is None:
            return {}
        return {"Cache-Status": "Maskwright; hit" if self.hit else "Maskwright; fwd=miss"}

    def entry(self, value: CachedResult, task_id: str, submitted_at: datetime) -> NewEntry | None:
        """The entry to be kept of a computed result; None if it is not kept."""
        if self.key is None or sum(len(artifact.data) for artifact in value.artifacts) > LARGEST_ENTRY:
            return None
        life_s = self.refusal_s if value.failure else self.result_s
        return NewEntry(self.key, task_id, submitted_at, value, life_s, self.similarity)


class Results:
    """The cache as requests use it: they go on if its database fails."""

    def __init__(self, settings: Settings, cache: Cache, versions: ModelVersions) -> None:
        self._enabled = settings.cache_enabled
        self._namespace = settings.cache_namespace
        self._bits = settings.similarity_bits
        self._tolerance = settings.similarity_tolerance
        hours = settings.cache_ttl_hours
        refusal_hours = min(hours, settings.cache_failure_ttl_hours)  # a refusal is not kept longer than a result
        self._ttls = (hours * _HOUR_S, refusal_hours * _HOUR_S)
        self._cache = cache
        self._versions = versions
        self._shared_failures = SharedFailures()
        self._away_until = _NEVER

    async def find(self, work: Work) -> CacheHit | None:
        """The result of the same or similar work; it is not counted."""
        return (await self._look(work)).hit

    @asynccontextmanager
    async def reserved(self, work: Work, deadline: Deadline) -> AsyncIterator[Reservation]:
        """A hit, perhaps after waiting for another request; or the right to compute the result, alone.

        Raises Problem `deadline_exceeded` if the other request takes too long, and the other's Problem if this one
        would meet it too.
        """
        found = await self._look(work)
        key = found.key
        if key is None or found.hit:
            yield found
            return
        waiters = self._shared_failures.join(key.digest)
        async with AsyncExitStack() as stack:
            await self._wait(stack, key, deadline)
            with self._shared_failures.computing(key.digest, waiters):
                yield replace(found, hit=await self._ask(lambda: self._cache.find(key)))

    async def keep(self, entry: NewEntry | None) -> None:
        """Keep what was computed, if it is to be kept."""
        if entry:
            await self._ask(lambda: self._cache.keep(entry))

    def count(self, served: CacheHit | NewEntry | None) -> None:
        """Count a request that the cache served, or will serve."""
        if served:
            self._cache.count(served)

    async def _look(self, work: Work) -> Reservation:
        """Look for a hit; without a key if the cache is off or away."""
        versions = await self._versions.current() if self._enabled and not self._away else None
        if versions is None:
            return Reservation(*self._ttls)
        versions = f"{self._namespace}\n{versions}"
        key = await _key_of(work, versions)
        hit = await self._ask(lambda: self._cache.find(key))
        similarity = None
        if self._bits and not hit:  # decoding the photo takes a while, so in a thread
            similarity = await asyncio.to_thread(similarity_of, work, versions, self._tolerance)
        if similarity:
            hit = await self._ask(lambda: self._cache.find_similar(similarity, self._bits))
        return Reservation(*self._ttls, None if self._away else key, hit, similarity)

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
        """The answer; None if there is none, and then the cache is left alone for a while.

        After that, one request asks whether the cache is back while the others go on without it.
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
    """A result, or a refusal that is final. Raises Problem if another attempt may succeed."""
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
    """The model's result. Raises Problem, with these headers, if the model refused."""
    if value.failure:
        raise Problem(value.failure.code, value.failure.detail, headers=headers)
    return InferenceResult(value.result, value.artifacts)


def _ms_since(began: float) -> float:
    return (time.monotonic() - began) * 1000
