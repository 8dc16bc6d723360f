"""Messages that no job is made of, and what is sent of a message that is too large for its topic."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from gateway.jobs.dead_letters import BadMessage
from gateway.jobs.outbox import OutboxMessage
from gateway.kafka.message import Message
from gateway.results import Failure

_LONGEST_KEY = 1024
_LONGEST_HEADER = 1024
_LEFT_OUT = "mask_paths: too large for a message; GET /v1/jobs/{job_id} has them"


def poison_of(message: Message, failure: Failure, topic: str) -> BadMessage:
    """The message with its reason, and what tells the poison topic: the same key and value, the reason in headers."""
    value = message.value or b""
    attempts = message.attempts + 1
    headers = {"reason": failure.code, "detail": failure.detail, "attempts": str(attempts), "origin": message.origin}
    announcement = OutboxMessage("message", topic, _text(message.key), value, headers)
    return BadMessage(message.origin, message.key, value, failure, announcement, attempts)


def _text(key: bytes | None) -> str:
    """Text that a database keeps; a key that is none is written with backslashes."""
    return (key or b"").decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def shortened(content: OutboxMessage) -> OutboxMessage | None:
    """The message without what makes it large; None where that is no help.

    Poison goes without its value, but with its size and SHA-256; an outcome without its links.
    """
    headers = {name: value[:_LONGEST_HEADER] for name, value in content.headers.items()}
    key = content.key if len(content.key) <= _LONGEST_KEY else hashlib.sha256(content.key.encode()).hexdigest()
    if "origin" in headers:
        facts = {"value_bytes": str(len(content.body)), "value_sha256": hashlib.sha256(content.body).hexdigest()}
        return replace(content, key=key, body=_reference(headers["origin"], facts), headers={**headers, **facts})
    outcome = _outcome(content.body)
    if outcome is None:
        return None
    return replace(
        content,
        key=key,
        body=_json({**outcome, "mask_paths": {}, "left_out": _LEFT_OUT.format(job_id=headers.get("job_id"))}),
        headers=headers,
    )


def _reference(origin: str, facts: Mapping[str, str]) -> bytes:
    topic, partition, offset = origin.rsplit("/", 2)
    return _json({"topic": topic, "partition": int(partition), "offset": int(offset), **facts})


def _outcome(body: bytes) -> dict[str, object] | None:
    """An outcome that has links; None for anything else."""
    try:
        members = json.loads(body)
    except ValueError:
        return None
    return members if isinstance(members, dict) and members.get("mask_paths") else None


def _json(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()
