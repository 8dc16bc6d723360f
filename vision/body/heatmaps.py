"""The maps of OpenPose's body network, enlarged to the photo where they are looked at.

Facts: Hzzone/pytorch-openpose and OOTDiffusion, which both enlarge every map to the photo's size and search there.
Enlarging and smoothing are linear along each axis. So here each is a matrix, and peaks have the same places.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import RGB, Float32, Float64, Size

Places: TypeAlias = NDArray[np.intp]

PARTS, FIELD_CHANNELS = 18, 38
STRIDE = 8
"""Pixels of the network's input per cell of its maps."""
INPUT_HEIGHT = 0.5 * 368
"""A photo is drawn this high into the input."""
PADDING = (128, 128, 128)


@dataclass(frozen=True, slots=True)
class Resizing:
    """How a decoder resizes photos and maps: OpenCV's filters, and what it makes of a side with a fraction."""

    shrinking: int
    enlarging: int
    side: Callable[[float], float]
    together: int
    """OpenCV rounds two channels as it rounds 19, and one otherwise: so many copies of a map are resized together."""

    def filter(self, factor: float) -> int:
        """The filter for this factor."""
        return self.shrinking if factor < 1 else self.enlarging

    def factors(self, size: Size) -> tuple[float, float]:
        """The factors, across and down, from a photo of `size` to the network's input."""
        scale = INPUT_HEIGHT / size[1]
        across, down = (max(self.side(side * scale), 1.0) / side for side in size)
        return across, down

    def drawn(self, size: Size) -> Size:
        """The size at which a photo of `size` is drawn into the input, without padding."""
        across, down = self.factors(size)
        return round(size[0] * across), round(size[1] * down)


HZZONE = Resizing(cv2.INTER_CUBIC, cv2.INTER_CUBIC, float, 2)
"""Hzzone/pytorch-openpose and ControlNet."""
OOTD = Resizing(cv2.INTER_AREA, cv2.INTER_LANCZOS4, int, 1)
"""OOTDiffusion and IDM-VTON."""


def network_input(pixels: RGB, resizing: Resizing) -> RGB:
    """Draw a photo H×W×3 into the network's input: about INPUT_HEIGHT high, padded to whole cells right and below."""
    across, down = resizing.factors((pixels.shape[1], pixels.shape[0]))
    drawn = cv2.resize(pixels, None, fx=across, fy=down, interpolation=resizing.filter(max(across, down)))
    below, right = (-side % STRIDE for side in drawn.shape[:2])
    return np.asarray(cv2.copyMakeBorder(drawn, 0, below, 0, right, cv2.BORDER_CONSTANT, value=PADDING), np.uint8)


SIGMA, REACH = 3.0, 12
"""Of the Gaussian that smooths a heatmap, in the photo's pixels. It ends at four sigmas."""
MIN_PEAK = 0.1
TIE = 1.5e-7
"""Neighbours nearer to each other, as a share of the map's largest value, are as good as equal: twice what rounding the
maps to float32 changes between neighbours."""
MOST_ROUNDED = 1 << 21
"""Pixels of the largest photo in which a heatmap is enlarged whole for a tie. In larger ones both neighbours are peaks.
"""


