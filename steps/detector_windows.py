"""Run a detector on a whole photo, and on tiles of it if it is larger than the input."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from vision.arrays import RGB, Float32, Float64, Size
from vision.nms import ious
from vision.object_detector import Detections, ObjectDetector
from vision.tiles import OVERLAP, Tile, View, grid, windows_about

Draw = Callable[[], RGB]
"""Draws an input H×W×3. Only the next inputs to run are drawn."""
Network = Callable[[Sequence[Draw]], Sequence[Float32]]
"""Inputs of one size → the rows K×6 or K×14 of each."""

LARGEST_TILE: Size = (672, 672)
"""Input pixels. Larger tiles share less with their neighbours, but need more memory while they run (768: 80 MB more).
"""
SURE = 0.5
"""An object with this score in the whole view is not searched again."""
SCOUT_SCALE = 0.7
"""Scouts look at this share of the scale at which the detector sees the smallest objects: a face of 20 pixels is 14.

Measured with CenterFace on twenty photos of 4 to 16 megapixels, with 819 faces that it finds at full size with 0.5 and
more: at a score of 0.06 99.5 to 99.8 % are found; at 0.04 99.9 % for a sixth more time, at 0.08 99.0 %. At a scale of
0.65 it is 98.3 %. `python -m loadtests.looking` measures it.
"""
NEARLY = 0.85
"""A whole view drawn at this share of a scale needs no tiles of that scale: for scouts, 1024×768 in 640×480."""
FAINTER = 0.5
"""Share of a scout's score that makes a candidate in the whole view, which may be drawn that much smaller than tiles.
"""
CANDIDATE = 0.15
"""A scout's score in the window around a candidate, at the detector's own scale. Below it nothing is searched again."""
CLOSE = 0.25
"""The least score in a window, whose edges raise some scores. At 0.2 half as many faces again are false as at full
size."""
WINDOW = 128
"""Side of the window around a candidate, in input pixels."""
WINDOW_REACH = 0.25
"""How far a candidate may lie from the middle of its window, as a share of the window's side."""
LARGEST_IN_WINDOW = 48
"""Input pixels. A face this wide lies whole in its window, however far it is from the middle."""
NARROWER = 0.75
"""A scout's box of a face is at least this share of the face's width."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found in a view of a photo, in pixels of the original photo, and the number of tiles searched."""

    found: Detections
    tiles: int


@dataclass(frozen=True)
class Looker:
    """A detector, its network, and the network of its scout."""

    detector: ObjectDetector
    network: Network
    scout: Network | None

    def look(self, view: View, smallest: float, least: float) -> Looked:
        """Objects of at least `smallest` photo pixels that score at least `least`, each once, best first.

        If these are large enough when the whole view fits into one input, the view is searched once. In a larger view
        the network searches tiles at coarser and coarser scales. If there is a scout, it searches tiles at SCOUT_SCALE
        for candidates, and the network searches windows around those that it has not found in the whole view.
        """
        search = _Search(self, view, min(self.detector.smallest / smallest, 1.0), smallest, least)
        parts = [*search.whole(), *search.closer()]
        found = Detections.joined(parts).distinct(self.detector.iou)
        return Looked(_to_source(found, view), search.tiles)

    def shrinks(self, view: View, smallest: float) -> bool:
        """Whether objects of `smallest` photo pixels are too small to be recognised in the whole view."""
        tile = self.detector.whole(view.size)
        scale = min(inner / side for inner, side in zip(tile.input, view.size, strict=True))
        return scale * smallest < self.detector.smallest * SCOUT_SCALE * NEARLY

    def glance(self, view: View) -> float:
        """The best score in the whole view at half the size of an input, from the scout if there is one."""
        tile = self.detector.whole(view.size, halvings=1)
        network = self.scout or self.network
        (rows,) = network([partial(self.detector.draw, view, tile)])
        return float(self.detector.located(rows, tile, view.size, 0.0).scores.max(initial=0.0))


