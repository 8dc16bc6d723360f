import cv2
import numpy as np
import pytest
from PIL import Image

from tests.unit.vision.face.drawing import (
    CENTER,
    EYES,
    HAIRLINE,
    SIZE,
    ibug_landmarks,
    label_map,
    mesh_landmarks,
    turned,
    turned_map,
)
from vision.affine import invert, of_indices, transform_points, warp
from vision.arrays import Float64, LabelMap
from vision.face.contours import covering, face_contours
from vision.face.options import ContourFrame, ContourOptions
from vision.face.parsing import PARSER_SIDE, ParsedLabels, contour_labels, parser_input, parser_roi
from vision.face.segmentation import CELEBAMASK_HQ, CONTOURS
from vision.face.topology import IBUG, MESH
from vision.photo import Photo
from vision.ssd import Roi, crop

OWN_NAMES = {
    "l_brow": "left_eyebrow", "r_brow": "right_eyebrow", "l_eye": "left_eye", "r_eye": "right_eye",
    "eye_glasses": "skin", "mouth": "inner_mouth", "u_lip": "upper_lip", "l_lip": "lower_lip",
}  # fmt: skip
TO_CELEBA = np.array((0, 1, 2, 3, 4, 5, 10, 12, 11, 13, 17), np.uint8)
WHOLE = Roi((256.0, 256.0), 512.0, 0.0)


def parsed(labels: LabelMap, roi: Roi) -> ParsedLabels:
    """What a perfect parser makes of the drawn face."""
    affine = of_indices(invert(roi.to_source(PARSER_SIDE)))
    crop = warp(labels, affine, (PARSER_SIDE, PARSER_SIDE), interpolation=cv2.INTER_NEAREST)
    return contour_labels(TO_CELEBA[crop], roi)


@pytest.mark.parametrize("landmarks", [mesh_landmarks(478), mesh_landmarks(468), ibug_landmarks()], ids=len)
@pytest.mark.parametrize("degrees", [0, 20, -35, 90, 180])
def test_a_face_is_framed_upright_about_its_eyes(landmarks: Float64, degrees: float) -> None:
    topology = IBUG if len(landmarks) == 68 else MESH
    roi = parser_roi(turned(landmarks, degrees), topology)
    points = transform_points(turned(np.array(EYES), degrees), invert(roi.to_source(PARSER_SIDE)))
    left, right = points
    assert right[1] == pytest.approx(left[1], abs=4)
    assert right[0] - left[0] == pytest.approx(PARSER_SIDE / 4, abs=4)
    assert (left[0] + right[0]) / 2 == pytest.approx(PARSER_SIDE / 2, abs=4)
    assert 0.44 * PARSER_SIDE < left[1] < 0.5 * PARSER_SIDE


def test_a_mouth_aside_turns_the_frame_halfway() -> None:
    """As CelebA-HQ's does: between the line of the eyes and the line from eyes to mouth."""
    landmarks = mesh_landmarks()
    lips = [*MESH.rings["upper_lip"], *MESH.rings["lower_lip"]]
    landmarks[lips] += (100, 0)
    assert parser_roi(landmarks, MESH).rotation == pytest.approx(np.arctan2(-100, 200), abs=0.01)


def test_labels_lie_where_the_crop_of_the_photo_showed_them() -> None:
    pixels = np.zeros((300, 300, 3), np.uint8)
    pixels[100:140, 120:170] = 255
    roi = Roi((150.0, 130.0), 128.0, 0.0)
    labels = (crop(Photo(pixels, np.eye(2, 3)), roi, PARSER_SIDE)[..., 0] > 127).astype(np.uint8)
    placed = contour_labels(labels, roi)
    rows, columns = (np.flatnonzero(labels.any(axis=axis)) for axis in (1, 0))
    corners = np.array([(columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)], dtype=float)
    np.testing.assert_allclose(transform_points(corners, placed.to_source), [(120, 100), (170, 140)], atol=0.2)


def test_the_original_input_is_the_whole_photo_squeezed_into_the_square() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (300, 700, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((512, 512), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(parser_input(pixels), expected)


def test_labels_become_those_of_contours_with_the_same_meaning() -> None:
    for label, name in enumerate(CELEBAMASK_HQ.names):
        (turned_to,) = np.unique(contour_labels(np.full((4, 4), label, np.uint8), WHOLE).labels)
        known = OWN_NAMES.get(name, name)
        assert CONTOURS.name(int(turned_to)) == (known if known in CONTOURS.names else "background")


@pytest.mark.parametrize("pair", [(2, 3), (3, 2), (4, 5), (5, 4)])
def test_left_is_what_the_viewer_sees_on_the_left(pair: tuple[int, int]) -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[3, 1:3], labels[3, 5:7] = pair
    turned_to = contour_labels(labels, WHOLE).labels
    assert turned_to[3].tolist() == [0, min(pair), min(pair), 0, 0, max(pair), max(pair), 0]


def test_one_eye_keeps_its_label() -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[3, 1:3] = 5
    assert contour_labels(labels, WHOLE).labels.max() == 5


@pytest.mark.parametrize("degrees", [0, 20, -35, 180])
def test_a_parsed_face_shows_the_true_hairline(degrees: float) -> None:
    landmarks = turned(mesh_landmarks(), degrees)
    labels = parsed(turned_map(label_map(), degrees), parser_roi(landmarks, MESH))
    face = face_contours(SIZE, landmarks, labels, ContourOptions(frame=ContourFrame.SOURCE))
    assert [region.name for region in face.regions] == [
        "forehead", "nose", "left_under_eye", "right_under_eye", "mouth",
    ]  # fmt: skip
    (forehead,) = face.mask_contours["1"]
    level = turned(np.array(forehead), -degrees)
    assert level[np.abs(level[:, 0] - CENTER[0]) < 15, 1].min() == pytest.approx(HAIRLINE, abs=2)


def test_the_crop_of_a_parsed_face_shows_the_forehead_and_need_not_show_the_hair() -> None:
    labels = parsed(label_map(), parser_roi(mesh_landmarks(), MESH))
    face = face_contours(SIZE, mesh_landmarks(), labels)
    outlined = face_contours(SIZE, mesh_landmarks(), covering(label_map(), SIZE).labels)
    shown = transform_points(np.array([(CENTER[0], HAIRLINE), (CENTER[0], 90)]), face.crop.from_source)
    assert shown[0, 1] > 0
    assert face.crop.size[1] < outlined.crop.size[1]
