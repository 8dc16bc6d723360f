"""The photo of a request, and regions of interest in it, as steps pass them on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypedDict, cast

import numpy as np

from steps.tensors import InputError, JsonObject, Tensor, first_bytes
from vision.arrays import RGB
from vision.color import to_srgb
from vision.encoding import Form, rewrite
from vision.photo import Photo, PhotoError, PhotoInfo, Reduction, decode, decode_own, inspect, reduction_for
from vision.ssd import Roi


@dataclass(frozen=True)
class EncodedPhoto:
    """A photo as received, and what its header says."""

    data: bytes
    info: PhotoInfo

    @classmethod
    def read(cls, image: Tensor) -> "EncodedPhoto":
        """Inspect the `image` tensor, BYTES [1]. The gateway has already counted its pixels. Raises InputError."""
        data = first_bytes(image)
        try:
            return cls(data, inspect(data, max_pixels=None))
        except PhotoError as error:
            raise InputError(error.code, error.detail) from error

    def reduced(self, extent: float, side: int) -> Photo:
        """Decode so that `extent` source pixels keep `side` pixels if they have them. Raises InputError."""
        return self._decode(reduction_for(self.info, extent, side))

    def full(self) -> Photo:
        """Decode every pixel. Raises InputError."""
        return self._decode(1)

    def own(self, decoded: Tensor | None = None) -> Photo:
        """Decode every pixel in the photo's own colours, as a copy keeps them. Raises InputError.

        If an earlier step hands on such pixels, `decoded` uint8 H×W×3, they are used.
        """
        if decoded is not None:
            return Photo(cast("RGB", decoded), np.eye(2, 3))
        if not self.info.profile:
            return self.full()
        try:
            return decode_own(self.data, self.info)
        except PhotoError as error:
            raise InputError(error.code, error.detail) from error

    def srgb(self, own: Photo) -> Photo:
        """Convert what `own` returned to sRGB, which models expect."""
        return Photo(to_srgb(own.pixels.copy(), self.info.profile), own.from_source) if self.info.profile else own

    def rewritten(self, pixels: RGB, form: Form) -> bytes:
        """Encode what `own` returned, with changed pixels, in the requested form. Raises InputError."""
        try:
            return rewrite(self.data, self.info, pixels, form)
        except PhotoError as error:
            raise InputError(error.code, error.detail) from error

    def _decode(self, reduction: Reduction) -> Photo:
        try:
            return decode(self.data, self.info, reduction=reduction)
        except PhotoError as error:
            raise InputError(error.code, error.detail) from error


class _Region(TypedDict):
    center: tuple[float, float]
    side: float
    rotation: float


def regions_context(regions: Sequence[Roi]) -> JsonObject:
    """The context of a step that cut out these regions."""
    return {"regions": [asdict(region) for region in regions]}


def regions_of(context: JsonObject) -> list[Roi]:
    """The regions that `regions_context` wrote."""
    return [_roi(region) for region in cast("list[_Region]", context["regions"])]


def _roi(region: _Region) -> Roi:
    x, y = region["center"]
    return Roi((x, y), region["side"], region["rotation"])
