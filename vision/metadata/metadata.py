"""The metadata that may be kept, whatever the file format."""

from collections.abc import Callable, Collection, Mapping
from typing import Literal, TypeAlias

from vision.metadata import jpeg, png, webp
from vision.metadata.blocks import Blocks
from vision.metadata.exif import cleaned_exif
from vision.metadata.icc import describes_rgb
from vision.photo_info import PhotoFormat, WrittenFormat

Kind: TypeAlias = Literal["exif", "icc"]

_READERS: Mapping[PhotoFormat, Callable[[bytes], Blocks]] = {
    "jpeg": jpeg.read,
    "png": png.read,
    "webp": webp.read,
    "bmp": lambda _: Blocks(),
}
_WRITERS: Mapping[WrittenFormat, Callable[[bytes, Blocks], bytes]] = {
    "jpeg": jpeg.insert,
    "png": png.insert,
    "webp": webp.insert,
}


def kept_metadata(data: bytes, file_format: PhotoFormat, kinds: Collection[Kind]) -> Blocks:
    """What `kinds` ask for of a photo's metadata, fit for its pixels as `vision.photo.decode` gives them.

    EXIF is cut down to how and when the photo was taken (`vision.metadata.exif`); a colour profile is left out where
    it describes another colour space than RGB. Everything else, as XMP, IPTC, comments and what follows the image,
    never gets here. `data` is a photo that `vision.photo.inspect` accepted. Raises PhotoError (image_corrupt).
    """
    blocks = _READERS[file_format](data) if kinds else Blocks()
    exif = cleaned_exif(blocks.exif) if "exif" in kinds else b""
    icc = blocks.icc if "icc" in kinds and describes_rgb(blocks.icc) else b""
    return Blocks(exif, icc)


def with_metadata(encoded: bytes, file_format: WrittenFormat, blocks: Blocks) -> bytes:
    """Put blocks into a freshly encoded file that has none; its coded pixels are not touched."""
    return _WRITERS[file_format](encoded, blocks) if blocks != Blocks() else encoded
