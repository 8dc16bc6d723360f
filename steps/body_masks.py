"""The steps of `body_masks`: find people, cut them out for the landmark model, and draw their masks and key points."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from steps.photo import EncodedPhoto, regions_context, regions_of
from steps.tensors import (
    InputError,
    JsonObject,
    Tensors,
    asked_for,
    carrying_failures,
    completed,
    json_object,
    json_tensor,
    refused,
    require_success,
)
from vision.arrays import Float32, Float64, Size
from vision.body.label_map import atr_label_map, fine_label_map
from vision.body.mask_types import MaskType
from vision.body.masks import garment_masks, plain_masks
from vision.body.overlay import PersonLayer, draw_overlay
from vision.body.pose import (
    POSE_DECODED_SIDE,
    POSE_SIDE,
    Pose,
    coco_keypoints,
    decode_pose,
    distinct,
    transform_keypoints,
)
from vision.body.silhouette import (
    FINE_SIZE,
    Canvas,
    canvas_about,
    canvas_about_centre,
    carried,
    fine_to_source,
    is_large,
    outline,
    outline_of_labels,
    to_output,
    to_source,
)
from vision.encoding import encode_jpeg, encode_png
from vision.photo import Photo
from vision.ssd import PERSON_DECODED_SIDE, PERSON_SIDE, crop, decode_pose_detections, letterbox, roi_of

Gray: TypeAlias = NDArray[np.uint8]

NO_PERSON = ("no_person", "no person was found in the photo; one must show at least head and shoulders")
SEVERAL_PERSONS = (
    "several_persons",
    "{count} people were found; send a photo of one, or ask for person=largest or all",
)
"""Codes and details of failures."""


@dataclass(frozen=True)
class BodyMaskParameters:
    """What one request asks for. The defaults apply to what a request does not set."""

    mask_types: tuple[MaskType, ...] = tuple(MaskType)
    gender: str = "F"
    style: str = "garment"
    frame: str = "source"
    person: str = "largest"
    crop: str = "person"
    include: tuple[str, ...] = ()

    def canvas(self, pose: Pose, size: Size) -> Canvas:
        """The 3:4 window that a person is drawn in."""
        return canvas_about_centre(size) if self.crop == "centre" else canvas_about(pose.box, size)

    @classmethod
    def from_json(cls, value: JsonObject) -> "BodyMaskParameters":
        """Read the pipeline's JSON. Unknown keys are ignored. Raises ValueError for an unknown mask type."""
        chosen = {key: value[key] for key in ("gender", "style", "frame", "person", "crop") if key in value}
        names = cast("list[str]", value.get("mask_types", [mask_type.value for mask_type in MaskType]))
        include = cast("list[str]", value.get("include", []))
        mask_types = tuple(MaskType(name) for name in names)
        return cls(mask_types=mask_types, include=tuple(include), **cast("dict[str, str]", chosen))


def _no_photo(_: Tensors) -> Tensors:
    return {"pixels": np.zeros((1, PERSON_SIDE, PERSON_SIDE, 3), np.uint8)}


@carrying_failures(_no_photo)
def pose_input(tensors: Tensors) -> Tensors:
    """`image` BYTES [1] → `pixels` uint8 1×224×224×3 RGB letterboxed, `context` BYTES [1] JSON."""
    encoded = EncodedPhoto.read(tensors["image"])
    photo = encoded.reduced(max(encoded.info.size), PERSON_DECODED_SIDE)
    pixels = letterbox(photo, encoded.info.size, PERSON_SIDE)
    return {"pixels": pixels[np.newaxis], "context": json_tensor({})}


MOST_PEOPLE = 8
"""Crops of one request with every person: what one run of the landmark model takes."""
LARGEST_CANDIDATES = 3
"""Crops from which the largest person is chosen. A region of interest only estimates how large its person is."""


def _no_crops(_: Tensors) -> Tensors:
    return {"crops": np.zeros((1, POSE_SIDE, POSE_SIDE, 3), np.uint8)}


