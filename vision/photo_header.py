"""Photo files opened by Pillow and libheif: what they say about their pixels, before any is decoded."""

import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pi_heif
from pi_heif import HeifFile
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from vision import color, tiff
from vision.heif import without_exif
from vision.photo_info import PhotoError, PhotoFormat
from vision.photo_stripping import PhotoFile, truncated

OPENERS: Mapping[PhotoFormat, Callable[[io.BytesIO], ImageFile]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
    "avif": lambda file: AvifImageFile(io.BytesIO(without_exif(file.read()))),
    "tiff": TiffImageFile,
    "gif": GifImageFile,
    "bmp": BmpImageFile,
}
"""Each format's own reader. No other format of Pillow, and no program that one of them calls, can be reached."""
DAMAGED = (
    *tiff.DAMAGED,
    zlib.error,
    EOFError,
    MemoryError,
    AssertionError,
    AttributeError,
    Image.DecompressionBombError,
)
"""What Pillow and libheif raise for damaged files."""
UNSUPPORTED_MODES = frozenset({"F", "I", "LAB", "HSV"})
MOST_DPI = 32_767
TILE_SIDES = (322, 323)
"""TIFF tags TileWidth and TileLength."""
MOST_TILE, SPARE_TILE = 2, 1_000_000
"""Limit for the pixels of a tile: a multiple of those of the TIFF, plus a constant."""


GREY_MODES = frozenset({"1", "L", "LA", "I;16", "I;16B", "I;16L"})


@dataclass(frozen=True)
class Opened:
    """A photo's file, a library's image of it, and libheif's data of a HEIC or an AVIF. No pixel is decoded."""

    file: PhotoFile
    image: ImageFile | HeifFile
    heif: Mapping[str, object]

    @property
    def orientation(self) -> int:
        """EXIF orientation, 1 to 8, that is not applied yet. libheif and Pillow's TIFF reader apply it themselves."""
        if self.file.format in {"heic", "tiff"}:
            return 1
        return tiff.orientation_of(tiff.read_exif(_bytes(self.image.info.get("exif"))))

    @property
    def exif(self) -> Image.Exif:
        """All EXIF tags. Those of a TIFF are its own tags."""
        block = self.file.data if self.file.format == "tiff" else self.heif.get("exif") or self.image.info.get("exif")
        return tiff.read_exif(_bytes(block))

    @property
    def icc(self) -> bytes:
        """The colour profile of the file, unchanged. Empty if there is none that fits its pixels."""
        icc = _bytes(self.heif.get("icc_profile") or self.image.info.get("icc_profile"))
        if b"iCCP" in self.file.colors:
            icc = color.icc_of_png(self.file.colors[b"iCCP"])
        mode = str(self.image.mode)
        spaces = {b"CMYK"} if mode == "CMYK" else {b"RGB ", b"GRAY"} if mode in GREY_MODES else {b"RGB "}
        return icc if icc[16:20] in spaces else b""

    @property
    def table(self) -> bytes:
        """The profile by which pixels must be converted when they are decoded. Empty if they need no conversion."""
        icc = b"" if b"cICP" in self.file.colors else self.icc
        return icc if color.is_table(icc) else b""

    @property
    def profile(self) -> bytes:
        """The profile, with only colour tags, of the decoded pixels. Empty for sRGB."""
        if self.file.colors:
            return color.profile_of_png(self.file.colors, self.icc)
        nclx = self.heif.get("nclx_profile")
        if isinstance(nclx, dict) and not self.icc:
            return color.profile_of_codes(nclx["color_primaries"], nclx["transfer_characteristics"])
        return color.profile_of_icc(self.icc)

    @property
    def dpi(self) -> tuple[int, int] | None:
        """Dots per inch across and down, as stored. None if the file gives none, or nothing sensible."""
        try:
            across, down = (round(float(value)) for value in self.image.info["dpi"])
        except (LookupError, TypeError, ValueError, ArithmeticError):
            return None
        return (across, down) if min(across, down) > 0 and max(across, down) <= MOST_DPI else None


def open_photo(file: PhotoFile) -> Opened:
    """Read a file's headers. Raises PhotoError: image_corrupt, image_truncated, image_animated, image_unsupported."""
    if file.format == "png" and not file.whole:
        raise truncated("png")
    try:
        heif = pi_heif.open_heif(file.data) if file.format == "heic" else None
        image = heif or OPENERS[file.format](io.BytesIO(file.data))
        _check(file, image)
        return Opened(file, image, heif.info if heif else _avif_info(file))
    except PhotoError:
        raise
    except DAMAGED as error:
        raise damaged(file, error) from error


def damaged(file: PhotoFile, error: Exception) -> PhotoError:
    """The error of a file that a library cannot read."""
    said = str(error).strip()
    if "truncated" in said.lower() or "end of file" in said.lower():
        return truncated(file.format)
    if "unsupported" in said.lower():
        return PhotoError("image_unsupported", f"the {file.format} is of a rare kind ({said}); send a JPEG or a PNG")
    return PhotoError("image_corrupt", f"the {file.format} cannot be decoded")


def _avif_info(file: PhotoFile) -> Mapping[str, object]:
    """For an AVIF, whose colours and EXIF block libheif reads. Pillow leaves one of them out."""
    if file.format != "avif":
        return {}
    try:
        return dict(pi_heif.open_heif(file.data).info)
    except DAMAGED:
        return {}


def _check(file: PhotoFile, image: ImageFile | HeifFile) -> None:
    if isinstance(image, AvifImageFile) and image.is_animated:
        raise PhotoError("image_animated", "the avif is animated; send one still image")
    if image.mode in UNSUPPORTED_MODES:
        raise PhotoError("image_unsupported", f"the {file.format} holds pixels of mode {image.mode}; send RGB")
    if isinstance(image, TiffImageFile):
        across, down = (image.tag_v2.get(tag, 0) for tag in TILE_SIDES)
        if across * down > MOST_TILE * image.size[0] * image.size[1] + SPARE_TILE:
            raise PhotoError("image_corrupt", f"the tiff has tiles of {across}×{down} pixels, larger than itself")
    if isinstance(image, BmpImageFile) and image.tile[0].codec_name == "raw":
        values = image.tile[0].args
        stride = int(values[1]) if isinstance(values, tuple) else 0
        if image.tile[0].offset + stride * image.size[1] > len(file.data):
            raise truncated("bmp")


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
