"""What the tests of the stores in PostgreSQL work with."""

from dataclasses import replace
from itertools import count
from uuid import uuid4

from gateway.jobs.job import ImageReference, Job, NewJob, Outcome, StoredArtifact
from gateway.jobs.outbox import OutboxMessage
from gateway.jobs.store import BadMessage
from gateway.pipelines.outputs import Failure

LEASE_S = 60.0
DONE = Outcome({"persons": 1}, timings_ms={"infer": 1.5})
AWAY = Outcome(failure=Failure("triton_unavailable", "away"))
MISTAKEN = Outcome(failure=Failure("no_person", ""))
FROM_KAFKA = "kafka:mask_input/0/17"
_numbers = count()


def announce(job: Job, outcome: Outcome) -> list[OutboxMessage]:
    """One delivery for each callback of the job."""
    body = f"{outcome.state} {job.request.request_id}".encode()
    headers, tenant = {"job_id": str(job.id)}, job.request.tenant
    return [OutboxMessage(one.kind, one.destination, "key", body, headers, tenant) for one in job.request.callbacks]


def request(user_id: str = "", **changes: object) -> NewJob:
    """A job under a request id that is used nowhere else."""
    made = NewJob(
        id=uuid4(),
        pipeline="body_masks",
        user_id=user_id,
        request_id=f"request-{next(_numbers)}",
        fingerprint=b"content",
        parameters='{"style": "garment"}',
        image=ImageReference("url", "https://example.com/a.jpg"),
        source="http",
        trace_id="0" * 32,
    )
    return replace(made, **changes)


def masks(*types: str) -> Outcome:
    """An outcome with these masks."""
    names = [f"{mask_type}_mask.png" for mask_type in types]
    return Outcome(artifacts=tuple(StoredArtifact(name, f"u/r/{name}", "image/png", 4) for name in names))


def poison(value: bytes = b"{", origin: str = "mask_input/0/3", key: bytes | None = b"key") -> BadMessage:
    announcement = OutboxMessage("message", "mask_input_poison", "", value, {"reason": "invalid_json"})
    return BadMessage(origin, key, value, Failure("invalid_json", "not JSON"), announcement)
