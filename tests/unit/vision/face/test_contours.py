import json
import math
from collections.abc import Sequence

import numpy as np
import pytest

from tests.unit.vision.face.conftest import RealCase
from tests.unit.vision.face.document import read_document
from tests.unit.vision.face.drawing import (
    CENTER,
    HAIRLINE,
    SIZE,
    ibug_landmarks,
    label_map,
    mesh_landmarks,
    turned,
    turned_map,
)
from tests.unit.vision.face.raster import Bits, fill, iou
from vision.affine import compose, invert, transform_points
from vision.arrays import Float64, LabelMap
from vision.encoding import encode_png
from vision.face.contours import FaceContours, covering, face_contours
from vision.face.landmarks import parse_landmarks
from vision.face.options import ContourFrame, ContourOptions, FaceError
from vision.face.segmentation import parse_segmentation
from vision.face.topology import MESH
from vision.photo import Photo, decode, inspect

TURNS = [0, 20, -35, 90, 180]


def tilt(face: FaceContours, landmarks: Float64) -> float:
    """Degrees by which the line between the eyes leaves the level in the crop."""
    moved = transform_points(landmarks, face.crop.from_source)
    left, right = (moved[list(eye)].mean(axis=0) for eye in MESH.eyes)
    return math.degrees(math.atan2(*(right - left)[::-1]))


def rings(face: FaceContours, number: int) -> list[Float64]:
    return [np.array(ring) for ring in face.mask_contours[str(number)]]


def worst_iou(face: FaceContours, labels: LabelMap) -> float:
    return min(
        iou(fill(rings(face, region.number), face.crop.size), labels == region.number) for region in face.regions
    )


