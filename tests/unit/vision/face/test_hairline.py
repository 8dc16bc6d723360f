import numpy as np
import pytest

from tests.unit.vision.face.drawing import HAIRLINE, ibug_landmarks, label_map, mesh_landmarks
from tests.unit.vision.face.raster import fill
from vision.face.regions import forehead, forehead_to_hairline
from vision.face.segmentation import CONTOURS
from vision.face.topology import IBUG, MESH, Topology

SCHEMES = {"mesh": (MESH, mesh_landmarks()), "ibug": (IBUG, IBUG.extend(ibug_landmarks()))}
each_scheme = pytest.mark.parametrize(("topology", "points"), SCHEMES.values(), ids=SCHEMES)


def middle_top(ring: np.ndarray) -> float:
    return float(ring[np.abs(ring[:, 0] - 200) < 15, 1].min())


@each_scheme
def test_the_forehead_ends_at_the_true_hairline(topology: Topology, points: np.ndarray) -> None:
    ring = forehead_to_hairline(points, topology, label_map(), CONTOURS.face)
    assert middle_top(ring) == pytest.approx(HAIRLINE, abs=1.5)
    labels = label_map()
    assert (labels[fill([ring], labels.shape[::-1])] == 1).mean() > 0.97


@each_scheme
def test_a_bald_head_ends_where_its_skin_does(topology: Topology, points: np.ndarray) -> None:
    labels = label_map()
    labels[labels == 10] = 0
    ring = forehead_to_hairline(points, topology, labels, CONTOURS.face)
    assert middle_top(ring) == pytest.approx(HAIRLINE, abs=1.5)


@each_scheme
@pytest.mark.parametrize("label", [0, 1])
def test_a_map_that_shows_no_hairline_changes_nothing_of_note(
    topology: Topology, points: np.ndarray, label: int
) -> None:
    labels = np.full_like(label_map(), label)
    labels = np.pad(labels, 2000, constant_values=label)
    ring = forehead_to_hairline(points + 2000, topology, labels, CONTOURS.face) - 2000
    assert middle_top(ring) == pytest.approx(middle_top(forehead(points, topology)), abs=2)


def test_the_arc_of_the_mesh_is_raised_in_the_middle_and_not_at_its_ends() -> None:
    points = mesh_landmarks()
    arc, raised = points[list(MESH.arc)], forehead(points, MESH)[: len(MESH.arc)]
    lift = arc[:, 1] - raised[:, 1]
    np.testing.assert_allclose(lift[[0, -1]], 0, atol=1e-9)
    assert lift.max() == pytest.approx(MESH.rise * (points[MESH.chin, 1] - arc[:, 1].min()), rel=0.05)
    np.testing.assert_array_equal(arc, points[list(MESH.arc)])


def test_a_strand_of_hair_leaves_no_notch() -> None:
    labels = label_map()
    labels[HAIRLINE:160, 199:201] = 10
    ring = forehead_to_hairline(mesh_landmarks(), MESH, labels, CONTOURS.face)
    assert middle_top(ring) == pytest.approx(HAIRLINE, abs=5)
    near = ring[: -len(MESH.brows)]
    assert near[np.abs(near[:, 0] - 200) < 30, 1].max() < HAIRLINE + 10
