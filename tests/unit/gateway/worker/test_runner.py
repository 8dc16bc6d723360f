"""The runner, its attempts and the heartbeat, on stores in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from gateway.errors import Problem
from gateway.jobs.job import Job, NewJob, Outcome, StoredArtifact
from gateway.jobs.objects import artifact_key
from gateway.metrics.instruments import Instruments
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.timing import Backoff, Stopwatch
from gateway.worker.attempts import Attempts, ClaimedJob
from gateway.worker.runner import LeaseRenewal, Runner
from tests.unit.gateway.worker.jobs import memory, memory_settings, new_job

NAME = "upper_body_mask.png"


@dataclass
class Stage:
    """In place of the real stages: does what the test says, and remembers who is at work."""

    work: Callable[[Job], Awaitable[Outcome]]
    store: Callable[[Job], Awaitable[None]] | None = None
    running: list[Job] = field(default_factory=list)
    most: int = 0

    @asynccontextmanager
    async def done(self, claimed: ClaimedJob, _watch: Stopwatch) -> AsyncIterator[tuple[Outcome, None]]:
        self.running.append(claimed.job)
        self.most = max(self.most, len(self.running))
        try:
            outcome = await self.work(claimed.job)
            if self.store:
                await claimed.confirm()
                await self.store(claimed.job)
        finally:
            self.running.remove(claimed.job)
        yield outcome, None


@dataclass
class Bench:
    """A running runner."""

    settings: Settings
    stores: Stores
    stage: Stage
    runner: Runner
    instruments: Instruments
    claiming: "asyncio.Task[None]"

    async def submit(self, *jobs: NewJob) -> list[Job]:
        for request in jobs:
            await self.stores.photos.put(request.image.location, b"photo", "image/png")
        return [one.job for one in await self.stores.jobs.submit(jobs)]

    async def ended(self, job: Job) -> Job:
        with self.stores.signals.subscribe(str(job.id)) as changes:
            while not (now := await self.now(job)).finished:
                assert await changes.wait(10), now
        return now

    async def now(self, job: Job) -> Job:
        found = await self.stores.jobs.get(job.id)
        assert found is not None
        return found

    async def until(self, condition: Callable[[], bool]) -> None:
        async def hold() -> None:
            while not condition():
                await asyncio.sleep(0.01)

        await asyncio.wait_for(hold(), 10)


@asynccontextmanager
async def bench(work: Callable[[Job], Awaitable[Outcome]], **given: object) -> AsyncIterator[Bench]:
    settings = memory_settings(**{"service_concurrency": 2, **given})
    async with memory(**given) as stores:
        stage, instruments = Stage(work), Instruments("worker")
        runner = Runner("worker-1", settings, stores, Attempts(settings, stores, stage, instruments))
        claiming = asyncio.create_task(runner.run())
        yield Bench(settings, stores, stage, runner, instruments, claiming)
        claiming.cancel()
        await asyncio.wait([claiming])
        await runner.drain(0)


async def done(_job: Job) -> Outcome:
    return Outcome({"photo": {"width": 1}})


async def never(_job: Job) -> Outcome:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_jobs_photo_is_removed_when_the_job_ends() -> None:
    async with bench(done) as at:
        with capture_logs() as logs:
            (job,) = await at.submit(new_job())
            ended = await at.ended(job)
            await at.until(lambda: not at.runner.claimed)
        assert (ended.state, ended.attempts) == ("completed", 1)
        assert await at.stores.photos.keys("") == []
        (line,) = (line for line in logs if line["event"] == "job completed")
        assert (line["state"], line["attempts"], line["log_level"]) == ("completed", 1, "info")


async def test_no_more_jobs_are_in_hand_than_there_are_places() -> None:
    gate = asyncio.Event()

    async def gated(_job: Job) -> Outcome:
        await gate.wait()
        return Outcome()

    async with bench(gated) as at:
        jobs = await at.submit(*(new_job() for _ in range(6)))
        await at.until(lambda: len(at.runner.claimed) == 4)
        for _ in range(5):  # each wakes the runner
            jobs += await at.submit(new_job())
            await asyncio.sleep(0)
        gate.set()
        for job in jobs:
            await at.ended(job)
        assert at.stage.most == 4


async def test_an_input_error_ends_the_job_at_once() -> None:
    async def refuse(_job: Job) -> Outcome:
        raise Problem("no_person", "nobody is there")

    async with bench(refuse) as at:
        (job,) = await at.submit(new_job())
        ended = await at.ended(job)
        assert (ended.state, ended.attempts) == ("failed", 1)
        assert ended.outcome is not None
        assert ended.outcome.failure is not None
        assert ended.outcome.failure.code == "no_person"
        assert "queue" in ended.outcome.timings_ms


@pytest.mark.parametrize("error", [Problem("triton_unavailable", "away"), RuntimeError("a bug")])
async def test_a_passing_failure_is_tried_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.attempts.RETRIES", Backoff(0.0, 0.0))
    failures = [error, error]

    async def stumble(_job: Job) -> Outcome:
        if failures:
            raise failures.pop()
        return Outcome()

    async with bench(stumble) as at:
        (job,) = await at.submit(new_job())
        ended = await at.ended(job)
        assert (ended.state, ended.attempts) == ("completed", 3)


async def test_after_the_last_attempt_the_job_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.attempts.RETRIES", Backoff(0.0, 0.0))

    async def break_down(_job: Job) -> Outcome:
        raise RuntimeError("a bug")

    async with bench(break_down, max_retries=2) as at:
        (job,) = await at.submit(new_job())
        ended = await at.ended(job)
        assert (ended.state, ended.attempts) == ("failed", 3)
        assert ended.outcome is not None
        assert ended.outcome.failure is not None
        assert ended.outcome.failure.code == "internal_error"


async def test_a_failure_leaves_no_artifacts_of_any_attempt() -> None:
    async with bench(never) as at:

        async def store_and_fail(job: Job) -> Outcome:
            await at.stores.artifacts.put(artifact_key("", job.request.request_id, NAME), b"mask", "image/png")
            raise Problem("no_person", "nobody is there")

        at.stage.work = store_and_fail
        (job,) = await at.submit(new_job())
        await at.ended(job)
        await at.until(lambda: not at.runner.claimed)
        assert await at.stores.artifacts.keys("") == []


async def test_a_cancelled_job_is_stopped_by_the_next_heartbeat_and_leaves_nothing() -> None:
    async with bench(never) as at:

        async def store_and_wait(job: Job) -> Outcome:
            await at.stores.artifacts.put(artifact_key("", job.request.request_id, NAME), b"mask", "image/png")
            return await never(job)

        at.stage.work = store_and_wait
        (job,) = await at.submit(new_job())
        await at.until(lambda: bool(at.stage.running))
        await at.stores.jobs.cancel(job.id)
        await at.runner.renew()
        await at.until(lambda: not at.runner.claimed)
        ended = await at.now(job)
        assert ended.outcome is not None
        assert ended.outcome.failure is not None
        assert ended.outcome.failure.code == "cancelled"
        assert await at.stores.artifacts.keys("") == await at.stores.photos.keys("") == []


async def test_a_lease_that_is_lost_is_counted_once_however_it_is_noticed() -> None:
    gate = asyncio.Event()

    async def gated(job: Job) -> Outcome:
        await (gate.wait() if job.request.user_id == "ending" else asyncio.Event().wait())
        return Outcome()

    async with bench(gated) as at:
        ending, hanging = await at.submit(new_job("ending"), new_job("hanging"))
        await at.until(lambda: len(at.stage.running) == 2)
        for job in (ending, hanging):
            await at.stores.jobs.cancel(job.id)
        gate.set()
        await at.until(lambda: len(at.runner.claimed) == 1)
        for _ in range(2):
            await at.runner.renew()
        await at.until(lambda: not at.runner.claimed)
        (job,) = await at.submit(new_job("ending"))
        await at.ended(job)
        assert at.instruments.registry.get_sample_value("leases_lost_total") == 2


async def test_a_job_that_ended_elsewhere_keeps_its_outcome() -> None:
    gate = asyncio.Event()

    async def gated(_job: Job) -> Outcome:
        await gate.wait()
        return Outcome({"photo": {"width": 2}})

    async with bench(gated) as at:
        (job,) = await at.submit(new_job())
        await at.until(lambda: bool(at.stage.running))
        (claimed,) = at.runner.claimed.values()
        key = artifact_key("", job.request.request_id, NAME)
        await at.stores.artifacts.put(key, b"mask", "image/png")
        kept = (StoredArtifact(NAME, key, "image/png", 4),)
        assert await at.stores.jobs.finish(claimed.lease, Outcome({"photo": {"width": 1}}, kept))
        gate.set()
        await at.until(lambda: not at.runner.claimed)
        ended = await at.now(job)
        assert ended.outcome is not None
        assert ended.outcome.result == {"photo": {"width": 1}}
        assert await at.stores.artifacts.keys("") == [key]


async def test_draining_finishes_running_jobs_and_hands_back_the_others() -> None:
    gate = asyncio.Event()

    async def gated(job: Job) -> Outcome:
        await (gate.wait() if job.request.user_id == "quick" else asyncio.Event().wait())
        return Outcome()

    async with bench(gated) as at:
        quick, slow = await at.submit(new_job("quick"), new_job("slow"))
        await at.until(lambda: len(at.stage.running) == 2)
        at.claiming.cancel()
        await asyncio.wait([at.claiming])
        draining = asyncio.create_task(at.runner.drain(0.5))
        gate.set()
        await draining
        assert not at.runner.claimed
        assert (await at.now(quick)).state == "completed"
        handed_back = await at.now(slow)
        assert (handed_back.state, handed_back.attempts) == ("queued", 0)
        assert await at.stores.photos.keys("") == [handed_back.request.image.location]


async def test_an_end_that_could_not_be_stored_is_stored_again() -> None:
    async with bench(done) as at:
        deaf = DeafStore(at.stores, 2)
        attempts = Attempts(at.settings, replace(at.stores, jobs=deaf), at.stage, at.instruments)
        at.claiming.cancel()
        await asyncio.wait([at.claiming])
        (job,) = await at.submit(new_job())
        (lease,) = await at.stores.jobs.claim("worker-1", 1, 10)
        await attempts.make(ClaimedJob(lease, at.runner._renew_one, 10))
        assert (await at.now(job)).state == "completed"
        assert deaf.times == 0


async def test_a_deleted_job_leaves_its_successors_artifacts_as_they_are() -> None:
    gate = asyncio.Event()

    async def gated(job: Job) -> Outcome:
        await (gate.wait() if job.request.user_id == "ann" and job.sequence == 1 else asyncio.sleep(0))
        key = artifact_key("ann", job.request.request_id, NAME)
        return Outcome(artifacts=(StoredArtifact(NAME, key, "image/png", 1),))

    async with bench(gated) as at:

        async def store(job: Job) -> None:
            key = artifact_key("ann", job.request.request_id, NAME)
            await at.stores.artifacts.put(key, str(job.sequence).encode(), "image/png")

        at.stage.store = store
        first = new_job("ann", request_id="again")
        await at.submit(first)
        await at.until(lambda: bool(at.stage.running))
        assert await at.stores.jobs.delete(first.id)
        (job,) = await at.submit(new_job("ann", request_id="again"))
        await at.ended(job)
        gate.set()
        await at.until(lambda: not at.runner.claimed)
        mask = await at.stores.artifacts.get(artifact_key("ann", "again", NAME))
        assert mask.data == b"2"


async def test_what_this_worker_lacks_is_left_to_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.attempts.RETRIES", Backoff(0.0, 0.0))

    async def unknown(job: Job) -> Outcome:
        if job.attempts < 3:
            raise Problem("pipeline_not_found", "This worker has no pipeline 'new'.")
        return Outcome()

    async with bench(unknown) as at:
        (job,) = await at.submit(new_job())
        ended = await at.ended(job)
        assert (ended.state, ended.attempts) == ("completed", 3)


async def test_renewing_before_a_write_reports_no_more_than_a_heartbeat() -> None:
    async with bench(done) as at:
        await LeaseRenewal(at.settings, at.runner).retire()
        at.stage.store = lambda _job: asyncio.sleep(0)
        (job,) = await at.submit(new_job())
        await at.ended(job)
        assert (await at.stores.jobs.counts()).workers == at.runner.capacity == 0


class DeafStore:
    """A store that does not answer the first so many ends."""

    def __init__(self, stores: Stores, times: int) -> None:
        self.times = times
        self._jobs = stores.jobs

    async def finish(self, lease, outcome, entry) -> bool:
        if self.times:
            self.times -= 1
            raise Problem("store_unavailable", "away")
        return await self._jobs.finish(lease, outcome, entry)
