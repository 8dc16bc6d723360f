"""Track objects through a film, so that an object missed for a while is still known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vision.arrays import Box, Float64

_FARTHEST = 1.0
"""How far an object's centre may move between two sightings, in sides of its box."""
_ROUNDING_S = 1e-6
"""Rounding error of times, in seconds."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object in one frame."""

    label: str
    box: Box


@dataclass(frozen=True, slots=True)
class HoldTimes:
    """How long an object is kept, in seconds.

    An object may be missed for `gap` between two sightings, from the first frame that lacks it to the next that has it.
    It is held for `hold` before its first sighting and after its last.
    """

    gap: float
    hold: float


@dataclass
class _Track:
    label: str
    frames: list[int] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)

    def add(self, frame: int, box: Box) -> None:
        self.frames.append(frame)
        self.boxes.append(box)


def completed(
    times: Sequence[float], frames: Sequence[Sequence[Sighting]], hold_times: HoldTimes
) -> list[list[Sighting]]:
    """The sightings of each frame, and those that follow from the neighbouring frames.

    `times` tells when each frame is shown, in seconds, rising. Objects of one class are the same object if the centre
    moved by less than the side of the box. Between two sightings the box moves evenly in time. Before the first and
    after the last it stays.
    """
    known: list[list[Sighting]] = [[] for _ in frames]
    at = np.array(times, dtype=np.float64)
    for track in _tracks(times, frames, hold_times.gap):
        for frame, box in _filled(track, at, hold_times.hold):
            known[frame].append(Sighting(track.label, box))
    return known


def _tracks(times: Sequence[float], frames: Sequence[Sequence[Sighting]], gap: float) -> list[_Track]:
    ended: list[_Track] = []
    live: list[_Track] = []
    for frame, sightings in enumerate(frames):
        missed = [times[frame] - times[track.frames[-1] + 1] > gap + _ROUNDING_S for track in live]
        ended += [track for track, lost in zip(live, missed, strict=True) if lost]
        live = [track for track, lost in zip(live, missed, strict=True) if not lost]
        live += _linked(live, frame, sightings)
    return ended + live


def _linked(live: Sequence[_Track], frame: int, sightings: Sequence[Sighting]) -> list[_Track]:
    """Give each track its nearest sighting, the nearest pair first. A sighting without a track starts a new one."""
    pairs = [(_distance(track, one), i, j) for i, track in enumerate(live) for j, one in enumerate(sightings)]
    taken: dict[int, int] = {}
    for distance, i, j in sorted(pairs):
        if distance < _FARTHEST and i not in taken.values() and j not in taken:
            taken[j] = i
            live[i].add(frame, sightings[j].box)
    return [_Track(one.label, [frame], [one.box]) for j, one in enumerate(sightings) if j not in taken]


def _distance(track: _Track, one: Sighting) -> float:
    """Distance between centres, in sides of the larger box. Infinite between classes."""
    if track.label != one.label:
        return math.inf
    (ax, ay, aside), (bx, by, bside) = map(_middle, (track.boxes[-1], one.box))
    side = max(aside, bside)
    return math.hypot(ax - bx, ay - by) / side if side > 0 else math.inf


def _middle(box: Box) -> tuple[float, float, float]:
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1)


def _filled(track: _Track, times: Float64, hold: float) -> list[tuple[int, Box]]:
    """The box in every frame from `hold` before the first sighting to `hold` after the last."""
    seen = times[track.frames]
    first = int(np.searchsorted(times, seen[0] - hold - _ROUNDING_S))
    end = int(np.searchsorted(times, seen[-1] + hold + _ROUNDING_S, side="right"))
    sides = np.array(track.boxes)
    moved = np.stack([np.interp(times[first:end], seen, side) for side in sides.T], axis=1).tolist()
    return [(frame, (x1, y1, x2, y2)) for frame, (x1, y1, x2, y2) in enumerate(moved, first)]
