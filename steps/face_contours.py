"""The steps of `face_contours`: find faces, cut them out for the landmark model, and draw their contours as an SVG."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from steps.photo import EncodedPhoto, regions_context, regions_of
from steps.tensors import (
    InputError,
    Json,
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
from vision.arrays import Box, Float32, Float64, Size
from vision.face.contours import FaceContours, face_contours
from vision.face.landmarks import parse_landmarks
from vision.face.mesh import MESH_DECODED_SIDE, MESH_SIDE, Face, decode_face, distinct, roi_of
from vision.face.options import ContourFrame, ContourOptions, FaceError, color_of
from vision.face.parsing import ParsedLabels, contour_labels, parser_roi
from vision.face.segmentation import Segmentation, parse_segmentation
from vision.face.topology import MESH
from vision.nms import area
from vision.ssd import (
    FACE_DECODED_SIDE,
    FULL_SIDE,
    SHORT_SIDE,
    Roi,
    crop,
    decode_full_range,
    decode_short_range,
    letterbox,
)


def _no_photo(_: Tensors) -> Tensors:
    return {
        "short": np.zeros((1, SHORT_SIDE, SHORT_SIDE, 3), np.uint8),
        "full": np.zeros((1, FULL_SIDE, FULL_SIDE, 3), np.uint8),
    }


@carrying_failures(_no_photo)
def face_input(tensors: Tensors) -> Tensors:
    """Letterbox the photo for each detector.

    `image` BYTES [1] → `short` uint8 1×128×128×3 and `full` uint8 1×192×192×3, both RGB, `context` BYTES [1] JSON.
    """
    encoded = EncodedPhoto.read(tensors["image"])
    photo, size = encoded.reduced(max(encoded.info.size), FACE_DECODED_SIDE), encoded.info.size
    return {
        "short": letterbox(photo, size, SHORT_SIDE)[np.newaxis],
        "full": letterbox(photo, size, FULL_SIDE)[np.newaxis],
        "context": json_tensor({}),
    }


NO_FACE = (
    "no_face",
    "no face was found in the photo; one must show both eyes, upright, and span a twentieth of the photo or more",
)
SEVERAL_FACES = ("several_faces", "there are {count} faces; send a photo of one, or ask for face=largest or all")
"""Codes and details of failures."""


def found_faces(tensors: Tensors) -> list[Face]:
    """Faces of the regions in which the model is sure of one. Each comes from the first such region, largest first.

    `context` BYTES [1] JSON of `face_crop`, `landmarks` float32 F×1404, `presence` float32 F×1 logits. Raises
    InputError: `no_face`, or what an earlier step handed on.
    """
    context = json_object(tensors["context"])
    require_success(context)
    outputs = [cast("Float32", tensors[name]) for name in ("landmarks", "presence")]
    decoded = (decode_face(*face) for face in zip(*outputs, regions_of(context), strict=True))
    faces = distinct([face for face in decoded if face is not None])
    if not faces:
        raise InputError(*NO_FACE)
    return faces


MOST_CROPS = 16
"""Crops of one request: what one run of the landmark model accepts."""


def _no_crops(_: Tensors) -> Tensors:
    return {"crops": np.zeros((1, MESH_SIDE, MESH_SIDE, 3), np.uint8)}


@carrying_failures(_no_crops)
def face_crop(tensors: Tensors) -> Tensors:
    """Cut out the regions of interest. Those of the short range come first, because `found_faces` prefers them.

    `image` BYTES [1], `short_boxes` float32 1×896×16, `short_scores` float32 1×896×1, `full_boxes` float32 1×2304×16,
    `full_scores` float32 1×2304×1 → `crops` uint8 F×192×192×3 RGB, 1 ≤ F ≤ 16, `context` BYTES [1] JSON with the
    regions. Neither detector is enough alone: only the short range finds faces that fill the photo, only the full range
    finds small ones. A face that both find is cut out twice, because a face in profile may be recognised only in the
    second frame.
    """
    encoded = EncodedPhoto.read(tensors["image"])
    size = encoded.info.size
    near = decode_short_range(tensors["short_boxes"][0], tensors["short_scores"][0], size)
    far = decode_full_range(tensors["full_boxes"][0], tensors["full_scores"][0], size)
    regions = _largest([roi_of(detection) for detection in (*near, *far)])
    if not regions:
        raise InputError(*NO_FACE)
    photo = encoded.reduced(min(region.side for region in regions), MESH_DECODED_SIDE)
    crops = np.stack([crop(photo, region, MESH_SIDE) for region in regions])
    return {"crops": crops, "context": json_tensor(regions_context(regions))}


def _largest(regions: Sequence[Roi]) -> list[Roi]:
    """At most MOST_CROPS regions, in their order."""
    ranked = sorted(range(len(regions)), key=lambda index: -regions[index].side)
    return [regions[index] for index in sorted(ranked[:MOST_CROPS])]


@dataclass(frozen=True)
class FaceContourParameters:
    """What one request asks for. The defaults apply to what a request does not set.

    `landmarks` and `segmentation_map` are what the callers sent, in any of the forms that `vision.face` reads.
    """

    landmarks: bytes = b""
    segmentation_map: bytes = b""
    face: str = "largest"
    embed_image: bool = False
    include: tuple[str, ...] = ()
    options: ContourOptions = field(default_factory=ContourOptions)

    @classmethod
    def from_json(cls, value: JsonObject) -> "FaceContourParameters":
        """Read the pipeline's JSON. Unknown keys are ignored.

        Raises FaceError (options_invalid, segmentation_unsupported), ValueError for an unknown frame.
        """
        return cls(
            landmarks=cast("str", value.get("landmarks", "")).encode(),
            segmentation_map=_segmentation(cast("str", value.get("segmentation_map", ""))),
            face=cast("str", value.get("face", cls.face)),
            embed_image=cast("bool", value.get("embed_image", cls.embed_image)),
            include=tuple(cast("list[str]", value.get("include", []))),
            options=_options(value),
        )


def _segmentation(text: str) -> bytes:
    """An object as it is, anything else decoded from base64."""
    if text.lstrip().startswith("{"):
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise FaceError("segmentation_unsupported", "the segmentation is neither an object nor base64") from None


def _options(value: JsonObject) -> ContourOptions:
    default = ContourOptions()
    return ContourOptions(
        regions=tuple(cast("list[str]", value.get("regions", []))),
        frame=ContourFrame(cast("str", value.get("frame", default.frame.value))),
        show_labels=cast("bool", value.get("show_labels", default.show_labels)),
        show_landmarks=cast("bool", value.get("show_landmarks", default.show_landmarks)),
        region_opacity=cast("float", value.get("region_opacity", default.region_opacity)),
        stroke_width=cast("float", value.get("stroke_width", default.stroke_width)),
        colors=cast("dict[str, str]", value.get("colors", {})),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """One face: N×2 in source pixels, and the model's score, or None if the caller gave the landmarks."""

    points: Float64
    score: float | None = None

    @property
    def box(self) -> Box:
        """The box around them."""
        (x1, y1), (x2, y2) = self.points.min(axis=0).tolist(), self.points.max(axis=0).tolist()
        return x1, y1, x2, y2


