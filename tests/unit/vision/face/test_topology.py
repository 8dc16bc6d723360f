from itertools import combinations

import numpy as np
import pytest

from tests.unit.vision.face.drawing import ibug_landmarks, mesh_landmarks
from vision.face.topology import DEFAULT_REGIONS, FOREHEAD, IBUG, MESH, REGION_NUMBERS, Topology

SCHEMES = {"mesh": (MESH, mesh_landmarks(468)), "ibug": (IBUG, ibug_landmarks())}
each_scheme = pytest.mark.parametrize(("topology", "landmarks"), SCHEMES.values(), ids=SCHEMES)


def test_the_default_regions_have_the_first_numbers() -> None:
    assert [REGION_NUMBERS[name] for name in DEFAULT_REGIONS] == [1, 2, 3, 4, 5]
    assert sorted(REGION_NUMBERS.values()) == list(range(1, len(REGION_NUMBERS) + 1))


@each_scheme
def test_every_region_has_a_ring_of_points_that_exist(topology: Topology, landmarks: np.ndarray) -> None:
    assert {*topology.rings, FOREHEAD} == set(REGION_NUMBERS)
    points = topology.extend(landmarks)
    for ring in (*topology.rings.values(), topology.arc, topology.brows):
        assert len(set(ring)) >= len(ring) - 2  # lips meet twice in their corners
        assert max(ring) < len(points)


@each_scheme
def test_left_is_the_viewers_left(topology: Topology, landmarks: np.ndarray) -> None:
    points = topology.extend(landmarks)
    left, right = (points[list(eye)].mean(axis=0) for eye in topology.eyes)
    assert left[0] < right[0]
    for name in ("eye", "eyebrow"):
        left, right = (points[list(topology.rings[f"{side}_{name}"])].mean(axis=0) for side in ("left", "right"))
        assert left[0] < right[0]


def test_the_arc_of_ibug_spans_the_forehead() -> None:
    points = IBUG.extend(ibug_landmarks())
    arc, brows = points[list(IBUG.arc)], points[list(IBUG.brows)]
    assert arc[:, 1].min() < brows[:, 1].min() - 40
    assert (np.diff(arc[:, 0]) > 0).all()


@pytest.mark.parametrize("name", [name for name in REGION_NUMBERS if name != FOREHEAD])
def test_rings_of_ibug_do_not_cross_themselves(name: str) -> None:
    points = IBUG.extend(ibug_landmarks())[list(IBUG.rings[name])]
    sides = list(zip(points, np.roll(points, -1, axis=0), strict=True))
    assert not any(cross(*first, *second) for first, second in combinations(sides, 2))


def cross(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> bool:
    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> float:
        return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    return side(a, b, c) * side(a, b, d) < -1e-9 and side(c, d, a) * side(c, d, b) < -1e-9
