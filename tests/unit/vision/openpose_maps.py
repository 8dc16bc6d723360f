"""Drawn crowds as the maps of OpenPose's network, and its decoding written out again, slowly, step by step."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Float32, Float64, Size
from vision.body.heatmaps import OOTD, Resizing

Peaks = list[tuple[int, int, float, int]]
Links = list[tuple[int, int, float]]

LIMBS = (
    (2, 3), (2, 6), (3, 4), (4, 5), (6, 7), (7, 8), (2, 9), (9, 10), (10, 11), (2, 12), (12, 13), (13, 14), (2, 1),
    (1, 15), (15, 17), (1, 16), (16, 18), (3, 17), (6, 18),
)  # fmt: skip
"""Parts, counted from 1."""
FIELDS = (12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26)
"""The first of each limb's two channels."""
STANDING = np.array((
    (0, -0.9), (0, -0.6), (-0.2, -0.6), (-0.28, -0.25), (-0.3, 0.05), (0.2, -0.6), (0.28, -0.25), (0.3, 0.05),
    (-0.12, 0), (-0.13, 0.45), (-0.13, 0.9), (0.12, 0), (0.13, 0.45), (0.13, 0.9), (-0.05, -0.95), (0.05, -0.95),
    (-0.1, -0.92), (0.1, -0.92),
))  # fmt: skip


