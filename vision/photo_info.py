"""What is known of a photo before it is decoded, and why a photo is refused."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from vision.arrays import Size

TRANSPOSED = frozenset({5, 6, 7, 8})
"""EXIF orientations at which stored rows are displayed as columns."""

PhotoFormat: TypeAlias = Literal["jpeg", "png", "webp", "heic", "avif", "tiff", "gif", "bmp"]
WrittenFormat: TypeAlias = Literal["jpeg", "png", "webp"]
PhotoErrorCode: TypeAlias = Literal[
    "image_empty",
    "image_unsupported",
    "image_animated",
    "image_truncated",
    "image_corrupt",
    "image_too_large",
    "image_too_small",
]


class PhotoError(ValueError):
    """A photo that is refused. `code` is stable, `detail` says what is wrong and what would be right."""

    def __init__(self, code: PhotoErrorCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class PhotoInfo:
    """An accepted photo: its size as displayed, after its EXIF orientation (1–8) is applied.

    `profile` is an ICC profile with only colour tags that describes its pixels as stored. It is empty for sRGB.
    """

    format: PhotoFormat
    width: int
    height: int
    orientation: int = 1
    profile: bytes = b""

    @property
    def size(self) -> Size:
        """(width, height) as displayed."""
        return self.width, self.height

    @property
    def transposed(self) -> bool:
        """Whether stored rows are displayed as columns."""
        return self.orientation in TRANSPOSED
