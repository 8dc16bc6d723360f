"""Objects followed from frame to frame of a video, so that one that is missed for a while is known all the same."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vision.arrays import Box

_FARTHEST = 1.0
"""How far an object's centre may move between two sightings, in sides of its box."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object in one frame."""

    label: str
    box: Box


@dataclass(frozen=True, slots=True)
class Patience:
    """Counts of frames.

    An object may be missed for `gap` between two sightings, and is held for `hold` before its first and after its last.
    """

    gap: int
    hold: int


@dataclass
class _Track:
    label: str
    boxes: dict[int, Box] = field(default_factory=dict)

    @property
    def last(self) -> int:
        return max(self.boxes)


def completed(frames: Sequence[Sequence[Sighting]], patience: Patience) -> list[list[Sighting]]:
    """The sightings of each frame, and those that its neighbours tell of.

    An object of the same class is the same where its centre moved by less than the side of its box. Between two
    sightings its box moves evenly; before the first and after the last it stays.
    """
    known: list[list[Sighting]] = [[] for _ in frames]
    for track in _tracks(frames, patience.gap):
        for frame, box in _filled(track, len(frames), patience.hold):
            known[frame].append(Sighting(track.label, box))
    return known


def _tracks(frames: Sequence[Sequence[Sighting]], gap: int) -> list[_Track]:
    ended: list[_Track] = []
    live: list[_Track] = []
    for frame, sightings in enumerate(frames):
        ended += [track for track in live if frame - track.last > gap + 1]
        live = [track for track in live if frame - track.last <= gap + 1]
        live += _linked(live, frame, sightings)
    return ended + live


def _linked(live: Sequence[_Track], frame: int, sightings: Sequence[Sighting]) -> list[_Track]:
    """Give each track the nearest sighting, the nearest pair first; what nobody takes begins a track."""
    pairs = [(_distance(track, one), i, j) for i, track in enumerate(live) for j, one in enumerate(sightings)]
    taken: dict[int, int] = {}
    for distance, i, j in sorted(pairs):
        if distance < _FARTHEST and i not in taken.values() and j not in taken:
            taken[j] = i
            live[i].boxes[frame] = sightings[j].box
    return [_Track(one.label, {frame: one.box}) for j, one in enumerate(sightings) if j not in taken]


def _distance(track: _Track, one: Sighting) -> float:
    """Between centres, in sides of the larger box; infinite between classes."""
    if track.label != one.label:
        return math.inf
    (ax, ay, aside), (bx, by, bside) = map(_middle, (track.boxes[track.last], one.box))
    side = max(aside, bside)
    return math.hypot(ax - bx, ay - by) / side if side > 0 else math.inf


def _middle(box: Box) -> tuple[float, float, float]:
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1)


def _filled(track: _Track, count: int, hold: int) -> list[tuple[int, Box]]:
    """The box in every frame from `hold` before the first sighting to `hold` after the last."""
    seen = sorted(track.boxes)
    frames = np.arange(max(seen[0] - hold, 0), min(seen[-1] + hold + 1, count))
    sides = np.array([track.boxes[frame] for frame in seen])
    moved = np.stack([np.interp(frames, seen, side) for side in sides.T], axis=1)
    return [(frame, (x1, y1, x2, y2)) for frame, (x1, y1, x2, y2) in zip(frames.tolist(), moved.tolist(), strict=True)]
