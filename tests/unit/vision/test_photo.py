"""Photos against Pillow as an independent decoder."""

import io
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.unit.vision.heic import box, heic
from vision.affine import invert, transform_points
from vision.arrays import RGB
from vision.color import profile_of_codes
from vision.encoding import Form, rewrite
from vision.photo import MAX_SIDE, MIN_SIDE, PhotoError, Reduction, decode, decode_own, inspect, reduction_for
from vision.photo_info import PhotoInfo

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP")
WITH_EXIF = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF")


def picture(width: int = 61, height: int = 43) -> Image.Image:
    """Red grows with x and green with y, so that a pixel tells where it came from."""
    x, y = np.meshgrid(np.linspace(0, 250, width), np.linspace(0, 250, height))
    return Image.fromarray(np.dstack((x, y, np.full_like(x, 128))).astype(np.uint8))


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def oriented(image: Image.Image, file_format: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if file_format == "WEBP" else {}
    lossless |= {"quality": 100, "subsampling": "4:4:4"} if file_format == "AVIF" else {}
    return encoded(image, file_format, exif=exif, **lossless)


def opened(data: bytes) -> RGB:
    """Pillow's reading by its own means: oriented, on white."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def read(data: bytes) -> RGB:
    return decode(data, inspect(data)).pixels


def refusal(data: bytes) -> str:
    with pytest.raises(PhotoError) as refused:
        inspect(data)
    assert refused.value.detail
    return refused.value.code


def refusal_of_pixels(data: bytes) -> str:
    with pytest.raises(PhotoError) as refused:
        read(data)
    assert refused.value.detail
    return refused.value.code


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_photo_is_read_as_pillow_reads_it(file_format: str) -> None:
    data = encoded(picture(), file_format)
    info = inspect(data)
    assert (info.format, info.size, info.orientation) == (file_format.lower(), (61, 43), 1)
    np.testing.assert_allclose(read(data).astype(int), opened(data).astype(int), atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", WITH_EXIF)
def test_orientation_is_applied(file_format: str, orientation: int) -> None:
    data = oriented(picture(), file_format, orientation)
    info = inspect(data)
    expected = opened(data)
    assert info.orientation == (1 if file_format == "TIFF" else orientation)  # Pillow turns a TIFF when it reads it
    assert info.size == (expected.shape[1], expected.shape[0])
    np.testing.assert_allclose(decode(data, info).pixels.astype(int), expected.astype(int), atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
def test_reduced_pixels_map_to_their_source_pixels(orientation: int, reduction: Reduction) -> None:
    stored = picture(323, 211)
    data = encoded(stored, "JPEG", quality=100, subsampling=0, exif=_exif(orientation))
    info = inspect(data)
    photo = decode(data, info, reduction=reduction)
    full = opened(data).astype(float)
    height, width = photo.pixels.shape[:2]
    assert sorted((width, height)) == sorted((-(-323 // reduction), -(-211 // reduction)))
    columns, rows = np.meshgrid(np.arange(2, width - 2), np.arange(2, height - 2))
    centers = np.stack((columns, rows), axis=2) + 0.5
    source = transform_points(centers, invert(photo.from_source)).astype(np.float32) - 0.5
    expected = cv2.remap(full.astype(np.float32), source[..., 0], source[..., 1], cv2.INTER_LINEAR)
    error = (photo.pixels[2:-2, 2:-2] - expected)[:, :, :2]
    assert np.abs(error).mean() < 0.7
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.2  # one source pixel is 0.8 in red and 1.2 in green


def oriented_exif(orientation: int) -> bytes:
    return _exif(orientation).tobytes().removeprefix(b"Exif\0\0")


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize(
    ("mode", "file_format", "options"),
    [
        ("L", "JPEG", {}),
        ("CMYK", "JPEG", {}),
        ("RGB", "JPEG", {"progressive": True}),
        ("P", "PNG", {}),
        ("1", "PNG", {}),
        ("LA", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("L", "PNG", {"transparency": 100}),
        ("P", "PNG", {"transparency": bytes(range(256))}),
        ("RGBA", "WEBP", {"lossless": True}),
        ("P", "BMP", {}),
        ("L", "BMP", {}),
        ("RGBA", "BMP", {}),
        ("1", "PNG", {"transparency": 0}),
        ("RGBA", "TIFF", {}),
        ("CMYK", "TIFF", {"compression": "tiff_lzw"}),
        ("1", "TIFF", {"compression": "group4"}),
        ("YCbCr", "TIFF", {"compression": "jpeg"}),
        ("P", "GIF", {"transparency": 3}),
        ("RGBA", "AVIF", {}),
    ],
)
def test_color_modes(mode: str, file_format: str, options: dict[str, object]) -> None:
    image = picture().convert(mode)
    if mode in {"RGBA", "LA"}:
        image.putalpha(picture().getchannel("R"))
    data = encoded(image, file_format, **options)
    np.testing.assert_allclose(decode(data, inspect(data)).pixels.astype(int), opened(data).astype(int), atol=2)


def test_sixteen_bits_become_eight() -> None:
    pixels = np.asarray(picture())
    data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR).astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_array_equal(decode(data, inspect(data)).pixels, pixels)


def test_a_transparent_grey_of_sixteen_bits_lies_on_white() -> None:
    grey = np.full((20, 20), 1000, dtype=np.uint16)
    grey[5:9] = 70
    data = cv2.imencode(".png", grey)[1].tobytes()
    body = b"tRNS" + struct.pack(">H", 70)
    chunk = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    start = data.index(b"IDAT") - 4
    keyed = data[:start] + chunk + data[start:]
    pixels = decode(keyed, inspect(keyed)).pixels
    assert (pixels[5:9] == 255).all()
    assert (pixels[:5] == 1000 >> 8).all()


def test_transparent_sixteen_bits_lie_on_white() -> None:
    data = cv2.imencode(".png", np.zeros((20, 20, 4), dtype=np.uint16))[1].tobytes()
    np.testing.assert_array_equal(decode(data, inspect(data)).pixels, np.full((20, 20, 3), 255))


@pytest.mark.parametrize(
    ("data", "code", "named"),
    [
        (b"", "image_empty", ""),
        (b"GIF89a" + bytes(60), "image_truncated", "gif"),
        (b"%PDF-1.7\n", "image_unsupported", "PDF"),
        (b"II*\0" + bytes(60), "image_corrupt", "tiff"),
        (b"\0\0\0\x18ftypheic", "image_truncated", ""),
        (b"\0\0\0\x10ftypavif\0\0\0\0", "image_corrupt", "avif"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp41", "image_unsupported", "video"),
        (b"<svg xmlns=''/>", "image_unsupported", "SVG"),
        ("grüße\n".encode(), "image_unsupported", "text"),
        (bytes(range(7, 70)), "image_unsupported", "unknown"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "image_unsupported", "RIFF"),
        (b"\xff\xd8", "image_truncated", ""),
        (b"\x89PNG", "image_truncated", ""),
        (b"\xff\xd8\xff\xd9", "image_corrupt", ""),
        (b"\xff\xd8\xff\xe0\0\1", "image_corrupt", ""),
        (b"BM" + bytes(60), "image_too_small", "0×0"),
        (b"RIFF\x10\0\0\0WEBPjunkjunkjunk", "image_corrupt", ""),
    ],
)
def test_refusals(data: bytes, code: str, named: str) -> None:
    with pytest.raises(PhotoError) as refused:
        inspect(data)
    assert refused.value.code == code
    assert named in refused.value.detail


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF", "AVIF"])
def test_animations_are_refused(file_format: str) -> None:
    frames = [picture(), picture().rotate(180)]
    assert refusal(encoded(frames[0], file_format, save_all=True, append_images=frames[1:])) == "image_animated"


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_prefix_is_refused(file_format: str) -> None:
    data = encoded(picture(33, 21), file_format)
    for length in range(12, len(data) - TRAILERS[file_format], 7):
        assert refusal_of_pixels(data[:length]) in {"image_truncated", "image_corrupt"}, length
    assert refusal_of_pixels(data[: -TRAILERS[file_format] - 1]) in {"image_truncated", "image_corrupt"}


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF"])
def test_a_photo_without_its_end_marker_is_whole(file_format: str) -> None:
    data = encoded(picture(), file_format)
    np.testing.assert_array_equal(read(data[: -TRAILERS[file_format]]), read(data))


@pytest.mark.parametrize("file_format", FORMATS)
def test_bytes_after_the_image_are_allowed(file_format: str) -> None:
    data = encoded(picture(), file_format)
    np.testing.assert_array_equal(read(data + bytes(8)), read(data))


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_photo() -> None:
    data = encoded(picture(), "JPEG")
    thumbnail = b"Exif\0\0" + encoded(picture(20, 20), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = data[:2] + segment + data[2:]
    assert inspect(whole).size == (61, 43)
    assert refusal_of_pixels(whole[:-40]) == "image_truncated"


def _png_of(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(
    ("width", "height", "code"),
    [
        (40_000, 40_000, "image_too_large"),
        (10_000, 10_001, "image_too_large"),
        (10_000, 10_000, "image_truncated"),
        (MAX_SIDE + 1, 100, "image_too_large"),
        (100, MAX_SIDE + 1, "image_too_large"),
        (0, 0, "image_too_small"),
        (1, 1, "image_too_small"),
        (MIN_SIDE, MIN_SIDE - 1, "image_too_small"),
        (MIN_SIDE, MIN_SIDE, "image_truncated"),
    ],
)
def test_size_limits_come_before_the_pixels(width: int, height: int, code: str) -> None:
    assert refusal(_png_of(width, height)) == code


def test_the_pixel_limit_is_the_callers() -> None:
    data = encoded(picture(), "PNG")
    assert inspect(data, max_pixels=61 * 43).size == (61, 43)
    with pytest.raises(PhotoError, match="image_too_large"):
        inspect(data, max_pixels=61 * 43 - 1)


def test_a_header_that_lies_about_the_pixels_is_corrupt() -> None:
    data = encoded(picture(), "JPEG")
    with pytest.raises(PhotoError, match="image_corrupt"):
        decode(data, PhotoInfo("jpeg", 60, 43))


@given(extent=st.floats(1, 20_000), pixels=st.integers(1, 1000))
def test_reduction_keeps_enough_pixels(extent: float, pixels: int) -> None:
    reduction = reduction_for(PhotoInfo("jpeg", 20_000, 20_000), extent, pixels)
    assert reduction == 1 or extent / reduction >= pixels
    assert reduction == 8 or extent / (2 * reduction) < pixels
    assert reduction_for(PhotoInfo("png", 20_000, 20_000), extent, pixels) == 1


def _only_photo_errors(data: bytes) -> None:
    try:
        info = inspect(data, max_pixels=100_000)
        decode(data, info, reduction=reduction_for(info, max(info.size), 16))
        rewrite(data, info, decode_own(data, info).pixels, Form(metadata=frozenset({"exif", "icc"})))
    except PhotoError:
        pass


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\1\0\0WEBPVP8X", b"BM"]),
)
def test_no_bytes_raise_anything_else(tail: bytes, start: bytes) -> None:
    _only_photo_errors(start + tail)


TRAILERS = {"JPEG": 2, "PNG": 12, "WEBP": 0, "AVIF": 0, "TIFF": 0, "GIF": 2, "BMP": 0}
"""Bytes at the end of a file that hold no pixels; Pillow writes a TIFF's directory last."""

P3 = profile_of_codes(12, 13)

SAMPLES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: oriented(picture(), "JPEG", 6),
    "progressive": lambda: encoded(picture(), "JPEG", progressive=True),
    "png": lambda: oriented(picture().convert("RGBA"), "PNG", 5),
    "webp": lambda: oriented(picture(), "WEBP", 3),
    "lossy webp": lambda: encoded(picture(), "WEBP"),
    "bmp": lambda: encoded(picture().convert("P"), "BMP"),
    "gif": lambda: encoded(picture(), "GIF", transparency=3),
    "tiff": lambda: oriented(picture(), "TIFF", 6),
    "packed tiff": lambda: encoded(picture(), "TIFF", compression="tiff_lzw"),
    "avif": lambda: oriented(picture(), "AVIF", 6),
    "heic": lambda: heic(box(b"irot", b"\1"), oriented_exif(6)),
    "profiled jpeg": lambda: encoded(picture(), "JPEG", icc_profile=P3),
    "cmyk": lambda: encoded(picture().convert("CMYK"), "JPEG"),
}


