"""What the tests of the stores in memory work with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID, uuid4

from gateway.jobs.job import ImageReference, Job, NewJob, Outcome, StoredArtifact
from gateway.jobs.objects import artifact_key, photo_key
from gateway.jobs.outbox import OutboxMessage
from gateway.pipelines.outputs import Failure
from gateway.settings import Settings
from gateway.stores import Stores, memory_stores

MASK = "upper_body_mask.png"
POISONED = Outcome(failure=Failure("triton_unavailable", "away"))
MISTAKEN = Outcome(failure=Failure("no_person", "nobody"))
_numbers = count()


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def announce(job: Job, outcome: Outcome) -> list[OutboxMessage]:
    """One webhook for each callback of the job."""
    body = f"{job.state} {outcome.state}".encode()
    return [OutboxMessage(one.kind, one.destination, str(job.id), body) for one in job.request.callbacks]


def stores_of(clock: Clock, **settings: object) -> Stores:
    return memory_stores(Settings(**settings), announce, clock)


def request(user_id: str = "", **changes: object) -> NewJob:
    """A job with a photo of its own, under a request id that is used nowhere else."""
    job_id = uuid4()
    made = NewJob(
        id=job_id,
        pipeline="body_masks",
        user_id=user_id,
        request_id=f"request-{next(_numbers)}",
        fingerprint=b"content",
        parameters="{}",
        image=ImageReference("photo", photo_key(job_id)),
        source="http",
        trace_id="0" * 32,
    )
    return replace(made, **changes)


def done(job: Job, size: int = 4) -> Outcome:
    """An outcome with one mask."""
    key = artifact_key(job.request.user_id, job.request.request_id, MASK, job.request.tenant)
    return Outcome(artifacts=(StoredArtifact(MASK, key, "image/png", size),))


async def claimed(stores: Stores, limit: int = 100, lease_s: float = 10) -> list[UUID]:
    """Ids of the jobs that a worker gets."""
    return [lease.job.id for lease in await stores.jobs.claim("worker", limit, lease_s)]


async def run(stores: Stores, size: int = 4) -> list[UUID]:
    """Do all that is due; the ids in order."""
    leases = await stores.jobs.claim("worker", 100, 10)
    for lease in leases:
        outcome = done(lease.job, size)
        await stores.artifacts.put(outcome.artifacts[0].key, bytes(size), "image/png")
        assert await stores.jobs.finish(lease, outcome)
    return [lease.job.id for lease in leases]
