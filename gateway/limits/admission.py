"""Which requests are let in and which run, shared among callers; and how many jobs may wait, shared among tenants."""

import asyncio
import itertools
import os
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from gateway.errors import Problem
from gateway.jobs.job import QueueCounts
from gateway.jobs.store import JobStore
from gateway.limits.fairness import Owner, Pool, Visit
from gateway.settings import Settings
from gateway.timing import Deadline

T = TypeVar("T")

_SMOOTHING = 0.2
_MAX_RETRY_AFTER_S = 60
_SMALL = 256 * 1024
"""Fewer bytes are parsed or hashed faster than a thread is started."""
_MOST_STREAMS = 1000


class Turns:
    """At most `count` at a time. Whoever has fewest running goes next; of equals, whoever was served longest ago."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._served = itertools.count(1)
        self._last: dict[str | Owner, int] = {}
        self._running: Counter[str | Owner] = Counter()
        self._present: Counter[str | Owner] = Counter()
        self._waiting: dict[Owner, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def held(self, owner: Owner, deadline: Deadline) -> AsyncIterator[None]:
        """Wait for a turn and hold it; cancelling the wait or the work gives it back.

        Raises Problem `deadline_exceeded` where it does not come in time; the work itself may take longer.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._present.update((owner, owner.group))
        self._waiting.setdefault(owner, deque()).append(turn)
        self._grant()
        try:
            await _in_time(turn, deadline)
            yield
        finally:
            self._give_back(owner, turn)

    def _give_back(self, owner: Owner, turn: "asyncio.Future[None]") -> None:
        if turn.cancelled():
            self._leave(owner, turn)
        else:
            self._free += 1
            self._running.subtract((owner, owner.group))
            self._grant()
        self._present.subtract((owner, owner.group))
        for whose in (owner, owner.group):
            if not self._present[whose]:
                del self._present[whose], self._running[whose]
                self._last.pop(whose, None)

    def _leave(self, owner: Owner, turn: "asyncio.Future[None]") -> None:
        queue = self._waiting.get(owner, deque())
        if turn in queue:
            queue.remove(turn)
        if not queue:
            self._waiting.pop(owner, None)

    def _grant(self) -> None:
        while self._free and self._waiting:
            owner = min(self._waiting, key=self._rank)
            turn = self._waiting[owner][0]
            self._leave(owner, turn)
            if turn.cancelled():
                continue
            self._free -= 1
            self._running.update((owner, owner.group))
            self._last.update(dict.fromkeys((owner, owner.group), next(self._served)))
            turn.set_result(None)

    def _rank(self, owner: Owner) -> tuple[int, int, int, int]:
        group = owner.group
        return self._running[group], self._last.get(group, 0), self._running[owner], self._last.get(owner, 0)


async def _in_time(turn: "asyncio.Future[None]", deadline: Deadline) -> None:
    """Wait for the turn. Raises Problem `deadline_exceeded`; the turn is cancelled then."""
    try:
        with deadline.enforce():
            await turn
    except TimeoutError as error:
        raise deadline.exceeded() from error


class Admission:
    """Limits of bodies in memory, of waiting requests and of streams; turns for running and for parsing."""

    def __init__(self, settings: Settings) -> None:
        self.bodies = Pool(max(settings.body_memory_bytes, 2 * settings.max_body_bytes))
        self.streams = Pool(_MOST_STREAMS)
        self._places = Pool(settings.queue_max_size)
        self._concurrency = settings.service_concurrency
        self._turns = Turns(settings.service_concurrency)
        self._threads = Turns(min(4, os.cpu_count() or 1))
        self._turn_s = 0.1

    @property
    def waiting(self) -> int:
        """How many requests have arrived whole and wait to run."""
        return self._places.taken

    @contextmanager
    def visit(self, owner: Owner) -> Iterator[Visit]:
        """A request, for as long as it lasts; at its end everything that it holds is given back."""
        visit = Visit(owner)
        try:
            yield visit
        finally:
            for pool in (self.bodies, self.streams, self._places):
                pool.put(visit, 0)

    @asynccontextmanager
    async def room(self, visit: Visit, size: int, deadline: Deadline) -> AsyncIterator[None]:
        """Wait for memory for so many bytes; the work in the context may be ended for the sake of others.

        Raises Problem `queue_full` where there is no memory in time, or the work was ended.
        """
        async with visit.yielding():
            await self.bodies.wait(visit, size, deadline)
            yield

    def check(self, visit: Visit) -> None:
        """Refuse a request that would find no place, before its body is read. Raises Problem `queue_full`."""
        if not self._places.has_room(visit):
            raise self._full()

    @contextmanager
    def place(self, visit: Visit) -> Iterator[None]:
        """Hold a place until the turn comes. Raises Problem `queue_full` with the time the queue needs to empty."""
        if not self._places.take(visit, 1):
            raise self._full()
        try:
            yield
        finally:
            self._places.put(visit, 0)

    @asynccontextmanager
    async def turn(self, visit: Visit, deadline: Deadline) -> AsyncIterator[None]:
        """Wait for a turn to run and hold it. Raises Problem `deadline_exceeded` where it does not come in time."""
        async with self._turns.held(visit.owner, deadline):
            self._places.put(visit, 0)
            with visit.ended_by(None):
                start = time.monotonic()
                try:
                    yield
                finally:
                    self._turn_s += _SMOOTHING * (time.monotonic() - start - self._turn_s)

    async def off_loop(self, visit: Visit, size: int, work: Callable[[], T], deadline: Deadline) -> T:
        """The result of work on `size` bytes: at once where they are few, else in a thread, in the caller's turn."""
        if size <= _SMALL:
            return work()
        async with self._threads.held(visit.owner, deadline):
            with visit.ended_by(None):
                return await asyncio.to_thread(work)

    def _full(self) -> Problem:
        wait_s = min(_MAX_RETRY_AFTER_S, self.waiting * self._turn_s / self._concurrency)
        return Problem("queue_full", f"{self.waiting} requests are waiting.", retry_after=wait_s)


