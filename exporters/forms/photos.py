"""The photos on which a form's ranges are found and its answers compared, at the size of the model's own images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.catalogue import Paths, load
from exporters.downloads import Listener
from exporters.errors import ExporterError
from exporters.fetch import fetch_all
from exporters.recipe import centre_square, letterbox
from vision.photo import PhotoError, decode, inspect, reduction_for

MOST = 100
"""Photos of a folder. More change the ranges hardly, and each takes a run of the model."""
_FEW = 10
"""Fewer photos than this are not split: all are needed for the ranges."""
_LARGEST = 64 * 1024 * 1024
"""Bytes of a file that is opened."""
_MOST_PIXELS = 100_000_000


@dataclass
class Photos:
    """Photos as images of `size` (width, height), each whole on black and as its middle square."""

    size: tuple[int, int]
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    passed_over: dict[str, str] = field(default_factory=dict)
    """Files that could not be used, and why."""

    def add(self, path: Path) -> None:
        """Add a photo, or note why it is passed over."""
        try:
            pixels = _pixels(path, max(self.size))
        except (OSError, PhotoError) as error:
            self.passed_over[path.name] = str(error)
            return
        self.names.append(path.name)
        self.images += [_cut(view(pixels, max(self.size)), self.size) for view in (letterbox, centre_square)]

    def split(self) -> "tuple[Photos, Photos]":
        """Every second photo, and the others; of few photos, all of them twice."""
        if len(self.names) < _FEW:
            return self, self
        return self._every_second(0), self._every_second(1)

    def _every_second(self, first: int) -> "Photos":
        """Each photo has two images."""
        images = [image for place, image in enumerate(self.images) if place // 2 % 2 == first]
        return Photos(self.size, images, self.names[first::2])


def photos_of(folder: Path, size: tuple[int, int], heard: Callable[[int], None]) -> Photos:
    """Photos from a user's folder, in equal steps if there are more than MOST. `heard` gets the number so far.

    Raises ExporterError if none can be used.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    photos = Photos(size)
    for path in _spread(files, MOST):
        photos.add(path)
        heard(len(photos.names))
    if not photos.names:
        told = "; ".join(f"{name}: {why}" for name, why in list(photos.passed_over.items())[:3]) or "it is empty"
        raise ExporterError(f"{folder} has no photo that can be used ({told})")
    return photos


def sample_photos(size: tuple[int, int], listener: Listener, paths: Paths) -> Photos:
    """The catalogue's photos. Raises what fetching raises."""
    photos = Photos(size)
    names = [entry.name for entry in load(paths.catalogue).file if entry.kind == "photo"]
    for file in fetch_all(names, listener=listener, paths=paths):
        photos.add(file)
    return photos


def _spread(files: Sequence[Path], most: int) -> Iterator[Path]:
    """At most so many, in equal steps."""
    count = min(len(files), most)
    return (files[place * len(files) // count] for place in range(count))


def _pixels(path: Path, side: int) -> NDArray[np.uint8]:
    """The photo, decoded as the pipelines do, in no more detail than is needed. Raises OSError, PhotoError."""
    with path.open("rb") as file:
        data = file.read(_LARGEST)
    info = inspect(data, max_pixels=_MOST_PIXELS)
    return decode(data, info, reduction=reduction_for(info, min(info.size), side)).pixels


def _cut(square: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    left, top = ((max(size) - side) // 2 for side in size)
    return np.ascontiguousarray(square[top : top + size[1], left : left + size[0]])
