"""Which models, and what a request that says nothing gets."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.pipelines.body_masks import MASK_TYPES, MaskType
from gateway.settings.fields import CommaSeparated, SettingsGroup
from gateway.text import not_empty, without_repeats

PipelineName = Literal["body_masks", "face_contours", "privacy_blur", "detect"]
PIPELINES: tuple[PipelineName, ...] = ("body_masks", "face_contours", "privacy_blur", "detect")


class PipelineSettings(SettingsGroup):
    """Which pipelines there are, and their defaults."""

    pipelines: Annotated[
        CommaSeparated[tuple[PipelineName, ...]], AfterValidator(without_repeats), AfterValidator(not_empty)
    ] = Field(
        PIPELINES,
        description="Pipelines to offer, comma-separated; the embedded Triton loads no others, and without body_masks "
        "no messages are read.",
    )
    mask_types_default: Annotated[
        CommaSeparated[tuple[MaskType, ...]], AfterValidator(without_repeats), AfterValidator(not_empty)
    ] = Field(MASK_TYPES, description="Mask types of a request that names none, comma-separated.")
    profile: Literal["auto", "lite", "full"] = Field(
        "auto", description="Models to use: lite, full (your own checkpoints), or auto: full where ready, else lite."
    )
