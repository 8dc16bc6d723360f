"""Photos made by arithmetic: nobody is on them."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "BMP": "image/bmp"}


def noise(width: int = 320, height: int = 240, seed: int = 0) -> NDArray[np.uint8]:
    """Uniform noise, RGB."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def gradient(width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    """A smooth slope in every channel, RGB."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height))
    return np.asarray(np.stack(channels, axis=-1), dtype=np.uint8)


def flat(value: int, width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    """One grey everywhere, RGB."""
    return np.full((height, width, 3), value, dtype=np.uint8)


def encode(pixels: NDArray[np.uint8], kind: str, **options: object) -> bytes:
    """The photo as a file of one of FORMATS."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def animation(kind: str) -> bytes:
    """Three frames, as WEBP, PNG or GIF."""
    frames = [Image.fromarray(noise(64, 64, seed)) for seed in range(3)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=50)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds one row of nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def jpeg_header(width: int, height: int) -> bytes:
    """A good JPEG whose frame header announces another size."""
    data = bytearray(encode(gradient(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_header(width: int, height: int) -> bytes:
    """A good BMP whose header announces another size."""
    data = bytearray(encode(gradient(), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def webp_header(width: int, height: int) -> bytes:
    """A good WebP behind an extended header whose canvas has another size; sides up to 2²⁴."""
    canvas = b"\0" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas + encode(gradient(), "WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
