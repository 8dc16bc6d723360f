"""The people whom OpenPose's body network found: peaks of its heatmaps, joined along its affinity fields.

Facts, thresholds and tables: CMU's COCO model as Hzzone/pytorch-openpose and OOTDiffusion decode it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vision.arrays import Float64
from vision.body.heatmaps import PARTS, SAMPLES, Field, Maps, lengths

MIN_SAMPLES = 9
"""So many of a line's points must exceed MIN_AFFINITY."""
MIN_AFFINITY = 0.05
MIDDLE = (4, 5)
"""A line needs one of these two: without both it has too few. Most lines between two people are refused by them."""
FREE_LENGTH = 0.5
"""A limb longer than this share of the photo's height loses score."""
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


def decode_people(maps: Maps) -> People:
    """Find the people in a photo."""
    found = [maps.peaks(part) for part in range(PARTS)]
    ends = np.cumsum([len(rows) for rows in found])
    candidates = np.column_stack((np.concatenate(found), np.arange(ends[-1])))
    peaks = np.split(candidates, ends[:-1])
    connections = [
        _connections(peaks[limb.start], peaks[limb.end], maps.field((limb.x, limb.y)), maps.size[1]) for limb in LIMBS
    ]
    return People(candidates, _subset(connections, candidates))


class _Connection(NamedTuple):
    """A limb between two peaks, by their numbers."""

    start: int
    end: int
    score: float


def _connections(starts: Float64, ends: Float64, field: Field, height: int) -> list[_Connection]:
    """Join the peaks of two parts, each at most once, those along the strongest affinity first."""
    pairs = np.indices((len(starts), len(ends))).reshape(2, -1)
    lines = np.hstack((starts[pairs[0], :2], ends[pairs[1], :2] - starts[pairs[0], :2]))
    likely = (field.along(lines, MIDDLE) > MIN_AFFINITY).any(axis=1)
    pairs, lines = pairs[:, likely], lines[likely]
    affinity = field.along(lines, range(SAMPLES))
    # One after the other, as Python's sum() adds: the order decides between equal scores.
    scores = affinity.cumsum(axis=1)[:, -1] / SAMPLES + np.minimum(FREE_LENGTH * height / lengths(lines) - 1, 0)
    accepted = ((affinity > MIN_AFFINITY).sum(axis=1) >= MIN_SAMPLES) & (scores > 0)
    pairs, scores = pairs[:, accepted], scores[accepted]
    best_first = np.argsort(-scores, kind="stable")
    first, second = starts[pairs[0], 3], ends[pairs[1], 3]
    return _disjoint(_Connection(int(first[each]), int(second[each]), float(scores[each])) for each in best_first)


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