@pytest.mark.parametrize("degrees", TURNS)
@pytest.mark.parametrize("size", [SIZE, (399, 481), (200, 240), (512, 512)])
def test_labels_of_any_size_and_tilt_are_outlined(degrees: float, size: tuple[int, int]) -> None:
    whole = turned_map(label_map(), degrees)
    labels = np.asarray(whole[np.arange(size[1]) * 480 // size[1]][:, np.arange(size[0]) * 400 // size[0]])
    landmarks = turned(mesh_landmarks(), degrees)
    face = face_contours(SIZE, landmarks, labels)
    assert [region.number for region in face.regions] == [1, 4, 5, 6, 7, 10]
    assert abs(tilt(face, landmarks)) < 0.5
    levelled = face.crop.of_labels(covering(labels, SIZE))
    assert worst_iou(face, levelled) >= 0.99
    assert set(np.unique(levelled[:2])) == {0}


def test_labels_keep_their_numbers_and_have_names() -> None:
    face = face_contours(SIZE, mesh_landmarks(), label_map())
    names = {region.number: region.name for region in face.regions}
    assert names == {1: "skin", 4: "left_eye", 5: "right_eye", 6: "nose", 7: "upper_lip", 10: "hair"}
    assert sum(contour.hole for contour in face.regions[0].contours) == 4


def test_without_a_segmentation_the_default_regions_are_made() -> None:
    for landmarks in (mesh_landmarks(478), mesh_landmarks(468), ibug_landmarks()):
        face = face_contours(SIZE, landmarks)
        assert [(region.number, region.name) for region in face.regions] == [
            (1, "forehead"),
            (2, "nose"),
            (3, "left_under_eye"),
            (4, "right_under_eye"),
            (5, "mouth"),
        ]


def test_named_regions_come_from_landmarks_and_the_forehead_meets_the_hair() -> None:
    options = ContourOptions(regions=("forehead", "left_eye"))
    face = face_contours(SIZE, mesh_landmarks(), label_map(), options)
    assert [region.number for region in face.regions] == [1, 6]
    labels = face.crop.of_labels(covering(label_map(), SIZE))
    assert (labels[fill(rings(face, 1), face.crop.size)] == 10).mean() < 0.03
    alone = face_contours(SIZE, mesh_landmarks(), None, options)
    assert fill(rings(alone, 1), alone.crop.size).sum() < 0.95 * fill(rings(face, 1), face.crop.size).sum()


SCHEMES = {"the services'": range(11), "CelebAMask-HQ": (0, 1, 2, 3, 4, 5, 10, 12, 11, 13, 17)}


@pytest.mark.parametrize("numbers", SCHEMES.values(), ids=SCHEMES)
@pytest.mark.parametrize("shown", [(1, 10), (10,), (1,), (4, 5, 6, 7, 10)])
def test_hair_or_skin_alone_shows_the_hairline(numbers: Sequence[int], shown: tuple[int, ...]) -> None:
    labels = np.array(numbers, dtype=np.uint8)[np.where(np.isin(label_map(), shown), label_map(), 0)]
    labels[-1, -1] = numbers[7]  # far from the face, and tells the schemes apart
    face = face_contours(
        SIZE, mesh_landmarks(), labels, ContourOptions(regions=("forehead",), frame=ContourFrame.SOURCE)
    )
    (ring,) = rings(face, 1)
    assert ring[np.abs(ring[:, 0] - CENTER[0]) < 15, 1].min() == pytest.approx(HAIRLINE, abs=1.5)


def test_a_mapping_makes_regions_in_its_order() -> None:
    mapping = {"b": (10, 338, 297, 152), "a": (1, 10, 152)}
    face = face_contours(SIZE, mesh_landmarks(), mapping)
    assert [(region.number, region.name) for region in face.regions] == [(1, "b"), (2, "a")]
    chosen = face_contours(SIZE, mesh_landmarks(), mapping, ContourOptions(regions=("a",)))
    assert [(region.number, region.name) for region in chosen.regions] == [(2, "a")]


def test_the_source_frame_is_the_crop_undone() -> None:
    landmarks, labels = turned(mesh_landmarks(), 20), turned_map(label_map(), 20)
    crop = face_contours(SIZE, landmarks, labels)
    source = face_contours(SIZE, landmarks, labels, ContourOptions(frame=ContourFrame.SOURCE))
    np.testing.assert_array_equal(source.crop.from_source, crop.crop.from_source)
    for region in crop.regions:
        for there, here in zip(rings(crop, region.number), rings(source, region.number), strict=True):
            np.testing.assert_allclose(transform_points(here, crop.crop.from_source), there, atol=0.02)
    assert read_document(source.svg).get("viewBox") == "0 0 400 480"
    assert iou(fill(rings(source, 6), SIZE), labels == 6) > 0.95


def test_the_transform_can_be_undone() -> None:
    crop = face_contours(SIZE, turned(mesh_landmarks(), 33)).crop
    np.testing.assert_allclose(compose(crop.from_source, invert(crop.from_source)), np.eye(2, 3), atol=1e-9)


@pytest.mark.parametrize(
    ("segmentation", "regions", "code"),
    [
        (None, ("chin",), "region_unknown"),
        ({"chin": (1, 2, 3)}, ("nose",), "region_unknown"),
        ({"chin": (1, 2, 478)}, (), "regions_invalid"),
        (np.pad(np.full((2, 2), 3, np.uint8), ((0, 4798), (0, 3998))), (), "label_map_empty"),
    ],
)
def test_invalid_input_is_refused(segmentation: object, regions: tuple[str, ...], code: str) -> None:
    with pytest.raises(FaceError) as refused:
        face_contours(
            (4000, 4800), np.add(mesh_landmarks(), (3000, 4000)), segmentation, ContourOptions(regions=regions)
        )
    assert refused.value.code == code


def test_a_label_map_with_more_corners_than_a_face_has_is_refused() -> None:
    y, x = np.indices((1800, 1800))
    jagged = ((y + x // 3 % 2 * 2) // 6 % 2).astype(np.uint8)
    points = mesh_landmarks() / SIZE * 1800
    with pytest.raises(FaceError, match=r"label_map_corrupt: .* corners"):
        face_contours((1800, 1800), points, jagged)


def test_a_label_map_with_more_pieces_than_a_face_has_is_refused() -> None:
    pieces = np.random.default_rng(0).integers(0, 31, (55, 55), dtype=np.uint8)
    scattered = np.kron(pieces, np.ones((20, 20), np.uint8))
    with pytest.raises(FaceError, match=r"label_map_corrupt: .* outlines"):
        face_contours((1100, 1100), mesh_landmarks() / SIZE * 1100, scattered)


def test_regions_whose_every_piece_is_a_speck_are_left_out() -> None:
    labels = label_map()
    labels[::4, ::4] = 9
    face = face_contours(SIZE, mesh_landmarks(), labels, ContourOptions(show_labels=True))
    assert 9 not in [region.number for region in face.regions]


def test_labels_far_from_the_face_do_not_widen_the_crop() -> None:
    size = (4000, 4800)
    labels = np.zeros((480, 400), dtype=np.uint8)
    labels[20:30, 10:50] = 1
    near = face_contours(size, mesh_landmarks(), labels).crop
    labels[470:, 390:] = 18
    far = face_contours(size, mesh_landmarks(), labels).crop
    box = np.ptp(mesh_landmarks(), axis=0)
    assert (np.array(far.size) < 3.5 * box).all()
    assert (np.array(near.size) <= far.size).all()


def test_a_photo_turns_with_the_face() -> None:
    photo = Photo(np.dstack([turned_map(label_map(), 20) * 20] * 3), np.eye(2, 3))
    face = face_contours(SIZE, turned(mesh_landmarks(), 20), None, photo=photo)
    assert "data:image/jpeg;base64," in face.svg
    assert "data:" not in face_contours(SIZE, turned(mesh_landmarks(), 20)).svg


def test_a_reading_from_bytes() -> None:
    (landmarks,) = parse_landmarks(json.dumps(mesh_landmarks().tolist()).encode()).in_photo(SIZE)
    face = face_contours(SIZE, landmarks, parse_segmentation(encode_png(label_map())))
    assert len(face.regions) == 6


def real_contours(case: RealCase, **options: object) -> tuple[FaceContours, Float64, LabelMap]:
    info = inspect(case.image)
    (landmarks,) = parse_landmarks(case.landmarks).in_photo(info.size)
    segmentation = parse_segmentation(case.segmentation)
    photo = decode(case.image, info) if options.pop("embed", False) else None
    face = face_contours(info.size, landmarks, segmentation, ContourOptions(**options), photo)
    return face, landmarks, face.crop.of_labels(covering(segmentation, info.size))


def test_the_real_case(real_case: RealCase) -> None:
    face, landmarks, levelled = real_contours(real_case)
    assert [region.number for region in face.regions] == list(range(1, 11))
    assert worst_iou(face, levelled) >= 0.99
    assert abs(tilt(face, landmarks)) < 0.5
    iris = transform_points(landmarks[[468, 473]], face.crop.from_source)
    assert abs(math.degrees(math.atan2(*(iris[1] - iris[0])[::-1]))) < 0.5
    assert len(face.svg.encode()) < 60_000


def test_the_real_case_led_back_to_its_label_map(real_case: RealCase) -> None:
    labels = np.asarray(parse_segmentation(real_case.segmentation))
    face, *_ = real_contours(real_case)
    width, height = labels.shape[1], labels.shape[0]
    back = invert(face.crop.from_source)
    for region in face.regions:
        source = [transform_points(ring, back) for ring in rings(face, region.number)]
        pixels = fill([ring * (width / 1101, height / 1100) for ring in source], (width, height))
        least = 0.9 if region.name == "inner_mouth" else 0.99  # two pixels high: the nearest pixel is half of it
        assert iou(pixels, labels == region.number) >= least, region.name


def test_the_real_forehead_meets_the_hair(real_case: RealCase) -> None:
    face, _, levelled = real_contours(real_case, regions=("forehead",))
    inside = fill(rings(face, 1), face.crop.size)
    above: Bits = (levelled == 1) & (np.arange(levelled.shape[0])[:, None] < np.argwhere(levelled == 2)[:, 0].min())
    assert np.isin(levelled[inside], (0, 10)).mean() < 0.02
    assert (above & inside).sum() / above.sum() > 0.98


def test_every_option_at_once(real_case: RealCase) -> None:
    face, *_ = real_contours(
        real_case, embed=True, show_labels=True, show_landmarks=True, frame=ContourFrame.SOURCE, stroke_width=2
    )
    root = read_document(face.svg)
    assert (root.get("width"), root.get("height")) == ("1101", "1100")
