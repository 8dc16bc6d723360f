"""Last step of `privacy_blur`: what was found is hidden, and the photo written back."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from steps.answers import completed, refused
from steps.detect_classes import labels_of
from steps.detect_find import Findings, FoundObject
from steps.failure import InputError
from steps.photo import EncodedPhoto
from steps.privacy_blur_parameters import PrivacyBlurParameters
from steps.tensors import JsonObject, Tensors, json_object
from vision.arrays import Box, Size
from vision.hiding.hide import hide
from vision.hiding.options import Target
from vision.hiding.region import Region
from vision.nms import area
from vision.photo import PhotoError

SUFFIXES = {"jpeg": "jpg", "png": "png", "webp": "webp"}
KEPT_SHARE = 0.5
"""An object is kept where a box of `keep` covers this share of it: callers draw their boxes by hand."""


@dataclass(frozen=True)
class Treated:
    """An object, and what of the photo was hidden for it; None where it was not."""

    found: FoundObject
    target: Target | None
    kept: bool

    def description(self, index: int, size: Size) -> JsonObject:
        """The object in the result: what was done to it, and to which pixels."""
        described = {"index": index, **self.found.description()}
        if self.target is None:
            return {**described, "action": "kept" if self.kept else "none"}
        region = Region.about(self.target)
        window = region.window(size)
        return {
            **described,
            "action": "hidden",
            "style": self.target.hiding.style.value,
            "shape": region.shape.value,
            "region": [window.x1, window.y1, window.x2, window.y2],
        }


def privacy_blur_draw(tensors: Tensors) -> Tensors:
    """Hide what the first step found.

    `image`, `parameters`, `context` BYTES [1], `photo` uint8 H×W×3 where the first step is in the same process; it is
    painted on → `result` BYTES [1] JSON, `artifact_names` and `artifacts` BYTES [K].
    """
    try:
        parameters = PrivacyBlurParameters.from_json(json_object(tensors["parameters"]))
        findings = Findings.of(tensors)
        encoded = EncodedPhoto.read(tensors["image"])
        pixels = encoded.own(tensors.get("photo")).pixels
        treated = _treated(findings, parameters)
        hide(pixels, [one.target for one in treated if one.target], parameters.keep)
        written = encoded.rewritten(pixels, parameters.form)
    except (InputError, PhotoError) as failure:
        return refused(failure.code, failure.detail)
    result = _result(encoded, findings, treated, parameters)
    return completed(result, dict(_artifacts(encoded, written, result, parameters)))


def _treated(findings: Findings, parameters: PrivacyBlurParameters) -> list[Treated]:
    labels = labels_of(parameters.hide, findings.known)
    wanted = [one.label in labels for one in findings.objects] + [True] * len(parameters.objects)
    both = zip((*findings.objects, *parameters.objects), wanted, strict=True)
    return [_treatment(one, parameters, wanted=hides) for one, hides in both]


def _treatment(found: FoundObject, parameters: PrivacyBlurParameters, *, wanted: bool) -> Treated:
    kept = any(_covers(box, found.box) for box in parameters.keep)
    target = Target(found.box, parameters.hiding(found.label), found.corners) if wanted and not kept else None
    return Treated(found, target, kept)


def _covers(box: Box, found: Box) -> bool:
    """Whether a box covers KEPT_SHARE of what was found."""
    common = (max(box[0], found[0]), max(box[1], found[1]), min(box[2], found[2]), min(box[3], found[3]))
    meets = common[0] < common[2] and common[1] < common[3]
    return meets and area(common) >= KEPT_SHARE * area(found)


def _result(
    encoded: EncodedPhoto, findings: Findings, treated: Sequence[Treated], parameters: PrivacyBlurParameters
) -> JsonObject:
    size = encoded.info.size
    return {
        "photo": {"width": size[0], "height": size[1]},
        "looked": findings.looked,
        "detections": [one.description(index, size) for index, one in enumerate(treated)],
        "blur": {
            "hide": parameters.hide,
            "style": parameters.style.value,
            "strength": parameters.strength,
            "hidden": sum(one.target is not None for one in treated),
            "kept": sum(one.kept for one in treated),
            "keep": parameters.keep,
            "format": parameters.form.format_for(encoded.info),
            "metadata": sorted(parameters.form.metadata),
        },
    }


def _artifacts(
    encoded: EncodedPhoto, written: bytes, result: JsonObject, parameters: PrivacyBlurParameters
) -> Iterator[tuple[str, bytes]]:
    yield f"blurred.{SUFFIXES[parameters.form.format_for(encoded.info)]}", written
    for name in parameters.include:
        document = {"photo": result["photo"], "looked": result["looked"], name: result[name]}
        yield f"{name}.json", json.dumps(document, separators=(",", ":")).encode()
