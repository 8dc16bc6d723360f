import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.jobs.outbox import OutboxMessage
from gateway.kafka.messages import Message, dead_letter_of
from gateway.kafka.sender import shortened
from gateway.pipelines.outputs import Failure


@given(st.binary(max_size=50), st.binary(max_size=3000), st.text(max_size=3000))
def test_a_too_large_dead_letter_becomes_its_headers_and_a_reference(value, key, detail):
    message = Message("a/b", 3, 17, 0, key, value)
    short = shortened(dead_letter_of(message, Failure("invalid_json", detail), "bad").outbox_message)
    assert short is not None
    digest = hashlib.sha256(value).hexdigest()
    assert json.loads(short.body) == {
        "topic": "a/b",
        "partition": 3,
        "offset": 17,
        "value_bytes": str(len(value)),
        "value_sha256": digest,
    }
    assert (short.headers["value_sha256"], short.headers["reason"]) == (digest, "invalid_json")
    assert len(short.key) + sum(map(len, short.headers.values())) < 5000


def test_an_outcome_that_is_too_large_goes_without_its_links():
    body = {"request_id": "r", "status": "completed", "mask_paths": {"dress": "https://a.example/" + "x" * 5000}}
    short = shortened(OutboxMessage("message", "out", "k", json.dumps(body).encode(), {"job_id": "17"}))
    assert short is not None
    said = json.loads(short.body)
    assert (said["request_id"], said["status"], said["mask_paths"]) == ("r", "completed", {})
    assert "/v1/jobs/17" in said["left_out"]


def test_a_message_without_optional_parts_stays_too_large():
    for body in (b"\x00" * 100, b"[]", b'{"status": "failed", "mask_paths": {}}'):
        assert shortened(OutboxMessage("message", "out", "k", body)) is None
