"""The people in the maps of OpenPose's body network: peaks of its heatmaps, joined along its part affinity fields.

Facts, thresholds and tables: CMU's COCO model as Hzzone/pytorch-openpose and OOTDiffusion decode it. Both enlarge the
maps to the photo's size and search there. Enlarging and smoothing are linear along each axis. So here each is a matrix,
only what is looked at is ever enlarged, and the place of each peak is the same.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import RGB, Float32, Float64, Size

STRIDE = 8
"""Pixels of the network's input per cell of its maps."""
INPUT_HEIGHT = 0.5 * 368
"""A photo is drawn this high into the input."""
PADDING = (128, 128, 128)
PARTS = 18
SIGMA, REACH = 3.0, 12
"""Of the Gaussian that smooths a heatmap, in the photo's pixels. It ends at four sigmas."""
MIN_PEAK = 0.1
SAMPLES, MIN_SAMPLES = 10, 9
"""Points on the line between two peaks, and how many of them must exceed MIN_AFFINITY."""
MIDDLE = (4, 5)
"""A line needs one of these two: without both it has too few. Most lines between two people are refused by them."""
MIN_AFFINITY = 0.05
BLOCK = 2048
"""Most lines looked at together, so that noise with many peaks takes no more memory."""
FREE_LENGTH = 0.5
"""A limb longer than this share of the photo's height loses score."""
SHORTEST = 0.001
MIN_PARTS, MIN_MEAN_SCORE = 4, 0.4


class Limb(NamedTuple):
    """Two parts, and the channels of the affinity field that hold the limb's direction."""

    start: int
    end: int
    x: int
    y: int