@dataclass(frozen=True, slots=True, eq=False)
class DrawnFace:
    """One face, its drawing, and how it was drawn."""

    landmarks: Landmarks
    contours: FaceContours
    options: ContourOptions
    size: Size

    def files(self) -> Iterator[tuple[str, bytes]]:
        """The artifacts."""
        yield "contours.svg", self.contours.svg.encode()
        yield "contours.json", _dumped(self._document())

    def description(self, index: int) -> JsonObject:
        """The face in the result."""
        return {
            "index": index,
            "box": _rounded(np.array(self.landmarks.box)),
            "score": None if self.landmarks.score is None else round(self.landmarks.score, 4),
            "landmarks": len(self.landmarks.points),
            **self._place(),
            "regions": [{"number": region.number, "name": region.name} for region in self.contours.regions],
        }

    def _document(self) -> JsonObject:
        colors = self.options.colors
        regions: list[JsonObject] = [
            {"number": region.number, "name": region.name, "color": color_of(region.number, region.name, colors)}
            for region in self.contours.regions
        ]
        frame = self.options.frame
        size = self.size if frame is ContourFrame.SOURCE else self.contours.crop.size
        return {
            "frame": frame.value,
            "size": _size(size),
            **self._place(),
            "regions": regions,
            "mask_contours": self.contours.mask_contours,
        }

    def _place(self) -> JsonObject:
        """The place of the levelled crop in the photo."""
        crop = self.contours.crop
        return {
            "rotation": round(crop.rotation, 3),
            "transform": np.round(crop.from_source, 8).tolist(),
            "crop": _size(crop.size),
        }


