from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.jobs.job import ImageReference, Job, NewJob, Outcome, StoredArtifact
from gateway.jobs.outbox import Delivery, OutboxMessage
from gateway.jobs.view import COMPLETED, QUEUED, JobSummary, JobView, job_view
from gateway.pipelines.outputs import Failure
from gateway.timing import timestamp

NOON = datetime(2025, 11, 26, 12, tzinfo=UTC)
KEY = "123/req-123-001/upper_body_mask.png"
REQUEST = NewJob(
    id=UUID("6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11"),
    pipeline="body_masks",
    user_id="123",
    request_id="req-123-001",
    fingerprint=b"",
    parameters="{}",
    image=ImageReference("url", "https://example.com/a.jpg"),
    source="http",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
)
WAITING = Job(REQUEST, 1, "queued", 0, NOON, NOON, None, None, None, None)
FOUND = {name: COMPLETED[name] for name in ("photo", "persons")}
DONE = replace(
    WAITING,
    state="completed",
    attempts=1,
    started_at=NOON + timedelta(milliseconds=12),
    finished_at=NOON + timedelta(milliseconds=310),
    outcome=Outcome(
        {"status": "completed", "reason": None, **FOUND},
        (StoredArtifact("upper_body_mask.png", KEY, "image/png", 4127),),
        timings_ms=COMPLETED["timings_ms"],  # type: ignore[arg-type]
    ),
)
TOLD = Delivery(
    id=17,
    job_id=REQUEST.id,
    content=OutboxMessage("webhook", "https://example.com/masks", "msg_1", b"secret"),
    state="delivered",
    attempts=1,
    created_at=NOON,
    run_at=NOON,
    ended_at=NOON + timedelta(milliseconds=640),
)


def link(_job_id: UUID, artifact: StoredArtifact) -> str:
    return f"http://127.0.0.1:9000/masks/{artifact.key}"


def test_the_documented_examples_are_views() -> None:
    example = {**QUEUED, "created_at": "2025-11-26T12:00:00Z"}
    assert job_view(WAITING, link=link) == example
    shown = job_view(DONE, [TOLD], link=link)
    for times in (COMPLETED, shown):
        assert JobView.model_validate(times)
    assert shown == {**COMPLETED, "created_at": "2025-11-26T12:00:00Z"}
    assert list(shown) == [name for name in JobView.model_fields if name in shown]


def test_a_failed_job_has_its_error_and_nothing_else() -> None:
    failed = replace(DONE, state="failed", outcome=Outcome(failure=Failure("no_person", "nobody")))
    view = job_view(failed, link=link)
    assert view["error"] == {"code": "no_person", "detail": "nobody"}
    assert view["artifacts"] == {}
    assert "persons" not in view


def test_a_job_that_waits_for_another_attempt_says_why() -> None:
    retried = replace(WAITING, attempts=1, last_failure=Failure("triton_unavailable", "away"))
    assert job_view(retried, link=link)["last_error"] == {"code": "triton_unavailable", "detail": "away"}


def test_errors_of_callbacks_do_not_show_what_was_sent() -> None:
    assert "secret" not in str(job_view(DONE, [TOLD], link=link))


@given(st.datetimes(timezones=st.timezones()))
def test_times_are_utc_and_lose_nothing(moment: datetime) -> None:
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:
        return
    text = timestamp(moment)
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == in_utc


@pytest.mark.parametrize("example", [QUEUED, COMPLETED])
def test_examples_keep_their_schema(example: dict[str, object]) -> None:
    assert JobView.model_validate(example).model_dump(mode="json", exclude_unset=True) == example
    assert JobSummary.model_validate(example)
