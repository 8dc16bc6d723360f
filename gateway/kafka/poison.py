"""Messages that no job is made of."""

from gateway.jobs.deliveries import NewDelivery
from gateway.jobs.job import Failure
from gateway.jobs.store import Poison
from gateway.kafka.message import Message


def poison_of(message: Message, failure: Failure, topic: str) -> Poison:
    """The message with its reason, and what tells the poison topic: the same key and value, the reason in headers."""
    value = message.value or b""
    headers = {"reason": failure.code, "detail": failure.detail, "attempts": "1", "origin": message.origin}
    announcement = NewDelivery("message", topic, _text(message.key), value, headers)
    return Poison(message.origin, message.key, value, failure, announcement)


def _text(key: bytes | None) -> str:
    """Text that a database keeps; a key that is none is written with backslashes."""
    return (key or b"").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
