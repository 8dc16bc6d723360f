"""Drives any queue through random orders of events, against the model of tests.queue_model."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar
from uuid import uuid4

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.jobs.job import ImageReference, JobFilter, Lease, NewJob, Outcome, StoredArtifact
from gateway.jobs.outbox import Outbox, OutboxMessage
from gateway.jobs.store import LATE_WRITES_S, BadMessage, DeadLetters, JobStore
from gateway.pipelines.outputs import Failure
from gateway.settings import Settings
from tests.outboxes import take_due
from tests.queue_model import Model, announce

__all__ = ["QueueUnderTest", "announce", "check_queue"]

T = TypeVar("T")
LEASE_S = 100.0
"""The steps of the clock, 40 and 120 s, add up to nothing near it: a slow machine's own seconds change no answer."""
LATE_S = LEASE_S + LATE_WRITES_S

_ALL = 1000
TENANTS = ("", "acme", "b_c", "b-c")
"""Names that locales put into other orders than their bytes'."""
_REQUESTS = st.builds(
    lambda tenant, user, number, fingerprint, priority, source, failure: NewJob(
        id=uuid4(),
        pipeline="body_masks",
        user_id=user,
        request_id=f"request-{number}",
        fingerprint=fingerprint,
        parameters='{"style":  "garment", "note": "\\u0000"}',
        image=ImageReference("url", "https://example.com/a.jpg"),
        source=source,
        trace_id="0" * 32,
        priority=priority,
        outcome=Outcome(failure=Failure(failure, "why")) if failure else None,
        tenant=tenant,
    ),
    st.sampled_from(TENANTS),
    st.sampled_from(["ann", "bob", ""]),
    st.integers(1, 9),
    st.sampled_from([b"one", b"one", b"one", b"other"]),
    st.integers(0, 1),
    st.sampled_from(["http", "kafka:mask_input/0/1"]),
    st.sampled_from([None, None, None, None, "image_unsupported", "url_unreachable"]),
)
_OUTCOMES = st.one_of(
    st.builds(
        lambda number: Outcome({"persons": number}, (StoredArtifact("dress_mask.png", "k", "image/png", 1),)),
        st.integers(0, 9),
    ),
    st.sampled_from(["no_person", "triton_unavailable"]).map(lambda code: Outcome(failure=Failure(code, "why"))),
)
_WORKERS = st.sampled_from(["left", "middle", "right"])
_CHOICES = st.integers(0, 10**6)


class QueueUnderTest(ABC):
    """The stores, as often as they are wanted, and what may happen to them; used from one event loop."""

    jobs: JobStore
    outbox: Outbox
    dead_letters: DeadLetters
    takes_messages = True
    """Whether jobs may come from Kafka, and dead letters with them."""

    @abstractmethod
    async def begin(self, settings: Settings) -> None:
        """Empty stores that announce with `announce`."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Let the stores' clock go on."""

    async def restart(self) -> None:  # noqa: B027 some have nothing to do
        """Close the stores and open them again, where they outlast it."""

    async def sever(self) -> None:  # noqa: B027 some have nothing to do
        """Break all connections, where there are any."""

    async def end(self) -> None:  # noqa: B027 some have nothing to do
        """Close the stores."""