@settings(max_examples=300, deadline=2000)
@given(
    name=st.sampled_from(sorted(SAMPLES)),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.floats(0.1, 1),
)
def test_no_mutated_image_raises_anything_else(name: str, edits: list[tuple[float, int]], cut: float) -> None:
    data = bytearray(SAMPLES[name]())
    for place, value in edits:
        data[round(place**3 * (len(data) - 1))] = value  # mostly in the header
    _only_photo_errors(bytes(data[: round(cut * len(data))]))
    _only_photo_errors(bytes(data))


@pytest.mark.parametrize("filler", [b"\xff\xe0\0\2", b"\xff\xc4\0\2"])
def test_hostile_segment_counts_are_cut_short(filler: bytes) -> None:
    assert refusal(b"\xff\xd8" + filler * 1_000_000) == "image_corrupt"


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\x00", b"\xff\x01"])
def test_long_fills_are_passed_over_at_once(filler: bytes) -> None:
    assert refusal(b"\xff\xd8" + filler * 5_000_000) == "image_truncated"


def test_fill_bytes_before_a_marker_are_allowed() -> None:
    data = encoded(picture(), "JPEG")
    assert inspect(data[:2] + b"\xff\xff" + data[2:]).size == (61, 43)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("between", [b"", b"\xff\xfe\0\4\xff\xd9", b"\xff\2"])
def test_hostile_scan_counts_are_refused(between: bytes, progressive: bool) -> None:  # noqa: FBT001
    data = encoded(picture(), "JPEG", progressive=progressive)
    scan = data.rindex(b"\xff\xda")
    assert refusal_of_pixels(data[:scan] + (data[scan:-2] + between) * 120 + b"\xff\xd9") == "image_corrupt"


def test_bytes_after_the_image_may_look_like_scans() -> None:
    data = encoded(picture(), "JPEG", progressive=True) + b"\xff\xda\0\0" * 1000
    assert inspect(data).size == (61, 43)


def test_the_longest_side_can_be_warped() -> None:
    pixels = np.zeros((MIN_SIDE, MAX_SIDE, 3), dtype=np.uint8)
    assert cv2.warpAffine(pixels, np.eye(2, 3), (8, 8)).shape == (8, 8, 3)


def test_hostile_chunk_counts_are_cut_short() -> None:
    chunk = b"\0\0\0\0tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))
    assert refusal(_png_of(100, 100) + chunk * 100_000) == "image_corrupt"