@carrying_failures(_no_crops)
def pose_crop(tensors: Tensors) -> Tensors:
    """Cut out the largest regions of interest.

    `image` BYTES [1], `parameters` BYTES [1], `boxes` float32 1×2254×12, `scores` float32 1×2254×1 →
    `crops` uint8 P×256×256×3 RGB, 1 ≤ P ≤ 8, `context` BYTES [1] JSON with the regions.
    """
    encoded = EncodedPhoto.read(tensors["image"])
    parameters = BodyMaskParameters.from_json(json_object(tensors["parameters"]))
    detections = decode_pose_detections(tensors["boxes"][0], tensors["scores"][0], encoded.info.size)
    if not detections:
        raise InputError(*NO_PERSON)
    most = LARGEST_CANDIDATES if parameters.person == "largest" else MOST_PEOPLE
    regions = sorted(map(roi_of, detections), key=lambda region: -region.side)[:most]
    photo = encoded.reduced(regions[-1].side, POSE_DECODED_SIDE)  # the smallest region needs the most pixels
    crops = np.stack([crop(photo, region, POSE_SIDE) for region in regions])
    return {"crops": crops, "context": json_tensor(regions_context(regions))}


@dataclass(frozen=True)
class Detail:
    """The photo in the detail that its edges need, decoded once. `extent` pixels of it are the narrowest window."""

    encoded: EncodedPhoto
    extent: float

    @cached_property
    def photo(self) -> Photo:
        """Decoded so that FINE_SIZE shows every pixel. Raises InputError."""
        return self.encoded.reduced(self.extent, FINE_SIZE[0])


@dataclass(frozen=True, eq=False)
class Parsed:
    """What the user's networks say of a person: ATR labels on the canvas, and key points 18×3 in source pixels."""

    labels: Gray
    keypoints: Float64


@dataclass(frozen=True)
class Person:
    """One person and everything drawn of them. Arrays are on the 512×384 canvas unless said otherwise."""

    pose: Pose
    size: tuple[int, int]
    parameters: BodyMaskParameters
    detail: Detail
    parsed: Parsed | None = None

    @cached_property
    def canvas(self) -> Canvas:
        """The 3:4 window that the person is drawn in."""
        return self.parameters.canvas(self.pose, self.size)

    @cached_property
    def keypoints(self) -> Float64:
        """18×3: x, y in source pixels, score."""
        return self.parsed.keypoints if self.parsed else coco_keypoints(self.pose, self.size)

    @cached_property
    def label_map(self) -> Gray:
        """ATR labels."""
        return self.parsed.labels if self.parsed else atr_label_map(self.pose, self.canvas, self.size)

    @cached_property
    def masks(self) -> dict[MaskType, Gray]:
        """The requested masks."""
        types = self.parameters.mask_types
        if self.parameters.style == "labels":
            return plain_masks(self.label_map, types)
        keypoints = transform_keypoints(self.keypoints, self.canvas.to_work)
        return garment_masks(self.label_map, keypoints, types, self.parameters.gender)

    @cached_property
    def outline(self) -> Gray | None:
        """The person at FINE_SIZE. None if the canvas's outline is fine enough for the photo. Raises InputError."""
        if not is_large(self.canvas):
            return None
        if self.parsed:
            return outline_of_labels(self.label_map, self.canvas, self.detail.photo)
        return outline(self.pose, self.canvas, self.detail.photo)

    def framed(self, mask: Gray) -> Gray:
        """The mask in the requested frame. Raises InputError."""
        return to_output(mask) if self.parameters.frame == "canvas" else self.on_source(mask)

    def framed_label_map(self) -> Gray:
        """The label map in the requested frame. Raises InputError."""
        if self.parameters.frame == "canvas":
            return to_output(self.label_map)
        if self.parsed or self.outline is None:
            return to_source(self.label_map, self.canvas, self.size)
        fine = fine_label_map(self.pose, self.canvas, self.outline)
        return to_source(fine, self.canvas, self.size)

    def on_source(self, mask: Gray) -> Gray:
        """The mask in the frame of the photo. Raises InputError."""
        if self.outline is None:
            return to_source(mask, self.canvas, self.size)
        return fine_to_source(carried(mask, self.label_map, self.outline), self.canvas, self.size)

    def framed_keypoints(self) -> Float64:
        """The key points in the requested frame."""
        if self.parameters.frame == "canvas":
            return transform_keypoints(self.keypoints, self.canvas.to_output)
        return self.keypoints