_JOB_S = 0.2
"""How long one job is guessed to take: masks of one photo on one core."""
_LONGEST_PAUSE_S = 60.0


Claim = Callable[[], Awaitable[None]]
"""Takes one more place in the queue. Raises Problem `queue_full`."""


class Backlog:
    """Says whether a tenant may add a job.

    A tenant may add jobs while fewer than QUEUE_MAX_SIZE wait, or while fewer of its own wait than its share:
    QUEUE_MAX_SIZE divided by the tenants that have unfinished jobs. So a lone tenant may fill the queue, and keeps
    nobody out.

    Several requests that ask at the same moment may all be let in, so the bound may be exceeded by a few. Batches never
    exceed it: they claim a place for each of their jobs before its photo is stored.
    """

    def __init__(self, jobs: JobStore, max_queued: int) -> None:
        self._jobs = jobs
        self._max_queued = max_queued
        self._claimed = Counter[str]()

    async def check(self, tenant: str) -> None:
        """Return where there is room. Raises Problem `queue_full`, with a guess at when the queue will be empty."""
        before = self._claimed.total()
        counts = await self._jobs.counts()
        waiting = counts.queued + max(before, self._claimed.total())
        if waiting < self._max_queued:
            return
        own, share = await self._share(tenant)
        if own >= share:
            pause_s = min(_LONGEST_PAUSE_S, _empty_in_s(counts))
            detail = f"{waiting} jobs are waiting. {own} of them are your tenant's, whose share is {share}."
            raise Problem("queue_full", detail, retry_after=pause_s)

    async def room(self, tenant: str) -> int:
        """How many jobs a tenant may add; 0 or less: none. Raises Problem `store_unavailable`."""
        free = self._max_queued - (await self._jobs.counts()).queued
        if 2 * free >= self._max_queued:  # of two or more tenants none has a greater share
            return free
        own, share = await self._share(tenant)
        return max(free, share - own)

    async def _share(self, tenant: str) -> tuple[int, int]:
        """How many of a tenant's jobs wait or are claimed; and how many may while the queue is full, at least 1."""
        before = self._claimed[tenant]
        counts = await self._jobs.tenant_counts(tenant)
        return counts.queued + max(before, self._claimed[tenant]), max(1, self._max_queued // counts.tenants)

    @contextmanager
    def claiming(self, tenant: str) -> Iterator[Claim]:
        """Places for jobs until the store counts them: all are given back when the context ends."""
        places = 0

        async def claim() -> None:
            nonlocal places
            await self.check(tenant)
            self._claimed[tenant] += 1
            places += 1

        try:
            yield claim
        finally:
            self._claimed[tenant] -= places
            self._claimed = +self._claimed

    async def wait_s(self) -> float:
        """A guess at the time until the job that came last has ended."""
        return ends_in_s(await self._jobs.counts())


def ends_in_s(counts: QueueCounts) -> float:
    """A guess at the time until a job that comes now has ended."""
    return _JOB_S + _empty_in_s(counts)


def _empty_in_s(counts: QueueCounts) -> float:
    return counts.queued * _JOB_S / max(1, counts.workers)