@dataclass(frozen=True, eq=False)
class Axis:
    """Matrices pixels×cells that enlarge a map to the photo along one axis, and that enlarge and smooth it."""

    enlarging: Float64
    smoothing: Float64

    @classmethod
    def of(cls, drawn: int, side: int, first: int, last: int) -> "Axis":
        """Enlarge cells eightfold with one filter, cut the padding off, and resize to `side` with another."""
        cells = -(-drawn // STRIDE)
        padded = _resized(np.eye(cells, dtype=np.float32), cells * STRIDE, first)
        enlarging = _resized(np.eye(drawn, dtype=np.float32), side, last) @ padded[:drawn]
        smoothing = cv2.sepFilter2D(enlarging, cv2.CV_64F, np.ones(1), _weights(), borderType=cv2.BORDER_REFLECT)
        return cls(enlarging, np.asarray(smoothing, dtype=np.float64))

    @cached_property
    def band(self) -> tuple[Places, Float64]:
        """The numbers of the few cells that make each pixel when a map is enlarged, and their weights."""
        used = self.enlarging != 0
        first, after = used.argmax(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1)
        width = int((after - first).max())
        first = np.minimum(first, used.shape[1] - width)
        cells = first[:, np.newaxis] + np.arange(width)
        return cells, np.take_along_axis(self.enlarging, cells, axis=1)

    @cached_property
    def strips(self) -> list["Strip"]:
        """The pixels in strips, with a pixel of 0 outside the photo on each side."""
        padded = np.pad(self.smoothing, ((1, 1), (0, 0)))
        return [Strip.of(padded, first) for first in range(1, len(padded) - 1, STRIP)]


STRIP = 96
"""Columns. Narrower strips skip more pixels, and take more calls."""


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Some neighbouring pixels of an axis, the cells that make them, and their weights cells×pixels.

    `first` counts with the pixel outside. Among the pixels, `inner` are those of the strip; up to two more are on
    each side.
    """

    first: int
    inner: slice
    cells: slice
    weights: Float64
    gain: float
    """The largest sum of the weights of one pixel, their signs left out."""

    @classmethod
    def of(cls, padded: Float64, first: int) -> "Strip":
        """The strip that begins at a pixel."""
        end, start = min(first + STRIP, len(padded) - 1), max(first - 2, 0)
        weights = padded[start : end + 2]
        used = np.flatnonzero(weights.any(axis=0))
        cells = slice(int(used[0]), int(used[-1]) + 1)
        gain = float(np.abs(weights).sum(axis=1).max())
        return cls(start, slice(first - start, end - start), cells, weights[:, cells].T.copy(), gain)

    def highest(self, sizes: Float64) -> Float64:
        """What no pixel of each row can exceed, for the sizes cells×rows of their values."""
        values: Float64 = sizes[self.cells].max(axis=0) * self.gain
        return values


def _resized(identity: Float32, rows: int, interpolation: int) -> Float64:
    """The matrix of OpenCV's resizing to `rows`, with the weights that OpenCV rounds to float32."""
    resized = cv2.resize(identity, (identity.shape[1], rows), interpolation=interpolation)
    return np.asarray(resized, dtype=np.float64)


def _weights() -> Float64:
    weights = np.exp(-0.5 / SIGMA**2 * np.arange(-REACH, REACH + 1) ** 2)
    normalised: Float64 = weights / weights.sum()
    return normalised


@dataclass(frozen=True, eq=False)
class Maps:
    """The network's maps of one photo of `size`: heatmaps h×w×19 and affinity fields h×w×38."""

    heatmap: Float32
    paf: Float32
    size: Size
    resizing: Resizing

    def __post_init__(self) -> None:
        """Raises ValueError if they are not of the photo's `network_input`."""
        cells = tuple(-(-side // STRIDE) for side in reversed(self.resizing.drawn(self.size)))
        shapes = (self.heatmap.shape, self.paf.shape)
        if shapes != ((*cells, PARTS + 1), (*cells, FIELD_CHANNELS)):
            raise ValueError(
                f"the maps are {shapes[0]} and {shapes[1]}; a photo of {self.size} has {cells} cells, {PARTS + 1} and "
                f"{FIELD_CHANNELS} channels"
            )

    @cached_property
    def axes(self) -> tuple[Axis, Axis]:
        """Across and down."""
        drawn, first = self.resizing.drawn(self.size), self.resizing.enlarging
        across, down = (Axis.of(*sides, first, self._last) for sides in zip(drawn, self.size, strict=True))
        return across, down

    @property
    def _last(self) -> int:
        return self.resizing.filter(sum(self.size) / sum(self.resizing.drawn(self.size)))

    def peaks(self, part: int) -> Float64:
        """Places and scores N×3 (x, y, score) of the maxima of a smoothed heatmap; the score is not smoothed.

        Where a maximum and its neighbour are as good as equal, the originals' rounding decides. A map with more maxima
        than cells is flat: they are rounding errors, and nothing was found.
        """
        cells, (across, down) = self.heatmap[..., part].astype(np.float64), self.axes
        places = self._places(part, cells)
        y, x = np.divmod(places if len(places) <= cells.size else places[:0], self.size[0])
        scores = np.einsum("ij,ij->i", down.enlarging[y] @ cells, across.enlarging[x])
        return np.column_stack((x, y, scores))

    def _places(self, part: int, cells: Float64) -> Places:
        """Indices of the maxima in the photo, from the top. Strips of columns are smoothed where they may have some."""
        across, down = self.axes
        rows, tie = np.pad(down.smoothing @ cells, ((1, 1), (0, 0))), TIE * np.abs(cells).max()
        exact = cache(partial(self._whole, part)) if self.size[0] * self.size[1] <= MOST_ROUNDED else None
        sizes, found = np.abs(rows.T, order="C"), [np.empty(0, dtype=np.intp)]
        for strip in across.strips:
            high = np.flatnonzero(strip.highest(sizes) > MIN_PEAK)
            if len(high):
                top, end = max(high[0] - 2, 0), min(high[-1] + 3, len(rows))
                smooth = rows[top:end, strip.cells] @ strip.weights
                places = _maxima(smooth)
                tied = _tied(smooth, places, tie)
                if len(tied) and exact is not None:
                    _round(exact(), smooth, tied, (top - 1, strip.first - 1))
                    places = _maxima(smooth)
                y, x = np.divmod(places, smooth.shape[1])
                inside = (x >= strip.inner.start) & (x < strip.inner.stop)
                found.append((y[inside] + top - 1) * self.size[0] + x[inside] + strip.first - 1)
        return np.sort(np.concatenate(found))

    def _whole(self, part: int) -> Float64:
        """A heatmap H×W in the photo, enlarged in float32 as the originals do it."""
        (width, height), resizing = self.resizing.drawn(self.size), self.resizing
        copies = np.repeat(self.heatmap[..., [part]], resizing.together, axis=2)
        padded = cv2.resize(copies, None, fx=STRIDE, fy=STRIDE, interpolation=resizing.enlarging)
        whole = cv2.resize(padded[:height, :width], self.size, interpolation=self._last)
        return np.asarray(np.atleast_3d(whole)[..., 0], dtype=np.float64)

    def field(self, channels: Sequence[int]) -> "Field":
        """Two channels of the affinity fields, the direction's x and y."""
        across, down = self.axes
        chosen = self.paf[..., list(channels)].astype(np.float64)
        return Field(np.tensordot(down.enlarging, chosen, axes=1), across)


def _maxima(smooth: Float64) -> Places:
    """Indices where a map is above MIN_PEAK and at least its four neighbours, but for its first and last rows.

    The first and last columns hold no meaning: the map is compared as one long row. Few places are maxima of their row.
    """
    row, width = smooth.ravel(), smooth.shape[1]
    inner = row[width:-width]
    places = width + np.flatnonzero((inner >= row[width - 1 : -width - 1]) & (inner >= row[width + 1 : 1 - width]))
    values = row[places]
    highest: Places = places[(values > MIN_PEAK) & (values >= row[places - width]) & (values >= row[places + width])]
    return highest


def _tied(smooth: Float64, places: Places, tie: float) -> Places:
    """The maxima with a neighbour so near to them that rounding decides which of the two is one."""
    row, width = smooth.ravel(), smooth.shape[1]
    beside = [row[places + step] for step in (-width, -1, 1, width)]
    return places[(row[places] - beside < tie).any(axis=0)]


def _round(plane: Float64, smooth: Float64, tied: Places, origin: tuple[int, int]) -> None:
    """Write the values about some places of a part of the photo as the originals round them.

    `origin` is the part's first row and column in the photo, -1 where the part begins outside.
    """
    places = np.divmod(tied, smooth.shape[1])
    spans = [
        _span(index + first, first, min(first + part, side), side)
        for index, first, part, side in zip(places, origin, smooth.shape, plane.shape, strict=True)
    ]
    rows, columns = spans
    exact = smoothed(plane[rows.around, columns.around])
    smooth[rows.inner, columns.inner] = exact[rows.within, columns.within]


class _Span(NamedTuple):
    """Rows or columns: those to write, those on which they depend, and the former among the latter."""

    inner: slice
    around: slice
    within: slice


def _span(places: Places, first: int, end: int, side: int) -> _Span:
    """From the first place to the last, with their neighbours and those of these, between `first` and `end`."""
    low, high = max(int(places.min()) - 2, first, 0), min(int(places.max()) + 3, end)
    start = max(low - REACH, 0)
    around = slice(start, min(high + REACH, side))
    return _Span(slice(low - first, high - first), around, slice(low - start, high - start))


def smoothed(plane: Float64) -> Float64:
    """Smooth a map H×W in the order in which SciPy adds: pairs of neighbours, from the farthest to the nearest."""
    weights = _weights()[REACH:]
    for _ in range(2):
        rows, padded = len(plane), np.pad(plane, ((REACH, REACH), (0, 0)), mode="symmetric")
        total = padded[REACH : REACH + rows] * weights[0]
        for step in range(REACH, 0, -1):
            above, below = (padded[REACH + side : REACH + side + rows] for side in (-step, step))
            total += (above + below) * weights[step]
        plane = total.T
    return plane


SAMPLES = 10
"""Points on the line between two peaks."""
BLOCK = 2048
"""Most lines looked at together, so that noise with many peaks takes no more memory."""
SHORTEST = 0.001


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """The direction of one limb. Its rows H×w×2 are enlarged to the photo, its columns where they are asked for."""

    rows: Float64
    across: Axis

    def along(self, lines: Float64, samples: Sequence[int]) -> Float64:
        """The affinity P×S in the direction of lines P×4 (start, vector) at some of their SAMPLES points."""
        blocks = np.array_split(lines, len(lines) // BLOCK + 1)
        return np.concatenate([self._along(block, samples) for block in blocks])

    def _along(self, lines: Float64, samples: Sequence[int]) -> Float64:
        start, vector = lines[:, np.newaxis, :2], lines[:, 2:]
        steps = np.array(samples, dtype=np.float64)[:, np.newaxis]
        points = np.rint(start + steps * (vector / (SAMPLES - 1))[:, np.newaxis]).astype(int)
        cells, weights = (table[points[..., 0]] for table in self.across.band)
        values = np.einsum("pswc,psw->psc", self.rows[points[..., 1, np.newaxis], cells], weights)
        along: Float64 = np.einsum("psc,pc->ps", values, vector / lengths(lines)[:, np.newaxis])
        return along


def lengths(lines: Float64) -> Float64:
    """The lengths P of lines P×4, at least SHORTEST."""
    measured: Float64 = np.maximum(np.hypot(lines[:, 2], lines[:, 3]), SHORTEST)
    return measured
