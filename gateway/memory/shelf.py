"""The bytes of photos and artifacts."""

from collections.abc import Iterable

from gateway.jobs.bucket import ObjectMissingError, StoredObject


class Shelf:
    """Objects by key, and how many bytes they are in all."""

    def __init__(self) -> None:
        self.used = 0
        self._objects: dict[str, StoredObject] = {}

    def put(self, key: str, content: StoredObject) -> None:
        """Keep an object in place of any earlier one."""
        self.used += len(content.data) - self.size(key)
        self._objects[key] = content

    def get(self, key: str) -> StoredObject:
        """An object. Raises ObjectMissingError."""
        try:
            return self._objects[key]
        except KeyError as error:
            raise ObjectMissingError(key) from error

    def size(self, key: str) -> int:
        """Bytes of an object; 0 where there is none."""
        content = self._objects.get(key)
        return len(content.data) if content else 0

    def remove(self, keys: Iterable[str]) -> None:
        """Forget objects."""
        for key in keys:
            self.used -= self.size(key)
            self._objects.pop(key, None)

    def keys(self, prefix: str) -> list[str]:
        """Keys that begin with the prefix."""
        return [key for key in self._objects if key.startswith(prefix)]
