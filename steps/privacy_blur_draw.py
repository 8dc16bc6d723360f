"""Last step of `privacy_blur`: what was found is hidden, and the photo written back."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from steps.answers import completed, refused
from steps.detect_classes import labels_of
from steps.detect_find import Finders, Findings, FoundObject
from steps.failure import InputError
from steps.photo import EncodedPhoto
from steps.privacy_blur_parameters import PrivacyBlurParameters
from steps.tensors import JsonObject, Step, Tensors, json_object
from vision.arrays import Box, Size
from vision.hiding.hide import hide
from vision.hiding.options import Hiding
from vision.hiding.region import Region
from vision.nms import area
from vision.photo import Photo, PhotoError

SUFFIXES = {"jpeg": "jpg", "png": "png", "webp": "webp"}
KEPT_SHARE = 0.5
"""An object is kept where a box of `keep` covers this share of it: callers draw their boxes by hand."""


@dataclass(frozen=True)
class Treated:
    """An object, and how it was hidden; None where it was not."""

    found: FoundObject
    hiding: Hiding | None
    kept: bool

    def description(self, index: int, size: Size) -> JsonObject:
        """The object in the result: what was done to it, and to which pixels."""
        described = {"index": index, **self.found.description()}
        if self.hiding is None:
            return {**described, "action": "kept" if self.kept else "none"}
        window = Region.about(self.found.box, self.hiding).window(size)
        return {
            **described,
            "action": "hidden",
            "style": self.hiding.style.value,
            "shape": self.hiding.shape.value,
            "region": [window.x1, window.y1, window.x2, window.y2],
        }


def privacy_blur_draw(finders: Finders) -> Step:
    """The step for these finders; detectors that were not run give no `{role}_rows`, and without any no `context`.

    `image`, `parameters`, `context` BYTES [1], `{role}_rows` float32 1×K×6, `photo` uint8 H×W×3 where the first step
    is in the same process; it is painted on → `result` BYTES [1] JSON, `artifact_names` and `artifacts` BYTES [K].
    """

    def step(tensors: Tensors) -> Tensors:
        try:
            parameters = PrivacyBlurParameters.from_json(json_object(tensors["parameters"]))
            findings = finders.findings(tensors)
            encoded = EncodedPhoto.read(tensors["image"])
            photo = encoded.own(tensors.get("photo"))
            treated = _treated(findings, lambda: encoded.srgb(photo), encoded.info.size, parameters)
            hide(photo.pixels, [(one.found.box, one.hiding) for one in treated if one.hiding], parameters.keep)
            written = encoded.rewritten(photo.pixels, parameters.form)
        except (InputError, PhotoError) as failure:
            return refused(failure.code, failure.detail)
        result = _result(encoded, treated, parameters)
        return completed(result, dict(_artifacts(encoded, written, result, parameters)))

    return step


def _treated(
    findings: Findings, photo: Callable[[], Photo], size: Size, parameters: PrivacyBlurParameters
) -> list[Treated]:
    labels = labels_of(parameters.hide, findings.labels)
    found = findings.objects(photo, size, labels, parameters.thresholds)
    wanted = [one.label in labels for one in found] + [True] * len(parameters.objects)
    both = zip((*found, *parameters.objects), wanted, strict=True)
    return [_treatment(one, parameters, wanted=hides) for one, hides in both]


def _treatment(found: FoundObject, parameters: PrivacyBlurParameters, *, wanted: bool) -> Treated:
    kept = any(_covers(box, found.box) for box in parameters.keep)
    return Treated(found, parameters.hiding(found.label) if wanted and not kept else None, kept)


def _covers(box: Box, found: Box) -> bool:
    """Whether a box covers KEPT_SHARE of what was found."""
    common = (max(box[0], found[0]), max(box[1], found[1]), min(box[2], found[2]), min(box[3], found[3]))
    meets = common[0] < common[2] and common[1] < common[3]
    return meets and area(common) >= KEPT_SHARE * area(found)


def _result(encoded: EncodedPhoto, treated: Sequence[Treated], parameters: PrivacyBlurParameters) -> JsonObject:
    size = encoded.info.size
    return {
        "photo": {"width": size[0], "height": size[1]},
        "detections": [one.description(index, size) for index, one in enumerate(treated)],
        "blur": {
            "hide": parameters.hide,
            "style": parameters.style.value,
            "strength": parameters.strength,
            "hidden": sum(one.hiding is not None for one in treated),
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
        document = {"photo": result["photo"], name: result[name]}
        yield f"{name}.json", json.dumps(document, separators=(",", ":")).encode()
