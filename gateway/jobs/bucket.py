"""What keeps photos and artifacts: S3 or memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import Problem

_NAMED = 3


class ObjectMissingError(LookupError):
    """There is no object under the key."""


class ObjectsKeptError(Problem):
    """The store answers, but keeps objects that were to be removed: under a legal hold, or for want of a right.

    `kept` says why, by key.
    """

    def __init__(self, kept: Mapping[str, str]) -> None:
        named = "; ".join(f"{key} ({reason})" for key, reason in list(kept.items())[:_NAMED])
        more = f"; and {len(kept) - _NAMED} more" if len(kept) > _NAMED else ""
        super().__init__("storage_unavailable", f"S3 keeps {named}{more}")
        self.kept = kept


class UnansweredError(Problem):
    """The store was asked, and did not answer in time: what it was asked for may still be done."""

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__("storage_unavailable", detail, retry_after=retry_after)


@dataclass(frozen=True)
class StoredObject:
    """An object's content."""

    data: bytes
    media_type: str


class Bucket(Protocol):
    """Objects by key, written whole or not at all.

    Every method raises Problem `storage_unavailable` where the store cannot be reached in time.
    """

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        """Write an object. In memory, Problem `queue_full` where it does not fit."""

    async def get(self, key: str) -> StoredObject:
        """Read an object. Raises ObjectMissingError."""

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove objects for good; missing ones count as removed.

        Raises ObjectsKeptError once all others are gone.
        """

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins with the prefix."""

    async def check(self) -> None:
        """Return where the store answers."""