class QueueMachine(RuleBasedStateMachine):
    """The events. What is asked of the answers is in the model."""

    def __init__(self, loop: asyncio.AbstractEventLoop, queue: QueueUnderTest) -> None:
        super().__init__()
        self._loop = loop
        self._queue = queue
        self._settings = Settings()
        self._model = Model(1, 1, LATE_S)

    @initialize(user_concurrency=st.integers(1, 2), max_retries=st.integers(0, 2))
    def begin(self, user_concurrency: int, max_retries: int) -> None:
        self._settings = Settings(user_concurrency=user_concurrency, max_retries=max_retries, lease_s=LEASE_S)
        self._model = Model(user_concurrency, max_retries + 1, LATE_S)
        self._wait(self._queue.begin(self._settings))

    @rule(requests=st.lists(_REQUESTS, min_size=1, max_size=4))
    def submit(self, requests: list[NewJob]) -> None:
        requests = self._possible(requests)
        self._model.check_submissions(requests, self._wait(self._queue.jobs.submit(requests)))

    @rule(requests=st.lists(_REQUESTS, min_size=1, max_size=4))
    def submit_while_severed(self, requests: list[NewJob]) -> None:
        requests = self._possible(requests)
        self._model.check_submissions(requests, self._while_severed(self._queue.jobs.submit(requests)))

    def _possible(self, requests: list[NewJob]) -> list[NewJob]:
        return requests if self._queue.takes_messages else [replace(one, source="http") for one in requests]

    @precondition(lambda self: self._queue.takes_messages)
    @rule(offset=st.integers(0, 2), value=st.sampled_from([b"{", b"\xff\x00"]))
    def submit_poison(self, offset: int, value: bytes) -> None:
        announcement = OutboxMessage("message", "mask_input_poison", "", value)
        poison = BadMessage(f"mask_input/0/{offset}", None, value, Failure("invalid_json", "no"), announcement)
        assert self._wait(self._queue.jobs.submit([], [poison, poison])) == []
        self._model.add_poison(poison)

    @rule(worker=_WORKERS, limit=st.integers(1, 4), after=st.sampled_from([*TENANTS, "b", "z"]))
    def claim(self, worker: str, limit: int, after: str = "") -> None:
        due, claimable, exhausted = self._model.due(), self._model.claimable(after), self._model.exhausted()
        leases = self._wait(self._queue.jobs.claim(worker, limit, LEASE_S, after))
        expected = [job.request.id for job in claimable]
        assert [lease.job.id for lease in leases] == expected[: len(leases)]
        ended = self._end_exhausted()
        assert len(leases) <= limit
        assert len(leases) + ended >= min(limit, len(due))
        assert exhausted or len(leases) == min(limit, len(due))
        self._lease(leases)

    @rule(limits=st.lists(st.integers(1, 3), min_size=2, max_size=4))
    def claim_together(self, limits: list[int]) -> None:
        claimable = [job.request.id for job in self._model.claimable()]
        claims = [self._queue.jobs.claim(f"worker-{number}", limit, LEASE_S) for number, limit in enumerate(limits)]
        leases = [lease for taken in self._wait(_together(claims)) for lease in taken]
        assert len({lease.job.id for lease in leases}) == len(leases)
        self._end_exhausted()
        freed = [job.request.id for job in self._model.claimable()]  # by the end of one before them
        assert {lease.job.id for lease in leases} <= {*claimable, *freed}
        self._lease(leases)

    @rule(worker=_WORKERS, choice=_CHOICES)
    def heartbeat(self, worker: str, choice: int) -> None:
        asked = [lease for number, lease in enumerate(self._model.leases) if (choice >> number) & 1]
        held = self._wait(self._queue.jobs.renew(worker, 4, [lease.token for lease in asked], LEASE_S))
        assert held == {lease.token for lease in asked if self._model.holds(lease)}
        for lease in asked:
            if self._model.holds(lease):
                self._model.of(lease.job.id).lease_until = self._model.now + LEASE_S

    @rule(seconds=st.sampled_from([40.0, 120.0]))
    def pass_time(self, seconds: float) -> None:
        self._wait(self._queue.pass_time(seconds))
        self._model.now += seconds

    @rule(limit=st.integers(1, 4))
    def take_over(self, limit: int) -> None:
        """Workers stand still until others have their jobs."""
        self.pass_time(120.0)
        self.claim("other", limit)

    @precondition(lambda self: self._model.overtaken())
    @rule(choice=_CHOICES, outcome=_OUTCOMES, verb=st.sampled_from(["finish", "retry", "release"]))
    def come_late(self, choice: int, outcome: Outcome, verb: str) -> None:
        """A worker whose job has another goes on."""
        late = self._model.overtaken()
        lease = late[choice % len(late)]
        arguments = {"finish": (outcome,), "retry": (Failure("url_unreachable", "late"), 0.0), "release": ()}[verb]
        assert not self._wait(getattr(self._queue.jobs, verb)(lease, *arguments))

    @precondition(lambda self: self._model.leases)
    @rule(choice=_CHOICES, outcome=_OUTCOMES)
    def finish(self, choice: int, outcome: Outcome) -> None:
        lease = self._pick_lease(choice)
        self._check_finish(lease, outcome, self._wait(self._queue.jobs.finish(lease, outcome)))

    @precondition(lambda self: self._model.leases)
    @rule(choice=_CHOICES, outcome=_OUTCOMES)
    def finish_while_severed(self, choice: int, outcome: Outcome) -> None:
        lease = self._pick_lease(choice)
        self._check_finish(lease, outcome, self._while_severed(self._queue.jobs.finish(lease, outcome)))

    @precondition(lambda self: self._model.leases)
    @rule(choice=_CHOICES, delay_s=st.sampled_from([0.0, 60.0]))
    def retry(self, choice: int, delay_s: float) -> None:
        lease = self._pick_lease(choice)
        failure = Failure("triton_unavailable", "away \0 \ud800")
        self._check_put_back(lease, self._wait(self._queue.jobs.retry(lease, failure, delay_s)), delay_s, counted=True)

    @precondition(lambda self: self._model.leases)
    @rule(choice=_CHOICES)
    def release(self, choice: int) -> None:
        lease = self._pick_lease(choice)
        self._check_put_back(lease, self._wait(self._queue.jobs.release(lease)), 0.0, counted=False)

    @precondition(lambda self: self._model.jobs)
    @rule(choice=_CHOICES)
    def cancel(self, choice: int) -> None:
        job = self._model.jobs[choice % len(self._model.jobs)]
        cancelled = self._wait(self._queue.jobs.cancel(job.request.id))
        assert (cancelled is None) == job.hidden
        if cancelled:
            self._model.cancel(job)
            assert cancelled.state == job.state

    @precondition(lambda self: self._model.jobs)
    @rule(choice=_CHOICES)
    def delete(self, choice: int) -> None:
        job = self._model.jobs[choice % len(self._model.jobs)]
        deleted = self._wait(self._queue.jobs.delete(job.request.id))
        assert (deleted is None) == job.hidden
        if not job.hidden:
            self._model.hide(job)
        known = self._wait(self._queue.jobs.deleting(job.request.id))
        assert (known.state if known else None) == (None if job.gone else "deleting")

    @rule()
    def remove(self) -> None:
        removable = {job.id for job in self._wait(self._queue.jobs.removable(_ALL, 0.0))}
        assert removable == self._model.removable()
        assert self._wait(self._queue.jobs.remove(list(removable))) == self._model.remove()

    @rule(choice=_CHOICES, keep=st.booleans())
    def close_poison(self, choice: int, *, keep: bool) -> None:
        entries = self._wait(self._queue.dead_letters.entries(_ALL))
        opened = [entry.job_id or entry.origin for entry in entries]
        messages = [origin for (origin, _), is_open in self._model.poisoned_messages.items() if is_open]
        assert sorted(map(str, opened)) == sorted(map(str, [*self._model.poisoned_jobs, *messages]))
        assert [entry.id for entry in entries] == sorted((entry.id for entry in entries), reverse=True)
        if not entries:
            return
        entry = entries[choice % len(entries)]
        close = self._queue.dead_letters.replay if keep else self._queue.dead_letters.drop
        assert self._wait(close(entry.id))
        assert not self._wait(close(entry.id))
        if entry.job_id:
            del self._model.poisoned_jobs[entry.job_id]
            if keep:
                self._model.requeue(self._model.of(entry.job_id))
            return
        message = next(
            message
            for message, is_open in self._model.poisoned_messages.items()
            if is_open and message[0] == entry.origin and len(message[1]) == entry.size
        )
        self._model.poisoned_messages[message] = False
        if keep:
            self._model.owe_message(self._settings.kafka_topic_input, message[1])

    @rule(fate=st.sampled_from(["delivered", "failed", "pending"]))
    def relay(self, fate: str) -> None:
        taken = self._wait(take_due(self._queue.outbox, LEASE_S))
        assert Counter((one.content.destination, one.content.body) for one in taken) == self._model.deliverable()
        if fate == "delivered":
            self._wait(self._queue.outbox.delivered([one.id for one in taken]))
        for one in taken if fate == "failed" else ():
            self._wait(self._queue.outbox.give_up(one, "gone \0"))
        self._model.deliver(fate, LEASE_S)

    @precondition(lambda self: self._model.visible())
    @rule(choice=_CHOICES)
    def resend(self, choice: int) -> None:
        visible = self._model.visible()
        job = visible[choice % len(visible)]
        assert self._wait(self._queue.outbox.resend(job.request.id)) == self._model.resend(job.request.id)

    @rule()
    def restart(self) -> None:
        self._wait(self._queue.restart())

    @rule(tenant=st.sampled_from(TENANTS))
    def count_of_tenant(self, tenant: str) -> None:
        assert self._wait(self._queue.jobs.tenant_counts(tenant)) == self._model.tenant_counts(tenant)

    @invariant()
    def shows_every_job_as_it_is(self) -> None:
        tenants = {job.request.tenant for job in self._model.jobs}
        found = [job for one in tenants for job in self._wait(self._queue.jobs.find(JobFilter(limit=_ALL, tenant=one)))]
        found.sort(key=lambda job: job.sequence, reverse=True)
        rows = [(job.id, job.state, job.attempts, _code(job.outcome)) for job in found]
        assert rows == [(job.request.id, *job.row) for job in self._model.visible()]
        for job, expected in zip(found, self._model.visible(), strict=True):
            assert job.finished == (job.outcome is not None) == (job.finished_at is not None)
            if job.outcome and expected.outcome:
                assert (job.outcome.result, job.outcome.artifacts) == (
                    expected.outcome.result,
                    expected.outcome.artifacts,
                )

    @invariant()
    def counts_them(self) -> None:
        if self._model.jobs:
            counts = self._wait(self._queue.jobs.counts())
            states = Counter(job.state for job in self._model.jobs)
            assert (counts.queued, counts.running) == (states["queued"], states["running"])

    def teardown(self) -> None:
        """Nothing is stuck: with time and workers, every job gets its outcome, and every outcome is announced once."""
        for _ in range(10 * len(self._model.jobs) + 1):
            self.pass_time(120.0)
            self.claim("last", _ALL)
            for lease in [lease for lease in self._model.leases if self._model.holds(lease)]:
                self._check_finish(lease, Outcome(), self._wait(self._queue.jobs.finish(lease, Outcome())))
            if all(job.finished for job in self._model.jobs):
                break
        assert all(job.finished for job in self._model.jobs)
        for _ in range(2):
            self.pass_time(200.0)
            self.remove()
        assert all(job.gone == job.hidden for job in self._model.jobs)
        self.shows_every_job_as_it_is()
        for job in self._model.visible():
            states = [delivery.state for delivery in self._wait(self._queue.outbox.of_job(job.request.id))]
            assert states == self._model.of_job(job.request.id)

    def _check_finish(self, lease: Lease, outcome: Outcome, ended: bool) -> None:  # noqa: FBT001 an answer
        job = self._model.of(lease.job.id)
        if self._model.holds(lease):
            assert ended
            self._model.end(job, outcome)
        elif not job.finished or job.token != lease.token:
            assert not ended

    def _check_put_back(self, lease: Lease, done: bool, delay_s: float, *, counted: bool) -> None:  # noqa: FBT001
        job = self._model.of(lease.job.id)
        if self._model.holds(lease):
            assert done
            self._model.put_back(lease, delay_s, counted=counted)
        elif job.state != "queued" or job.token != lease.token:
            assert not done

    def _lease(self, leases: list[Lease]) -> None:
        for lease in leases:
            self._model.lease(lease, LEASE_S)

    def _end_exhausted(self) -> int:
        """Note the jobs that a claim ended; how many."""
        ended = 0
        for job in self._model.exhausted():
            found = self._wait(self._queue.jobs.get(job.request.id))
            if found and found.finished:
                self._model.end(job, Outcome(failure=Failure("attempts_exhausted", "")))
                ended += 1
        return ended

    def _pick_lease(self, choice: int) -> Lease:
        return self._model.leases[choice % len(self._model.leases)]

    def _while_severed(self, work: Awaitable[T]) -> T:
        async def both() -> T:
            answer, _ = await asyncio.gather(work, self._queue.sever())
            return answer

        return self._wait(both())

    def _wait(self, work: Awaitable[T]) -> T:
        async def waited() -> T:
            return await work

        return self._loop.run_until_complete(waited())


def check_queue(make: Callable[[], QueueUnderTest], examples: int) -> None:
    """Find an order of events in which the queue does not do what the model says. Raises AssertionError."""
    loop = asyncio.new_event_loop()
    queue = make()
    try:
        run_state_machine_as_test(
            lambda: QueueMachine(loop, queue),
            settings=settings(
                max_examples=examples,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
    finally:
        loop.run_until_complete(queue.end())
        loop.close()


async def _together(claims: list[Awaitable[list[Lease]]]) -> list[list[Lease]]:
    return await asyncio.gather(*claims)


def _code(outcome: Outcome | None) -> str | None:
    return outcome.failure.code if outcome and outcome.failure else None
