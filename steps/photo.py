"""The photo of a request."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from steps.failure import InputError
from steps.tensors import Tensor, first_bytes
from vision.arrays import RGB
from vision.photo import Photo, PhotoError, PhotoInfo, Reduction, decode, inspect, reduction_for
from vision.rewrite import Form, rewrite


@dataclass(frozen=True)
class EncodedPhoto:
    """A photo as received, and what its header says."""

    data: bytes
    info: PhotoInfo

    @classmethod
    def read(cls, image: Tensor) -> "EncodedPhoto":
        """Inspect the `image` tensor, BYTES [1]. Raises InputError."""
        data = first_bytes(image)
        try:
            return cls(data, inspect(data))
        except PhotoError as error:
            raise InputError(error.code, error.detail) from error

    def reduced(self, extent: float, side: int) -> Photo:
        """Decode so that `extent` source pixels keep `side` pixels where they have them. Raises InputError."""
        return self._decode(reduction_for(self.info, extent, side))

    def full(self, decoded: Tensor | None = None) -> Photo:
        """Every pixel: those that an earlier step `decoded`, uint8 H×W×3, where it hands them on. Raises InputError."""
        return self._decode(1) if decoded is None else Photo(cast("RGB", decoded), np.eye(2, 3))

    def rewritten(self, pixels: RGB, form: Form) -> bytes:
        """Encode changed pixels of the whole photo, in the form asked for. Raises InputError."""
        try:
            return rewrite(self.data, self.info, pixels, form)
        except PhotoError as error:
            raise InputError(error.code, error.detail) from error

    def _decode(self, reduction: Reduction) -> Photo:
        try:
            return decode(self.data, self.info, reduction=reduction)
        except PhotoError as error:
            raise InputError(error.code, error.detail) from error
