"""A file that is being fetched: where it goes, and how large it may be."""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from exporters.errors import FetchError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Part:
    """The file `path`, of at most `size` bytes: what the catalogue says of it."""

    path: Path
    size: int

    def fill(self, source: IO[bytes]) -> None:
        """Write all of `source`. Raises FetchError as soon as it is longer than it may be; then nothing is left."""
        try:
            with self.path.open("wb") as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    self.require(target.tell())
        except FetchError:
            self.path.unlink()
            raise

    def require(self, size: int) -> None:
        """Raise FetchError where so many bytes are more than there may be."""
        if size > self.size:
            raise FetchError(f"{self.path.stem} is longer than the {self.size} bytes that the catalogue says")