def drawn_crowd(people: int, size: Size, resizing: Resizing, seed: int) -> tuple[Float32, Float32]:
    """Noisy maps of standing people who overlap and hide some joints: h×w×19 and h×w×38."""
    random = np.random.default_rng(seed)
    width, height = resizing.drawn(size)
    cells = -(-height // 8), -(-width // 8)
    heatmap, paf = np.zeros((*cells, 19), np.float32), np.zeros((*cells, 38), np.float32)
    for _ in range(people):
        scale = random.uniform(0.15, 0.35) * height
        place = random.uniform((0.05 * width, 0.2 * height), (0.95 * width, 0.8 * height))
        joints = STANDING * scale * (random.choice((-1, 1)), 1) + place + random.normal(0, 0.04 * scale, (18, 2))
        draw(heatmap, paf, joints, random.random(18) > 0.1, random.uniform(0.5, 1, 18))
    heatmap = np.maximum(heatmap + random.normal(0, 0.02, heatmap.shape), 0)
    return heatmap.astype(np.float32), (paf + random.normal(0, 0.02, paf.shape)).astype(np.float32)


def draw(heatmap: Float32, paf: Float32, joints: Float64, seen: NDArray[np.bool_], scores: Float64) -> None:
    """Add a person whose joints are in pixels of the network's input."""
    down, across = np.indices(heatmap.shape[:2]) * 8 + 3.5
    for part in np.flatnonzero(seen):
        distance = (across - joints[part, 0]) ** 2 + (down - joints[part, 1]) ** 2
        heatmap[..., part] = np.maximum(heatmap[..., part], scores[part] * np.exp(-distance / 98))
    for (start, end), channel in zip(LIMBS, FIELDS, strict=True):
        if seen[start - 1] and seen[end - 1]:
            origin, vector = joints[start - 1], joints[end - 1] - joints[start - 1]
            length = max(math.hypot(*vector), 1e-3)
            x, y = (across - origin[0], down - origin[1])
            along = (x * vector[0] + y * vector[1]) / length
            beside = np.abs(x * vector[1] - y * vector[0]) / length
            paf[(along >= -8) & (along <= length + 8) & (beside < 8), channel : channel + 2] = vector / length


def slow_decoding(heatmap: Float32, paf: Float32, size: Size, resizing: Resizing) -> tuple[Float64, Float64]:
    """Candidates and subset of maps enlarged to the whole photo."""
    peaks = slow_peaks(enlarged(heatmap, size, resizing))
    field = enlarged(paf, size, resizing)
    links = [
        slow_links(peaks[start - 1], peaks[end - 1], field[..., channel : channel + 2])
        for (start, end), channel in zip(LIMBS, FIELDS, strict=True)
    ]
    candidates = np.array([peak for part in peaks for peak in part], dtype=float).reshape(-1, 4)
    return candidates, slow_people(links, candidates)


def enlarged(maps: Float32, size: Size, resizing: Resizing) -> Float64:
    """All channels at once, or one by one, as the two originals do: the last bits depend on it."""
    width, height = resizing.drawn(size)
    if resizing is OOTD:
        last = cv2.INTER_AREA if sum(size) < width + height else cv2.INTER_LANCZOS4
        planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(maps, 2, 0)]
        planes = [cv2.resize(plane, None, fx=8, fy=8, interpolation=cv2.INTER_LANCZOS4) for plane in planes]
        planes = [cv2.resize(plane[:height, :width], size, interpolation=last) for plane in planes]
        return np.stack(planes, axis=2).astype(np.float64)
    padded = cv2.resize(maps, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    return cv2.resize(padded[:height, :width], size, interpolation=cv2.INTER_CUBIC).astype(np.float64)


def slow_peaks(heatmap: Float64) -> list[Peaks]:
    found: list[Peaks] = []
    number = 0
    for part in range(18):
        smooth = np.pad(smoothed(heatmap[..., part]), 1)
        middle = smooth[1:-1, 1:-1]
        beside = (smooth[:-2, 1:-1], smooth[2:, 1:-1], smooth[1:-1, :-2], smooth[1:-1, 2:])
        rows, columns = np.nonzero((middle > 0.1) & np.all([middle >= other for other in beside], axis=0))
        places = zip(columns.tolist(), rows.tolist(), strict=True)
        found.append([(x, y, heatmap[y, x, part], number + index) for index, (x, y) in enumerate(places)])
        number += len(rows)
    return found


def smoothed(plane: Float64) -> Float64:
    """SciPy's gaussian_filter: it adds neighbours in pairs, which equal ones must stay equal in."""
    weights = np.exp(-0.5 / 9 * np.arange(-12, 13) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        lines = np.apply_along_axis(lambda line: np.pad(line, 12, mode="symmetric"), axis, plane)
        lines = np.moveaxis(lines, axis, 0)
        sums = lines[12:-12] * weights[12]
        for near, far in zip(range(12), range(24, 12, -1), strict=True):
            sums = sums + (lines[near : near - 24] + lines[far : far - 24 or None]) * weights[near]
        plane = np.moveaxis(sums, 0, axis)
    return plane


def slow_links(starts: Peaks, ends: Peaks, field: Float64) -> Links:
    scored = [
        (first, second, score)
        for first, start in enumerate(starts)
        for second, end in enumerate(ends)
        if (score := slow_score(start, end, field)) is not None
    ]
    links: Links = []
    taken: set[tuple[str, int]] = set()
    for first, second, score in sorted(scored, key=lambda link: link[2], reverse=True):
        if taken.isdisjoint({("start", first), ("end", second)}):
            taken |= {("start", first), ("end", second)}
            links.append((starts[first][3], ends[second][3], score))
    return links


def slow_score(start: tuple[float, ...], end: tuple[float, ...], field: Float64) -> float | None:
    vector = np.subtract(end[:2], start[:2])
    length = max(0.001, math.hypot(*vector))
    points = zip(np.linspace(start[0], end[0], 10), np.linspace(start[1], end[1], 10), strict=True)
    along = [float(field[round(y), round(x)] @ vector) / length for x, y in points]
    score = sum(along) / 10 + min(0.5 * len(field) / length - 1, 0)
    return score if sum(value > 0.05 for value in along) > 8 and score > 0 else None


def slow_people(links: list[Links], candidates: Float64) -> Float64:
    rows: list[Float64] = []
    for limb, found in enumerate(links):
        start, end = LIMBS[limb][0] - 1, LIMBS[limb][1] - 1
        for first, second, score in found:
            same = [row for row in rows if row[start] == first or row[end] == second][:2]
            both = len(same) == 2 and bool(((same[0][:18] >= 0) & (same[1][:18] >= 0)).any())
            if len(same) == 2 and not both:
                same[0][:18] += same[1][:18] + 1
                same[0][18:] += same[1][18:]
                same[0][18] += score
                rows = [row for row in rows if row is not same[1]]
            elif same and (both or same[0][end] != second):
                same[0][end] = second
                same[0][18:] += candidates[second, 2] + score, 1
            elif not same and limb < 17:
                row = np.full(20, -1.0)
                row[[start, end]] = first, second
                row[18:] = candidates[first, 2] + candidates[second, 2] + score, 2
                rows.append(row)
    return np.array([row for row in rows if row[19] >= 4 and row[18] / row[19] >= 0.4]).reshape(-1, 20)
