"""The registry: every pipeline, chosen by profile."""

from collections.abc import Mapping

from gateway.errors import Problem
from gateway.pipelines import body_masks, detect, face_contours, privacy_blur
from gateway.pipelines.body_masks import BodyMasksParameters
from gateway.pipelines.face_contours import FaceContoursParameters
from gateway.pipelines.pipeline import Pipeline, Variant
from gateway.settings import Settings, SettingsError


def build_registry(settings: Settings) -> Mapping[str, Pipeline]:
    """The pipelines to offer by name, for the profile asked for; `auto` takes full where there is one.

    Raises SettingsError where the profile has no pipeline at all.
    """
    ranks = {"auto": ("lite", "full"), "lite": ("lite",), "full": ("full",)}[settings.profile]
    offered = (entry for entry in _entries(settings) if entry.name in settings.pipelines)
    entries = sorted((entry for entry in offered if entry.profile in ranks), key=_rank)
    if not entries:
        raise SettingsError(f"PROFILE={settings.profile}: no pipeline has such models; use auto or lite")
    return {entry.name: entry for entry in entries}


def unknown_pipeline(registry: Mapping[str, Pipeline], name: str) -> Problem:
    """The problem of a name that no pipeline has."""
    return Problem("pipeline_not_found", f"No pipeline {name[:60]!r}; there are: {', '.join(registry)}.")


def _rank(entry: Pipeline) -> int:
    return ("lite", "full").index(entry.profile)


def _entries(settings: Settings) -> tuple[Pipeline, ...]:
    return _body_masks(settings), _face_contours(), _privacy_blur(), _detect()


def _body_masks(settings: Settings) -> Pipeline:
    return Pipeline(
        name="body_masks",
        summary="Masks of a person's garments and body parts, one PNG for each mask type.",
        model="body_masks_lite",
        profile="lite",
        inputs=("image",),
        parameters=BodyMasksParameters,
        artifacts={
            "{mask_type}_mask.png": "8-bit mask, 255 inside and 0 outside",
            "label_map.png": "ATR labels, one a pixel (include=label_map)",
            "keypoints.json": "COCO-18 keypoints in source pixels (include=keypoints)",
            "overlay.jpg": "the photo with the masks drawn over it (include=overlay)",
            "person_{n}/…": "the same for each person (person=all)",
        },
        refusals=body_masks.REFUSALS,
        defaults={"mask_types": settings.mask_types_default},
    )


def _face_contours() -> Pipeline:
    return Pipeline(
        name="face_contours",
        summary="Contours of a face's regions, as SVG and as points, from landmarks or from the photo alone.",
        model="face_contours_lite",
        profile="lite",
        inputs=("image", "landmarks", "segmentation_map"),
        parameters=FaceContoursParameters,
        artifacts={
            "contours.svg": "a group with a smooth closed path for each region",
            "contours.json": "rings of points by region, names and colours, the transform from photo to crop",
            "landmarks.json": "the landmarks in source pixels (include=landmarks)",
            "face_{n}/…": "the contours of each face (face=all)",
        },
        refusals=face_contours.REFUSALS,
        variants=(Variant("face_contours_given", lambda parameters: bool(parameters.get("landmarks"))),),
    )


def _privacy_blur() -> Pipeline:
    copy = "the photo with everything hidden that was asked for"
    return Pipeline(
        name="privacy_blur",
        summary="A copy of the photo in which faces, number plates, people or vehicles are hidden for good.",
        model="privacy_blur_lite",
        profile="lite",
        inputs=("image",),
        parameters=privacy_blur.PrivacyBlurParameters,
        artifacts={
            "blurred.jpg": f"{copy}, where it is a JPEG",
            "blurred.png": f"{copy}, where it is a PNG",
            "blurred.webp": f"{copy}, where it is a WebP",
            "blur.json": "what was asked for and how much was hidden (include=blur)",
            "detections.json": "every object, its box and what was done to it (include=detections)",
        },
        refusals=detect.REFUSALS,
    )


def _detect() -> Pipeline:
    return Pipeline(
        name="detect",
        summary="Faces, number plates and objects of COCO's 80 classes, with boxes and scores.",
        model="detect_lite",
        profile="lite",
        inputs=("image",),
        parameters=detect.DetectParameters,
        artifacts={"detections.json": "every object: class, score, box, model"},
        refusals=detect.REFUSALS,
    )