class _Search:
    """One search of one view."""

    def __init__(self, looker: Looker, view: View, scale: float, smallest: float, least: float) -> None:
        self._looker = looker
        self._detector = looker.detector
        self._view = view
        self._scale = scale
        self._smallest = smallest
        self._least = least
        self._whole = self._detector.whole(view.size)
        self._candidates: list[Detections] = []
        self.tiles = 0

    @property
    def _whole_scale(self) -> float:
        across, down = (inner / side for inner, side in zip(self._whole.input, self._view.size, strict=True))
        return min(across, down)

    def whole(self) -> Iterator[Detections]:
        """What is found in the whole view. Objects with a lower score are kept as candidates."""
        scout = self._detector.scout
        least = self._least if scout is None else min(self._least, FAINTER * scout.score)
        (found,) = self._run(self._looker.network, [self._whole], least)
        unsure = found.select(found.scores < SURE)
        self._candidates = [unsure.select(_widths(unsure) * self._whole_scale < LARGEST_IN_WINDOW / 2)]
        self._sure = found.select(found.scores >= SURE)
        yield found.select(found.scores >= self._least)
        for halvings in range(1, self._detector.halvings + 1):
            yield from self._run(self._looker.network, [self._detector.whole(self._view.size, halvings)], self._least)

    def closer(self) -> Iterator[Detections]:
        """What is found in tiles, or in windows around the candidates that a scout finds in tiles."""
        scout, network = self._detector.scout, self._looker.scout
        if scout is None or network is None:
            for scale in self._scales(self._scale):
                yield from self._run(self._looker.network, self._grid(scale), self._least)
        elif self._scale * NEARLY > self._whole_scale:
            for scale in self._scales(self._scale * SCOUT_SCALE):
                self._candidates += self._run(network, self._grid(scale), scout.score)
            yield from self._windows(network)

    def _scales(self, finest: float) -> Iterator[float]:
        """Scales, the finest first. Each is so much coarser that the next one recognises what no overlap holds."""
        scale = finest
        while scale * NEARLY > self._whole_scale:
            yield scale
            scale *= self._detector.smallest / OVERLAP

    def _grid(self, scale: float) -> list[Tile]:
        most = self._detector.size if self._detector.multiple is None else LARGEST_TILE
        return grid(self._view.size, scale, most, self._detector.multiple)

    def _windows(self, scout: Network) -> Iterator[Detections]:
        """What is found around the candidates, each at the scale that suits it."""
        for scale, centers in self._centers():
            tiles = self._cheaper(list(windows_about(centers, scale, WINDOW, WINDOW_REACH, self._view.size)), scale)
            glimpsed = zip(tiles, self._run(scout, tiles, CANDIDATE), strict=True)
            tiles = [tile for tile, found in glimpsed if not found.cut.all()]
            for found in self._run(self._looker.network, tiles, max(self._least, CLOSE)):
                yield found.select(~found.cut)

    def _cheaper(self, windows: list[Tile], scale: float) -> list[Tile]:
        """The windows, or tiles that cover everything if these have fewer pixels (in noise, for example)."""
        everywhere = self._grid(scale)
        tiles = sum(math.prod(tile.input) for tile in everywhere)
        return everywhere if len(windows) * WINDOW**2 > tiles else windows

    def _centers(self) -> Iterator[tuple[float, Float64]]:
        """Centres of the candidates that nothing covers yet, N×2, best first, by the scale to search them at."""
        candidates = Detections.joined(self._candidates).distinct(self._detector.iou)
        known = (ious(candidates.boxes, self._sure.boxes) > self._detector.iou).any(axis=1)
        candidates = candidates.select((_widths(candidates) >= NARROWER * self._smallest) & ~known)
        centers = (candidates.boxes[:, :2] + candidates.boxes[:, 2:]).astype(np.float64) / 2
        halvings = np.ceil(np.log2(np.maximum(_widths(candidates) * self._scale / LARGEST_IN_WINDOW, 1)))
        for halving in np.unique(halvings).tolist():
            yield self._scale / 2.0**halving, centers[halvings == halving]

    def _run(self, network: Network, tiles: Sequence[Tile], least: float) -> list[Detections]:
        """What a network finds in each tile. All tiles have inputs of one size."""
        self.tiles += len(tiles)
        answers = network([partial(self._detector.draw, self._view, tile) for tile in tiles])
        located = zip(answers, tiles, strict=True)
        return [self._detector.located(rows, tile, self._view.size, least) for rows, tile in located]


def _widths(found: Detections) -> Float32:
    widths: Float32 = found.boxes[:, 2] - found.boxes[:, 0]
    return widths


def _to_source(found: Detections, view: View) -> Detections:
    corners = found.corners
    if corners is not None:
        points = view.to_source(corners.reshape(-1, 2).astype(np.float64))
        corners = points.reshape(-1, 4, 2).astype(np.float32)
    return replace(found, boxes=view.boxes_to_source(found.boxes), corners=corners)
