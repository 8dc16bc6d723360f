"""What a pipeline is, and which there are: each is one entry here, or one that an installed package brings."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from gateway.errors import Problem
from gateway.pipelines.outputs import FACES_FOUND, OBJECTS_FOUND, OBJECTS_HIDDEN, PERSONS_FOUND, PhotoSize
from gateway.pipelines.parameters import (
    BodyMasksParameters,
    DetectParameters,
    FaceContoursParameters,
    PrivacyBlurParameters,
)
from gateway.pipelines.validation import validated
from gateway.settings import Settings, SettingsError
from gateway.settings.fields import shown

ENTRY_POINTS = "maskwright.pipelines"
"""The group of entry points at which installed packages name their pipelines."""

Profile = Literal["lite", "full"]


@dataclass(frozen=True)
class Variant:
    """A model that serves, in place of the pipeline's own, the requests whose checked parameters fit it."""

    model: str
    fits: Callable[[Mapping[str, object]], bool]


@dataclass(frozen=True)
class Pipeline:
    """Triton models and the requests they serve.

    Of the `variants` the first that fits serves a request, where none does `full`, if Triton has it, else `model`:
    `full` runs the user's own checkpoints, `model` what `profile` says. `artifacts` maps the artifacts'
    names, or patterns of them, to what they hold; `example_artifact` names one where the first is a pattern. `example`
    is a result. `refusals` are the codes of problems that only this pipeline, or few, have. `defaults` are
    parameter values that a request's own replace; `settings_defaults` gives those of them that are settings. `folder`
    is where an installed package has its `ensembles` and `model_repository`; ours are in the checkout.
    """

    name: str
    summary: str
    model: str
    profile: Profile
    inputs: tuple[str, ...]
    parameters: type[BaseModel]
    artifacts: Mapping[str, str]
    refusals: tuple[str, ...] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    settings_defaults: Callable[[Settings], Mapping[str, object]] = lambda _settings: {}
    variants: tuple[Variant, ...] = ()
    full: str = ""
    example: Mapping[str, object] = field(default_factory=lambda: {"photo": PhotoSize.example()})
    example_artifact: str = ""
    folder: Path | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that a request may need."""
        return (*([self.full] if self.full else []), self.model, *(variant.model for variant in self.variants))

    def model_for(self, parameters: bytes, served: Collection[str] = ()) -> str:
        """The model for checked parameters, a JSON object, where Triton serves the models `served`."""
        usual = self.usual(served)
        if not self.variants:
            return usual
        given = json.loads(parameters)
        return next((variant.model for variant in self.variants if variant.fits(given)), usual)

    def usual(self, served: Collection[str]) -> str:
        """The model of requests that no variant fits."""
        return self.full if self.full in served else self.model

    def profile_of(self, model: str) -> Profile:
        """The profile that one of the models belongs to."""
        return "full" if model == self.full else self.profile


_COPY = "the photo with everything hidden that was asked for"
PIPELINES: tuple[Pipeline, ...] = (
    Pipeline(
        name="body_masks",
        summary="Masks of a person's garments and body parts, one PNG for each mask type.",
        model="body_masks_lite",
        profile="lite",
        inputs=("image",),
        parameters=BodyMasksParameters,
        full="body_masks_full",
        artifacts={
            "{mask_type}_mask.png": "8-bit mask, 255 inside and 0 outside",
            "label_map.png": "ATR labels, one a pixel (include=label_map)",
            "keypoints.json": "COCO-18 keypoints in source pixels (include=keypoints)",
            "overlay.jpg": "the photo with the masks drawn over it (include=overlay)",
            "person_{n}/…": "the same for each person (person=all)",
        },
        refusals=("no_person", "several_persons"),
        settings_defaults=lambda settings: {"mask_types": settings.mask_types_default},
        example=PERSONS_FOUND,
        example_artifact="upper_body_mask.png",
    ),
    Pipeline(
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
        refusals=(
            *("no_face", "several_faces"),
            *("landmarks_unreadable", "landmarks_count", "landmarks_outside", "landmarks_degenerate"),
            *("segmentation_unsupported", "label_map_lossy"),
            *("label_map_unreadable", "label_map_corrupt", "label_map_empty"),
            *("regions_invalid", "region_unknown", "options_invalid"),
        ),
        full="face_contours_full",
        variants=(Variant("face_contours_given", lambda parameters: bool(parameters.get("landmarks"))),),
        example=FACES_FOUND,
    ),
    Pipeline(
        name="privacy_blur",
        summary="A copy of the photo in which faces, number plates, people or vehicles are hidden for good.",
        model="privacy_blur_lite",
        profile="lite",
        inputs=("image",),
        parameters=PrivacyBlurParameters,
        artifacts={
            "blurred.jpg": f"{_COPY}, where it is a JPEG",
            "blurred.png": f"{_COPY}, where it is a PNG",
            "blurred.webp": f"{_COPY}, where it is a WebP",
            "blur.json": "what was asked for and how much was hidden (include=blur)",
            "detections.json": "every object, its box and what was done to it (include=detections)",
        },
        refusals=("class_unknown",),
        example=OBJECTS_HIDDEN,
    ),
    Pipeline(
        name="detect",
        summary="Faces, number plates and objects of COCO's 80 classes, with boxes and scores.",
        model="detect_lite",
        profile="lite",
        inputs=("image",),
        parameters=DetectParameters,
        artifacts={"detections.json": "every object: class, score, box, model"},
        refusals=("class_unknown",),
        example=OBJECTS_FOUND,
    ),
)
"""Those of Maskwright itself."""


def parameters_json(pipeline: Pipeline, fields: Mapping[str, object], beside: Iterable[str] = ("image",)) -> bytes:
    """Validated parameters as the JSON object that the Triton model takes.

    `beside` are the names of what else the request may hold. Raises Problem `invalid_parameters`.
    """
    return validated(pipeline.parameters, fields, pipeline.defaults, beside).model_dump_json().encode()


def known_pipelines() -> Mapping[str, Pipeline]:
    """Our own pipelines by name, then those that installed packages bring under other names."""
    own = {entry.name: entry for entry in PIPELINES}
    installed: list[Pipeline] = [point.load() for point in entry_points(group=ENTRY_POINTS)]
    return own | {entry.name: entry for entry in installed if entry.name not in own}


def build_registry(settings: Settings) -> Mapping[str, Pipeline]:
    """The pipelines to offer by name, those that PIPELINES names, with the models that the profile leaves them.

    Raises SettingsError where PIPELINES names an unknown one, or the profile leaves none.
    """
    offered = [_in_profile(entry, settings.profile) for entry in _chosen(settings)]
    if settings.profile == "lite":
        offered = [entry for entry in offered if entry.profile == "lite"]
    if not offered:
        raise SettingsError(f"PROFILE={settings.profile}: no pipeline has such models; use auto")
    return {entry.name: _with_settings(entry, settings) for entry in offered}


def _in_profile(entry: Pipeline, profile: str) -> Pipeline:
    """The entry with `auto`'s choice made. A pipeline without full models runs the same ones in every profile."""
    if profile == "full" and entry.full:
        return replace(entry, model=entry.full, profile="full", full="")
    return replace(entry, full="") if profile == "lite" else entry


def unknown_pipeline(registry: Mapping[str, Pipeline], name: str) -> Problem:
    """The problem of a name that no pipeline has."""
    return Problem("pipeline_not_found", f"No pipeline {name[:60]!r}; there are: {', '.join(registry)}.")


def _chosen(settings: Settings) -> Iterable[Pipeline]:
    known = known_pipelines()
    if unknown := [name for name in settings.pipelines if name not in known]:
        accepted = ", ".join(map(repr, known))
        raise SettingsError(
            f"PIPELINES={shown(','.join(settings.pipelines))}: no {shown(unknown[0])!r}; use {accepted}"
        )
    return [entry for name, entry in known.items() if name in (settings.pipelines or known)]


def _with_settings(entry: Pipeline, settings: Settings) -> Pipeline:
    return replace(entry, defaults={**entry.defaults, **entry.settings_defaults(settings)})
