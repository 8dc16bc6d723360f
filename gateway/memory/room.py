"""How much memory objects may take."""

from collections.abc import Callable, Sequence

from gateway.memory.shelf import Shelf


def nothing_to_shed() -> bool:
    """For a room whose objects are all needed."""
    return False


class Room:
    """Bytes that some shelves share; `shed` drops what is needed least, False where all is needed."""

    def __init__(self, limit: int, shelves: Sequence[Shelf], shed: Callable[[], bool] = nothing_to_shed) -> None:
        self.limit = limit
        self._shelves = shelves
        self._shed = shed

    def reserve(self, size: int) -> bool:
        """Whether so many more bytes fit, once enough was shed."""
        while sum(shelf.used for shelf in self._shelves) + size > self.limit:
            if not self._shed():
                return False
        return True
