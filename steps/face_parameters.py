"""The parameters of the `face_contours` pipeline, as the gateway has checked them."""

import base64
from dataclasses import dataclass, field
from typing import cast

from steps.tensors import JsonObject
from vision.face.errors import FaceError
from vision.face.options import ContourFrame, ContourOptions


@dataclass(frozen=True)
class FaceContourParameters:
    """What one request asks for; the defaults are those of a request that names nothing.

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
        """Read the pipeline's JSON; unknown keys are left alone.

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
    """An object as it is, anything else from base64."""
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
