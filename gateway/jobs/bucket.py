"""What keeps photos and artifacts: S3 or memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class ObjectMissingError(LookupError):
    """There is no object under the key."""


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
        """Remove objects; missing ones count as removed."""

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins with the prefix."""

    def link(self, key: str) -> str:
        """A URL that reads the object without credentials; made without asking the server."""

    async def check(self) -> None:
        """Return where the store answers."""
