"""A photo written back: changed pixels, in the form of the file they came from unless another is asked for."""

from dataclasses import dataclass, replace

from vision.arrays import RGB
from vision.coding import coding_of
from vision.encoding import encode_photo
from vision.metadata.metadata import Kind, kept_metadata, with_metadata
from vision.photo_info import PhotoError, PhotoInfo, WrittenFormat

MOST_WEBP_SIDE = 16_383
"""RFC 9649, section 2.5: fourteen bits."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked for: None stands for the source's own format (of a BMP, PNG) and quality.

    The quality of a JPEG is read from it, a WebP without loss stays so, and all else gets 90.
    """

    file_format: WrittenFormat | None = None
    quality: int | None = None
    metadata: frozenset[Kind] = frozenset({"icc"})

    def format_for(self, info: PhotoInfo) -> WrittenFormat:
        """The format that a photo is written in."""
        return self.file_format or ("png" if info.format == "bmp" else info.format)


def rewrite(data: bytes, info: PhotoInfo, pixels: RGB, form: Form) -> bytes:
    """Encode pixels H×W×3 of the photo `data`, as displayed; `info` is what `vision.photo.inspect` said of it.

    The answer has the orientation in its pixels alone, is opaque, and holds no metadata but what `form` keeps. Raises
    PhotoError: image_corrupt where the file cannot be walked, image_too_large where no WebP is that large.
    """
    file_format = form.format_for(info)
    if file_format == "webp" and max(info.size) > MOST_WEBP_SIDE:
        size = f"{info.width}×{info.height} pixels"
        detail = f"the image has {size}; a WebP has at most {MOST_WEBP_SIDE} a side: ask for jpeg or png"
        raise PhotoError("image_too_large", detail)
    coding = coding_of(data, info)
    if form.quality is not None:
        coding = replace(coding, quality=form.quality, lossless=False)
    kept = kept_metadata(data, info.format, form.metadata)
    return with_metadata(encode_photo(pixels, file_format, coding), file_format, kept)
