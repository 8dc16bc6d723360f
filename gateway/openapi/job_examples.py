"""Answers about jobs, as examples."""

from gateway.openapi.run_examples import EXAMPLES

QUEUED: dict[str, object] = {
    "id": "6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11",
    "pipeline": "body_masks",
    "state": "queued",
    "user_id": "123",
    "request_id": "req-123-001",
    "source": "http",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "priority": 0,
    "attempts": 0,
    "created_at": "2025-11-26T12:00:00.000000Z",
    "started_at": None,
    "finished_at": None,
    "timings_ms": {},
    "error": None,
    "last_error": None,
    "artifacts": {},
    "callbacks": [],
}
_ARTIFACT = {
    "url": "http://127.0.0.1:9000/masks/123/req-123-001/upper_body_mask.png",
    "content_type": "image/png",
    "bytes": 4127,
}
_CALLBACK = {
    "id": 17,
    "kind": "webhook",
    "destination": "https://example.com/masks",
    "state": "delivered",
    "attempts": 1,
    "last_error": None,
    "ended_at": "2025-11-26T12:00:00.640000Z",
}
COMPLETED: dict[str, object] = {
    **QUEUED,
    "state": "completed",
    "attempts": 1,
    "started_at": "2025-11-26T12:00:00.012000Z",
    "finished_at": "2025-11-26T12:00:00.310000Z",
    "timings_ms": {"queue": 12.0, "fetch": 3.1, "infer": 61.8, "store": 9.4},
    **EXAMPLES["body_masks"].found,
    "artifacts": {"upper_body_mask.png": _ARTIFACT},
    "callbacks": [_CALLBACK],
}
PAGE: dict[str, object] = {
    "jobs": [{name: value for name, value in COMPLETED.items() if name != "callbacks"}],
    "next": "41",
}
POISON_PAGE: dict[str, object] = {
    "entries": [
        {
            "id": 17,
            "job_id": None,
            "origin": "mask_input/0/1234",
            "error": {"code": "invalid_json", "detail": "Expecting ',' delimiter: line 1 column 18 (char 17)"},
            "attempts": 0,
            "bytes": 212,
            "created_at": "2025-11-26T12:00:00.000000Z",
        }
    ],
    "next": None,
}
PROCESSED: dict[str, object] = {
    "status": "accepted",
    "queued": True,
    "job_id": "job456",
    "message": "Job added to Qwen mask queue",
}
TICKET: dict[str, object] = {
    "ticket": "eyJqb2IiOiI2ZjFjMGU0ZSJ9.q1Zq0m3n6Yx8a9JpVd2fWl1sKc4rTt5uBb7eHh0iGg8",
    "expires": "2025-11-26T12:01:00Z",
}