def face_contours_draw(tensors: Tensors) -> Tensors:
    """Draw the faces whose landmarks the parameters hold or, without landmarks, the faces that were found.

    `image`, `parameters` BYTES [1], and where faces were searched `context` BYTES [1], `landmarks` float32 F×1404,
    `presence` float32 F×1, and in the full profile `labels` of `face_parse` → `result` BYTES [1] JSON,
    `artifact_names` and `artifacts` BYTES [K].
    """
    try:
        parameters = FaceContourParameters.from_json(json_object(tensors["parameters"]))
        photo = EncodedPhoto.read(tensors["image"])
        faces = asked_for(_faces(tensors, parameters, photo.info.size), parameters.face, SEVERAL_FACES)
        drawn = _drawn(faces, photo, parameters, _segmentations(faces, parameters, tensors))
    except (InputError, FaceError) as failure:
        return refused(failure.code, failure.detail)
    described = [face.description(index) for index, face in enumerate(drawn)]
    return completed({"photo": _size(photo.info.size), "faces": described}, dict(_artifacts(drawn, parameters)))


def _faces(tensors: Tensors, parameters: FaceContourParameters, size: Size) -> list[Landmarks]:
    """The largest first."""
    if not parameters.landmarks and "context" in tensors:
        return [Landmarks(face.landmarks[:, :2], face.score) for face in found_faces(tensors)]
    given = [Landmarks(points) for points in parse_landmarks(parameters.landmarks).in_photo(size)]
    return sorted(given, key=lambda face: -area(face.box))


def _segmentations(
    faces: Sequence[Landmarks], parameters: FaceContourParameters, tensors: Tensors
) -> Sequence["Segmentation | ParsedLabels"]:
    """What shows the regions of each face: the caller's segmentation, else a face parser's labels, else nothing."""
    if parameters.segmentation_map or "labels" not in tensors:
        return [parse_segmentation(parameters.segmentation_map)] * len(faces)
    labels = cast("NDArray[np.uint8]", tensors["labels"])
    return [contour_labels(each, parser_roi(face.points, MESH)) for face, each in zip(faces, labels, strict=True)]


def _drawn(
    faces: Sequence[Landmarks],
    photo: EncodedPhoto,
    parameters: FaceContourParameters,
    segmentations: Sequence["Segmentation | ParsedLabels"],
) -> list[DrawnFace]:
    """Only the largest face embeds the photo: it may be large, and there may be many faces."""
    size, options = photo.info.size, parameters.options
    embedded = [photo.full() if parameters.embed_image else None, *[None] * len(faces)]
    return [
        DrawnFace(face, face_contours(size, face.points, segmentation, options, picture), options, size)
        for face, segmentation, picture in zip(faces, segmentations, embedded, strict=False)
    ]


def _artifacts(faces: Sequence[DrawnFace], parameters: FaceContourParameters) -> Iterator[tuple[str, bytes]]:
    yield from faces[0].files()
    if "landmarks" in parameters.include:
        yield "landmarks.json", _dumped(_landmarks(faces))
    if parameters.face == "all":
        for index, face in enumerate(faces):
            for name, data in face.files():
                yield f"face_{index}/{name}", data


def _landmarks(faces: Sequence[DrawnFace]) -> JsonObject:
    """A form that `parse_landmarks` reads."""
    points = [[{"x": x, "y": y} for x, y in np.round(face.landmarks.points, 3).tolist()] for face in faces]
    return {"landmarks": points, "dimensions": faces[0].size}


def _size(size: Size) -> JsonObject:
    return {"width": size[0], "height": size[1]}


def _rounded(values: Float64) -> Json:
    return [round(float(value), 2) for value in values]


def _dumped(value: JsonObject) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
