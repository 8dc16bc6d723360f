"""A photo written back: changed pixels, in the form of the file they came from unless another is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from vision.arrays import RGB
from vision.color import to_srgb
from vision.container import photo_file
from vision.encoding import Kept, coding_of, encode_photo
from vision.opening import Opened, open_photo
from vision.photo_info import PhotoError, PhotoFormat, PhotoInfo, WrittenFormat
from vision.tiff import cleaned_exif

Kind: TypeAlias = Literal["exif", "icc"]

WRITTEN: Mapping[PhotoFormat, WrittenFormat] = {
    "jpeg": "jpeg",
    "heic": "jpeg",
    "avif": "jpeg",
    "png": "png",
    "tiff": "png",
    "gif": "png",
    "bmp": "png",
    "webp": "webp",
}
"""By the photo's format: JPEG for what cameras make with loss, PNG for what was stored without."""
MOST_WEBP_SIDE = 16_383
"""RFC 9649, section 2.5: fourteen bits."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked for: None stands for the source's own format (else WRITTEN) and quality.

    A JPEG is quantised as its source was, a WebP without loss stays so, and all else gets 90.
    """

    file_format: WrittenFormat | None = None
    quality: int | None = None
    metadata: frozenset[Kind] = frozenset({"icc"})

    def format_for(self, info: PhotoInfo) -> WrittenFormat:
        """The format that a photo is written in."""
        return self.file_format or WRITTEN[info.format]


def rewrite(data: bytes, info: PhotoInfo, pixels: RGB, form: Form) -> bytes:
    """Encode pixels H×W×3 of the photo `data`, as `vision.photo.decode_own` gave them; `info` is what `inspect` said.

    The answer has the orientation in its pixels alone, is opaque, and holds no metadata but what `form` keeps, and the
    dots an inch. Without its profile its pixels are turned to sRGB, in place. Raises PhotoError: image_corrupt where
    the file cannot be opened, image_too_large where no WebP is that large.
    """
    file_format = form.format_for(info)
    if file_format == "webp" and max(info.size) > MOST_WEBP_SIDE:
        size = f"{info.width}×{info.height} pixels"
        detail = f"the image has {size}; a WebP has at most {MOST_WEBP_SIDE} a side: ask for jpeg or png"
        raise PhotoError("image_too_large", detail)
    opened = open_photo(photo_file(data))
    coding = coding_of(opened, info)
    if form.quality is not None:
        coding = replace(coding, quality=form.quality, tables=(), lossless=False)
    if "icc" not in form.metadata:
        to_srgb(pixels, info.profile)
    return encode_photo(pixels, file_format, coding, _kept(opened, info, form))


def _kept(opened: Opened, info: PhotoInfo, form: Form) -> Kept:
    dpi = opened.dpi
    return Kept(
        info.profile if "icc" in form.metadata else b"",
        cleaned_exif(opened.exif) if "exif" in form.metadata else b"",
        dpi[::-1] if dpi and info.transposed else dpi,
    )
