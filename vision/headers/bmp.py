"""BMP headers (Windows BITMAPFILEHEADER and BITMAPCOREHEADER to BITMAPV5HEADER)."""

import struct

from vision.photo_info import Header, PhotoError

SIGNATURE = b"BM"

CORE_HEADER, INFO_HEADER, MASKS_HEADER, V5_HEADER = 12, 40, 56, 124
BIT_DEPTHS = {1, 4, 8, 16, 24, 32}
RGB, RLE8, RLE4, BITFIELDS, JPEG, PNG, ALPHA_BITFIELDS = range(7)
UNCOMPRESSED = {RGB, BITFIELDS, ALPHA_BITFIELDS}


def parse(data: bytes) -> Header:
    """Read the bitmap's size and alpha mask, and whether the pixels are all there.

    Raises PhotoError (image_corrupt, image_unsupported), or struct.error where the header is cut off.
    """
    file_size, offset, header_size = struct.unpack_from("<2xI4xII", data)
    if header_size == CORE_HEADER:
        width, height, planes, depth = struct.unpack_from("<HHHH", data, 18)
        compression = RGB
    elif INFO_HEADER <= header_size <= V5_HEADER:
        width, height, planes, depth, compression = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise PhotoError("image_corrupt", f"BMP with an unknown header of {header_size} bytes")
    _check(width, planes, depth, compression)
    height = abs(height)
    needed = offset + (width * depth + 31) // 32 * 4 * height if compression in UNCOMPRESSED else offset
    return Header(
        "bmp",
        width,
        height,
        alpha=_has_alpha_mask(data, header_size, compression),
        complete=len(data) >= max(needed, file_size),
    )


def _check(width: int, planes: int, depth: int, compression: int) -> None:
    if compression in {JPEG, PNG}:
        raise PhotoError("image_unsupported", "BMP that wraps a JPEG or PNG; send the inner file itself")
    if width < 0 or planes != 1 or depth not in BIT_DEPTHS or compression > ALPHA_BITFIELDS:
        detail = f"BMP with width {width}, {planes} planes, {depth} bits a pixel, compression {compression}"
        raise PhotoError("image_corrupt", detail)


def _has_alpha_mask(data: bytes, header_size: int, compression: int) -> bool:
    if header_size < MASKS_HEADER or compression not in {BITFIELDS, ALPHA_BITFIELDS}:
        return False
    (alpha_mask,) = struct.unpack_from("<I", data, 66)
    return bool(alpha_mask)