LIMBS = tuple(
    Limb(start - 1, end - 1, x, x + 1)
    for start, end, x in (
        (2, 3, 12), (2, 6, 20), (3, 4, 14), (4, 5, 16), (6, 7, 22), (7, 8, 24), (2, 9, 0), (9, 10, 2), (10, 11, 4),
        (2, 12, 6), (12, 13, 8), (13, 14, 10), (2, 1, 28), (1, 15, 30), (15, 17, 34), (1, 16, 32), (16, 18, 36),
        (3, 17, 18), (6, 18, 26),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Resizing:
    """How a decoder resizes photos and maps: OpenCV's filters, and what it makes of a side with a fraction."""

    shrinking: int
    enlarging: int
    side: Callable[[float], float]

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


HZZONE = Resizing(cv2.INTER_CUBIC, cv2.INTER_CUBIC, float)
"""Hzzone/pytorch-openpose and ControlNet."""
OOTD = Resizing(cv2.INTER_AREA, cv2.INTER_LANCZOS4, int)
"""OOTDiffusion and IDM-VTON."""


def network_input(pixels: RGB, resizing: Resizing) -> RGB:
    """Draw a photo H×W×3 into the network's input: about INPUT_HEIGHT high, padded to whole cells right and below."""
    across, down = resizing.factors((pixels.shape[1], pixels.shape[0]))
    drawn = cv2.resize(pixels, None, fx=across, fy=down, interpolation=resizing.filter(max(across, down)))
    below, right = (-side % STRIDE for side in drawn.shape[:2])
    return np.asarray(cv2.copyMakeBorder(drawn, 0, below, 0, right, cv2.BORDER_CONSTANT, value=PADDING), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """What was found in a photo. `candidates` N×4: x, y (whole pixels), score, number; by part, then from the top.

    `subset` P×20: a person's 18 numbers (-1 where a part was not found), their score in all and the count of parts.
    """

    candidates: Float64
    subset: Float64

    def keypoints(self) -> list[Float64]:
        """Each person's key points 18×3: x, y (pixel centres lie at .5), score. A score of 0: not found."""
        return [self._keypoints(row[:PARTS].astype(int)) for row in self.subset]

    def _keypoints(self, numbers: NDArray[np.int_]) -> Float64:
        keypoints = np.zeros((PARTS, 3))
        found = numbers >= 0
        keypoints[found] = self.candidates[numbers[found], :3] + (0.5, 0.5, 0.0)
        return keypoints


def decode_people(heatmap: Float32, paf: Float32, size: Size, resizing: Resizing) -> People:
    """Find the people in a photo of `size` from the maps of its `network_input`: h×w×19 and h×w×38.

    Raises ValueError for maps that are not of such an input.
    """
    drawn = resizing.drawn(size)
    cells = tuple(-(-side // STRIDE) for side in reversed(drawn))
    if heatmap.shape != (*cells, PARTS + 1) or paf.shape != (*cells, 2 * len(LIMBS)):
        raise ValueError(
            f"the maps are {heatmap.shape} and {paf.shape}; a photo of {size} has {cells} cells, 19 and 38 channels"
        )
    across, down = _axes(drawn, size, resizing)
    found = [_peaks(heatmap[..., part], across, down) for part in range(PARTS)]
    ends = np.cumsum([len(rows) for rows in found])
    candidates = np.column_stack((np.concatenate(found), np.arange(ends[-1])))
    peaks = np.split(candidates, ends[:-1])
    connections = [
        _connections(peaks[limb.start], peaks[limb.end], _Field.of(paf, limb, across, down), size[1]) for limb in LIMBS
    ]
    return People(candidates, _subset(connections, candidates))


@dataclass(frozen=True, eq=False)
class _Axis:
    """Matrices pixels×cells that enlarge a map to the photo along one axis, and that enlarge and smooth it."""

    enlarging: Float64
    smoothing: Float64

    @cached_property
    def band(self) -> tuple[NDArray[np.intp], Float64]:
        """The numbers of the few cells that make each pixel when a map is enlarged, and their weights."""
        used = self.enlarging != 0
        first, after = used.argmax(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1)
        width = int((after - first).max())
        first = np.minimum(first, used.shape[1] - width)
        cells = first[:, np.newaxis] + np.arange(width)
        return cells, np.take_along_axis(self.enlarging, cells, axis=1)


def _axes(drawn: Size, size: Size, resizing: Resizing) -> tuple[_Axis, _Axis]:
    last = resizing.filter(sum(size) / sum(drawn))
    across, down = (_axis(*sides, resizing.enlarging, last) for sides in zip(drawn, size, strict=True))
    return across, down


def _axis(drawn: int, side: int, first: int, last: int) -> _Axis:
    """Enlarge cells eightfold with one filter, cut the padding off, and resize with another."""
    cells = -(-drawn // STRIDE)
    padded = _resized(np.eye(cells, dtype=np.float32), cells * STRIDE, first)
    enlarging = _resized(np.eye(drawn, dtype=np.float32), side, last) @ padded[:drawn]
    return _Axis(enlarging, _smoothed(enlarging))


def _resized(identity: Float32, rows: int, interpolation: int) -> Float64:
    """The matrix of OpenCV's resizing to `rows`, with the weights that OpenCV rounds to float32."""
    resized = cv2.resize(identity, (identity.shape[1], rows), interpolation=interpolation)
    return np.asarray(resized, dtype=np.float64)


def _smoothed(rows: Float64) -> Float64:
    weights = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / SIGMA) ** 2)
    weights /= weights.sum()
    smoothed = cv2.sepFilter2D(rows, cv2.CV_64F, np.ones(1), weights, borderType=cv2.BORDER_REFLECT)
    return np.asarray(smoothed, dtype=np.float64)


def _peaks(plane: Float32, across: _Axis, down: _Axis) -> Float64:
    """Places and scores N×3 where the smoothed map is at least its four neighbours; the score is not smoothed.

    A column of zeros after each row is what lies outside, so that the plane can be compared as one long row. A map with
    more peaks than cells is flat: the peaks are rounding errors, and nothing was found.
    """
    cells, side = plane.astype(np.float64), len(across.smoothing) + 1
    smooth = (down.smoothing @ cells @ np.pad(across.smoothing, ((0, 1), (0, 0))).T).ravel()
    peak = smooth > MIN_PEAK
    for step in (1, side):
        before, after = smooth[:-step], smooth[step:]
        peak[step:] &= after >= before
        peak[:-step] &= before >= after
    places = np.flatnonzero(peak)
    y, x = np.divmod(places if len(places) <= plane.size else places[:0], side)
    scores = np.einsum("ij,ij->i", down.enlarging[y] @ cells, across.enlarging[x])
    return np.column_stack((x, y, scores))


class _Connection(NamedTuple):
    """A limb between two peaks, by their numbers."""

    start: int
    end: int
    score: float


def _connections(starts: Float64, ends: Float64, field: "_Field", height: int) -> list[_Connection]:
    """Join the peaks of two parts, each at most once, those along the strongest affinity first."""
    pairs = np.indices((len(starts), len(ends))).reshape(2, -1)
    lines = np.hstack((starts[pairs[0], :2], ends[pairs[1], :2] - starts[pairs[0], :2]))
    likely = (field.along(lines, MIDDLE) > MIN_AFFINITY).any(axis=1)
    pairs, lines = pairs[:, likely], lines[likely]
    affinity = field.along(lines, range(SAMPLES))
    # One after the other, as Python's sum() adds: the order decides between equal scores.
    scores = affinity.cumsum(axis=1)[:, -1] / SAMPLES + np.minimum(FREE_LENGTH * height / _lengths(lines) - 1, 0)
    accepted = ((affinity > MIN_AFFINITY).sum(axis=1) >= MIN_SAMPLES) & (scores > 0)
    pairs, scores = pairs[:, accepted], scores[accepted]
    best_first = np.argsort(-scores, kind="stable")
    first, second = starts[pairs[0], 3], ends[pairs[1], 3]
    return _disjoint(_Connection(int(first[each]), int(second[each]), float(scores[each])) for each in best_first)


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """The two channels of one limb in the affinity field, h×w×2, enlarged to the photo where they are asked for."""

    rows: Float64
    across: _Axis

    @classmethod
    def of(cls, paf: Float32, limb: Limb, across: _Axis, down: _Axis) -> "_Field":
        """The field of a limb; its rows are enlarged, its columns are not."""
        channels = paf[..., [limb.x, limb.y]].astype(np.float64)
        return cls(np.tensordot(down.enlarging, channels, axes=1), across)

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
        along: Float64 = np.einsum("psc,pc->ps", values, vector / _lengths(lines)[:, np.newaxis])
        return along


def _lengths(lines: Float64) -> Float64:
    lengths: Float64 = np.maximum(np.hypot(lines[:, 2], lines[:, 3]), SHORTEST)
    return lengths


def _disjoint(connections: Iterable[_Connection]) -> list[_Connection]:
    """Those that share no end with an earlier one."""
    chosen, starts, ends = list[_Connection](), set[int](), set[int]()
    for connection in connections:
        if connection.start not in starts and connection.end not in ends:
            chosen.append(connection)
            starts.add(connection.start)
            ends.add(connection.end)
    return chosen


@dataclass(slots=True, eq=False)
class _Person:
    """The numbers of a person's peaks by part (-1: none), and the sums of scores and parts as they were counted."""

    numbers: list[int]
    score: float
    parts: int

    def extend(self, part: int, number: int, score: float) -> None:
        """Take a peak."""
        self.numbers[part] = number
        self.score += score
        self.parts += 1

    def merge(self, other: "_Person", score: float) -> None:
        """Take all of another person, who shares no part."""
        self.numbers = [max(pair) for pair in zip(self.numbers, other.numbers, strict=True)]
        self.score += other.score + score
        self.parts += other.parts

    def shares_a_part(self, other: "_Person") -> bool:
        """Whether both have a peak of the same part."""
        return any(min(pair) >= 0 for pair in zip(self.numbers, other.numbers, strict=True))


def _subset(connections: Sequence[list[_Connection]], candidates: Float64) -> Float64:
    """Assemble people from limbs, one kind of limb after the other.

    The originals start nobody from an ear and a shoulder, the last two kinds, who would have too few parts.
    """
    people: list[_Person] = []
    scores = candidates[:, 2].tolist()
    for limb, found in zip(LIMBS, connections, strict=True):
        for connection in found:
            if not _added(people, limb, connection, scores):
                people.append(_started(limb, connection, scores))
    rows = [
        [*person.numbers, person.score, person.parts]
        for person in people
        if person.parts >= MIN_PARTS and person.score / person.parts >= MIN_MEAN_SCORE
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, PARTS + 2)


def _added(people: list[_Person], limb: Limb, connection: _Connection, scores: Sequence[float]) -> bool:
    """Give a limb to the people who have one of its ends. Whether there were any.

    A third one stays as it is; the original decoders fail there.
    """
    start, end, score = connection
    same = [person for person in people if start == person.numbers[limb.start] or end == person.numbers[limb.end]]
    match same:
        case []:
            return False
        case [person]:
            if person.numbers[limb.end] != end:
                person.extend(limb.end, end, scores[end] + score)
        case [person, other, *_]:
            if person.shares_a_part(other):
                person.extend(limb.end, end, scores[end] + score)
            else:
                person.merge(other, score)
                people.remove(other)
    return True


def _started(limb: Limb, connection: _Connection, scores: Sequence[float]) -> _Person:
    start, end, score = connection
    numbers = [-1] * PARTS
    numbers[limb.start], numbers[limb.end] = start, end
    return _Person(numbers, scores[start] + scores[end] + score, 2)