def body_masks_draw(tensors: Tensors) -> Tensors:
    """Draw what was requested.

    `image`, `parameters`, `context` BYTES [1], `landmarks` float32 P×195, `presence` float32 P×1, `mask` float32
    P×256×256×1, `heatmap` float32 P×64×64×39, and in the full profile `labels` and `keypoints` of `body_parse` →
    `result` BYTES [1] JSON, `artifact_names` and `artifacts` BYTES [K].
    """
    try:
        people = _with_parsed(asked_people(tensors), tensors)
        artifacts = dict(_artifacts(people, tensors))
    except InputError as failure:
        return refused(failure.code, failure.detail)
    width, height = people[0].size
    described = [_description(index, person) for index, person in enumerate(people)]
    return completed({"photo": {"width": width, "height": height}, "persons": described}, artifacts)


def asked_people(tensors: Tensors) -> list[Person]:
    """The people of whom masks are asked for. Raises InputError, also that of an earlier step."""
    require_success(json_object(tensors["context"]))
    parameters = BodyMaskParameters.from_json(json_object(tensors["parameters"]))
    encoded = EncodedPhoto.read(tensors["image"])
    size, poses = encoded.info.size, asked_for(found_poses(tensors), parameters.person, SEVERAL_PERSONS)
    detail = Detail(encoded, min(parameters.canvas(pose, size).width for pose in poses))
    return [Person(pose, size, parameters, detail) for pose in poses]


def _with_parsed(people: list[Person], tensors: Tensors) -> list[Person]:
    if "labels" not in tensors:
        return people
    labels, keypoints = cast("Gray", tensors["labels"]), cast("Float64", tensors["keypoints"])
    parsed = map(Parsed, labels, keypoints)
    return [replace(person, parsed=each) for person, each in zip(people, parsed, strict=True)]


def found_poses(tensors: Tensors) -> list[Pose]:
    """Poses of the regions in which the model is sure of a person, largest first. Raises InputError for none."""
    regions = regions_of(json_object(tensors["context"]))
    outputs = [cast("Float32", tensors[name]) for name in ("landmarks", "presence", "mask", "heatmap")]
    decoded = (
        decode_pose(landmarks, presence, mask, heatmap, region)
        for landmarks, presence, mask, heatmap, region in zip(*outputs, regions, strict=True)
    )
    poses = distinct([pose for pose in decoded if pose is not None])
    if not poses:
        raise InputError(*NO_PERSON)
    return poses


def _artifacts(people: Sequence[Person], tensors: Tensors) -> Iterator[tuple[str, bytes]]:
    parameters = people[0].parameters
    for index, person in enumerate(people):
        prefix = f"person_{index}/" if parameters.person == "all" else ""
        for name, data in _files(person):
            yield prefix + name, data
    if "overlay" in parameters.include:
        pixels = EncodedPhoto.read(tensors["image"]).full().pixels
        layers = [PersonLayer(_larger_first(person), person.keypoints) for person in people]
        yield "overlay.jpg", encode_jpeg(draw_overlay(pixels, layers))


def _larger_first(person: Person) -> Iterator[tuple[MaskType, Gray]]:
    """Masks in the frame of the photo, larger ones first, so that none hides a smaller one."""
    for mask_type, mask in sorted(person.masks.items(), key=lambda item: -np.count_nonzero(item[1])):
        yield mask_type, person.on_source(mask)


def _files(person: Person) -> Iterator[tuple[str, bytes]]:
    files: dict[bytes, bytes] = {}  # several types often have the same mask
    for mask_type in person.parameters.mask_types:
        mask = person.masks[mask_type]
        key = mask.tobytes()
        if key not in files:
            files[key] = encode_png(person.framed(mask))
        yield f"{mask_type}_mask.png", files[key]
    if "label_map" in person.parameters.include:
        yield "label_map.png", encode_png(person.framed_label_map())
    if "keypoints" in person.parameters.include:
        yield "keypoints.json", json.dumps({"keypoints": _points(person.framed_keypoints())}).encode()


def _description(index: int, person: Person) -> JsonObject:
    return {
        "index": index,
        "box": [round(float(value), 2) for value in person.pose.box],
        "score": round(float(person.pose.score), 4),
        "keypoints": _points(person.keypoints),
    }


def _points(keypoints: Float64) -> list[list[float]]:
    return cast("list[list[float]]", np.round(keypoints, 3).tolist())
