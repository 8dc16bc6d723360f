"""Photos as phones, browsers and cameras make them: odd, and whole; and those that only look so."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.unit.vision.heic import SIZE, box, full_box, heic
from tests.unit.vision.test_photo import encoded, opened, oriented_exif, picture, read, refusal, refusal_of_pixels
from vision.heif import without_exif
from vision.jpeg import segments
from vision.photo import PhotoError, decode, inspect, reduction_for
from vision.photo_stripping import PNG_SIGNATURE, png_chunk

EOI = b"\xff\xd9"
PHOTO = Image.fromarray(np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8)).resize((320, 240))


def scan_of(data: bytes) -> int:
    """Where the first entropy-coded byte lies."""
    return next(end for marker, _, end in segments(data) if marker == 0xDA)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.98])
def test_a_jpeg_that_ends_early_is_refused_at_every_scale(share: float, options: dict[str, object]) -> None:
    data = encoded(PHOTO, "JPEG", quality=85, **options)
    cut = data[: scan_of(data) + round(share * (len(data) - scan_of(data)))].rstrip(b"\xff")
    assert refusal_of_pixels(cut + EOI) == "image_corrupt"
    assert refusal_of_pixels(cut) == "image_truncated"
    with pytest.raises(PhotoError, match="image_corrupt"):
        decode(cut + EOI, inspect(cut + EOI), reduction=8)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_with_lost_bytes_is_refused(progressive: bool) -> None:  # noqa: FBT001
    data = encoded(PHOTO, "JPEG", quality=85, progressive=progressive)
    middle = (scan_of(data) + len(data)) // 2
    assert refusal_of_pixels(data[:middle] + data[middle + 600 :]) == "image_corrupt"


@pytest.mark.parametrize("scan", range(1, 10))
def test_a_progressive_jpeg_without_its_last_scans_is_refused(scan: int) -> None:
    data = encoded(PHOTO, "JPEG", progressive=True)
    starts = [start - 4 for marker, start, _ in segments(data) if marker == 0xDA]
    assert len(starts) == 10
    assert refusal(data[: starts[scan]] + EOI) == "image_corrupt"
    assert refusal(data[: starts[scan]]) == "image_truncated"


def test_bytes_between_the_last_pixel_and_the_end_marker_are_allowed_where_they_are_padding() -> None:
    data = encoded(PHOTO, "JPEG")
    padded = data[:-2] + bytes(24) + EOI
    np.testing.assert_array_equal(read(padded), read(data))
    assert refusal_of_pixels(data[:-2] + bytes(range(1, 25)) + EOI) == "image_corrupt"
    assert refusal_of_pixels(data[:-2] + bytes(2000) + EOI) == "image_corrupt"


def test_odd_scan_headers_of_some_phones_are_allowed() -> None:
    data = bytearray(encoded(PHOTO, "JPEG"))
    data[scan_of(bytes(data)) - 3 : scan_of(bytes(data))] = b"\0\0\0"
    np.testing.assert_array_equal(read(bytes(data)), opened(encoded(PHOTO, "JPEG")))


def test_a_later_jfif_and_an_unknown_adobe_segment_are_allowed() -> None:
    data = encoded(PHOTO, "JPEG")
    later = data.replace(b"JFIF\0\1", b"JFIF\0\3")
    np.testing.assert_array_equal(read(later), read(data))


@pytest.mark.parametrize(
    ("kind", "packed"), [(1, b"\6"), (3, None), (4, None), (6, b"\6"), (8, None), (9, None)], ids=str
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_orientation_may_be_of_any_integer_type(kind: int, packed: bytes | None, order: str) -> None:
    name = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}[kind]
    value = (packed or struct.pack(f"{order}{name}", 6)).ljust(4, b"\0")
    signature = b"II*\0" if order == "<" else b"MM\0*"
    block = signature + struct.pack(f"{order}IHHHI", 8, 1, 0x0112, kind, 1) + value + bytes(4)
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0" + block)
    assert (inspect(data).orientation, inspect(data).size) == (6, (43, 61))


def test_a_jpeg_with_other_pictures_behind_it_is_its_first() -> None:
    data = encoded(picture(), "JPEG")
    index = b"MPF\0" + bytes(60)
    gain_map = data[:2] + b"\xff\xe2" + struct.pack(">H", len(index) + 2) + index + data[2:] + encoded(PHOTO, "JPEG")
    np.testing.assert_array_equal(read(gain_map), read(data))


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def png_of(parts: list[tuple[bytes, bytes]], broken: bytes = b"") -> bytes:
    """A PNG in which the chunks of one type do not match their checksums."""
    whole = (png_chunk(kind, body) for kind, body in parts)
    return PNG_SIGNATURE + b"".join(part[:-4] + bytes(4) if part[4:8] == broken else part for part in whole)


def test_a_bad_checksum_matters_only_where_it_covers_pixels() -> None:
    data = encoded(picture(), "PNG")
    header, pixels, end = chunks(data)
    text, density = (b"tEXt", b"Comment\0hello"), (b"pHYs", b"\0\0\x0b\x13\0\0\x0b\x13\1")
    for broken in (b"tEXt", b"pHYs"):
        np.testing.assert_array_equal(read(png_of([header, text, density, pixels, end], broken)), read(data))
    for broken in (b"IHDR", b"IDAT"):
        assert refusal(png_of([header, text, pixels, end], broken)) == "image_corrupt"


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_one_transparent_grey_of_any_depth_is_white(depth: int) -> None:
    values = np.tile(np.arange(32) % min(2**depth, 32), (32, 1))
    bits = (values[:, :, None] >> np.arange(depth)[::-1]) & 1
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits.astype(np.uint8))
    header = (b"IHDR", struct.pack(">IIBBBBB", 32, 32, depth, 0, 0, 0, 0))
    parts = [header, (b"tRNS", struct.pack(">H", 1)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    pixels = read(png_of(parts))
    assert (pixels[values == 1] == 255).all()
    assert (pixels[values == 0] == 0).all()


def test_bytes_between_the_header_segments_of_a_jpeg_are_passed_over() -> None:
    data = encoded(picture(), "JPEG")
    start = next(start for marker, start, _ in segments(data) if marker == 0xDB) - 4
    np.testing.assert_array_equal(read(data[:start] + b"\0U\1" * 5000 + data[start:]), read(data))


def test_a_png_whose_pixels_end_early_is_refused() -> None:
    header, *pixels, end = chunks(encoded(PHOTO, "PNG"))
    body = b"".join(part for _, part in pixels)
    assert refusal_of_pixels(png_of([header, (b"IDAT", body[: len(body) // 2]), end])) == "image_truncated"
    half = zlib.compress(zlib.decompress(body)[: 320 * 3 * 100])
    assert refusal_of_pixels(png_of([header, (b"IDAT", half), end])) in {"image_truncated", "image_corrupt"}


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF"])
def test_an_animation_of_one_frame_is_a_photo(file_format: str) -> None:
    image = picture().quantize(64) if file_format == "GIF" else picture()
    data = encoded(image, file_format, save_all=True, **({"lossless": True} if file_format == "WEBP" else {}))
    if file_format == "PNG":
        header, *rest = chunks(data)
        control = (b"fcTL", struct.pack(">5I2H2B", 0, 61, 43, 0, 0, 1, 10, 0, 0))
        data = png_of([header, (b"acTL", struct.pack(">2I", 1, 0)), control, *rest])
    if file_format == "WEBP":
        data = one_frame_webp(data)
    np.testing.assert_array_equal(read(data), np.asarray(image.convert("RGB")))


def one_frame_webp(still: bytes) -> bytes:
    """A still picture as the one frame of an animation."""
    frame = bytes(6) + (60).to_bytes(3, "little") + (42).to_bytes(3, "little") + bytes(4) + still[12:]
    canvas = b"\2\0\0\0" + (60).to_bytes(3, "little") + (42).to_bytes(3, "little")
    parts = ((b"VP8X", canvas), (b"ANIM", bytes(6)), (b"ANMF", frame))
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(part)) + part + bytes(len(part) % 2) for kind, part in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_a_png_with_a_picture_behind_another_is_animated() -> None:
    header, pixels, end = chunks(encoded(picture(), "PNG"))
    control = (b"fcTL", struct.pack(">5I2H2B", 0, 61, 43, 0, 0, 1, 10, 0, 0))
    hidden = (b"fdAT", b"\0\0\0\1" + pixels[1])
    data = png_of([header, (b"acTL", struct.pack(">2I", 1, 0)), pixels, control, hidden, end])
    assert refusal(data) == "image_animated"


@pytest.mark.parametrize("wrong", [-100, 2, 1 << 30])
def test_a_wrong_size_field_is_ignored(wrong: int) -> None:
    bitmap, webp = bytearray(encoded(picture(), "BMP")), bytearray(encoded(picture(), "WEBP"))
    bitmap[2:6] = struct.pack("<I", (len(bitmap) + wrong) % 2**32)
    webp[4:8] = struct.pack("<I", (len(webp) - 8 + wrong) % 2**32)
    np.testing.assert_array_equal(read(bytes(bitmap)), np.asarray(picture()))
    np.testing.assert_array_equal(read(bytes(webp)), read(encoded(picture(), "WEBP")))


def test_a_bmp_whose_alpha_is_all_zero_is_opaque() -> None:
    image = picture().convert("RGBA")
    image.putalpha(0)
    np.testing.assert_array_equal(read(with_masks(encoded(image, "BMP"))), np.asarray(picture()))
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    assert (read(with_masks(encoded(image, "BMP")))[0] > 250).all()


def with_masks(data: bytes) -> bytes:
    """A BMP of 32 bits with a header that names its channels, alpha among them."""
    width, height = struct.unpack_from("<ii", data, 18)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 56, width, height, 1, 32, 3, 0, 0, 0, 0, 0) + masks
    return b"BM" + struct.pack("<IHHI", 14 + 56 + width * height * 4, 0, 0, 70) + header + data[-width * height * 4 :]


def test_the_first_page_of_a_tiff_is_read() -> None:
    data = encoded(picture(), "TIFF", save_all=True, append_images=[PHOTO.copy()])
    np.testing.assert_array_equal(read(data), np.asarray(picture()))


@pytest.mark.parametrize("tag", [254, 50_706])
def test_a_cameras_raw_file_is_refused_and_not_read_as_its_preview(tag: int) -> None:
    data = encoded(picture(), "TIFF", tiffinfo={tag: 1})
    assert refusal(data) == "image_unsupported"


def test_a_heic_is_read_as_it_is_displayed() -> None:
    shown = np.asarray(picture(*SIZE)).astype(int)
    plain, turned = heic(exif=oriented_exif(6)), heic(box(b"irot", b"\3"), oriented_exif(6))
    assert (inspect(plain).format, inspect(plain).size, inspect(turned).size) == ("heic", SIZE, SIZE[::-1])
    assert np.abs(read(plain) - shown).mean() < 3
    assert np.abs(read(turned) - np.rot90(shown, -1)).mean() < 3


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_heic_that_ends_early_is_refused(share: float) -> None:
    data = heic()
    assert refusal(data[: round(share * len(data))]) == "image_truncated"


def test_a_heic_of_many_large_tiles_is_refused() -> None:
    tiles = box(b"dimg", struct.pack(">HH", 1, 60_000) + struct.pack(">60000H", *[1] * 60_000))
    assert refusal(heic(references=tiles)) == "image_too_large"


def part(kind: bytes, version: int = 2) -> bytes:
    return full_box(b"infe", struct.pack(">HH4sx" if version == 2 else ">IH4sx", 9, 0, kind), version)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("kind", [b"iden", b"iovl", b"mski", b"unci", b"vvc1", b"j2k1", b"\0\n\xff\x1b"])
def test_a_heic_with_parts_that_no_camera_writes_is_refused_before_libheif_sees_it(kind: bytes, version: int) -> None:
    assert refusal(heic(parts=part(kind, version))) == "image_unsupported"


@pytest.mark.parametrize("kind", [b"hvc1", b"tmap", b"jpeg"])
def test_a_heic_with_a_thumbnail_or_a_gain_map_is_read(kind: bytes) -> None:
    assert inspect(heic(parts=part(kind))).format == "heic"


@pytest.mark.parametrize(
    ("layer", "code"),
    [
        (b"urn:mpeg:hevc:2015:auxid:1\0", "image_unsupported"),
        (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", "image_unsupported"),
        (b"urn:mpeg:hevc:2015:auxid:2\0", ""),
        (b"urn:com:apple:photo:2020:aux:hdrgainmap\0", ""),
    ],
)
def test_a_heic_with_a_layer_of_transparency_is_refused_and_one_with_depth_is_not(layer: bytes, code: str) -> None:
    data = heic(full_box(b"auxC", layer))
    assert refusal(data) == code if code else inspect(data).format == "heic"


def test_a_heic_that_two_readers_could_read_differently_is_refused() -> None:
    hidden = full_box(b"iinf", struct.pack(">H", 1) + part(b"iden"))
    assert refusal(heic(more=hidden)) == "image_corrupt"
    data = heic()
    assert refusal(data + data[data.index(b"meta") - 4 : data.index(b"mdat") - 4]) == "image_corrupt"


def test_a_heic_that_says_it_is_huge_is_refused_before_it_is_decoded() -> None:
    assert refusal(heic(size=(30_000, 30_000))) == "image_too_large"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_an_exif_directory_whose_values_overlap_is_not_read(file_format: str) -> None:
    entries = b"".join(struct.pack("<HHII", tag, 7, 60_000, 8) for tag in range(1, 4000))
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    block = b"II*\0" + struct.pack("<IH", 8, 4000) + entries + entry + bytes(16_000)
    assert inspect(encoded(picture(), file_format, exif=b"Exif\0\0" + block)).orientation == 1
    assert refusal(block) == "image_corrupt"


def test_pillow_is_not_shown_the_exif_block_of_an_avif() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Canon"
    data = encoded(picture(), "AVIF", exif=exif)
    described = slice(data.index(b"mdat"))
    assert b"Exif" in data[described]
    assert b"Exif" not in without_exif(data)[described]


def test_a_profile_that_decompresses_to_much_costs_little() -> None:
    header, pixels, end = chunks(encoded(picture(), "PNG"))
    bomb = (b"iCCP", b"icc\0\0" + zlib.compress(bytes(50_000_000)))
    assert inspect(png_of([header, bomb, pixels, end])).profile == b""


def test_a_gif_of_many_comment_blocks_is_read_at_once() -> None:
    data = encoded(picture(), "GIF")
    comment = b"!\xfe" + (b"\xff" + bytes(255)) * 20_000 + b"\0"
    start = 13 + 768
    np.testing.assert_array_equal(read(data[:start] + comment + data[start:]), read(data))


@pytest.mark.parametrize(
    "filler", [b"!\xfe\0" * 3_000_000, b"!\xfe" + b"\1a" * 4_000_000 + b"\0"], ids=["extensions", "blocks"]
)
def test_a_gif_with_too_many_parts_is_refused_quickly(filler: bytes) -> None:
    data = encoded(picture(), "GIF")
    start, began = 13 + 768, time.process_time()
    with pytest.raises(PhotoError, match="GIF with over"):
        read(data[:start] + filler + data[start:])
    assert time.process_time() - began < 1


def test_only_a_jpeg_is_reduced() -> None:
    assert {reduction_for(inspect(encoded(PHOTO, kind)), 320, 16) for kind in ("PNG", "AVIF", "TIFF")} == {1}
    assert reduction_for(inspect(encoded(PHOTO, "JPEG")), 320, 16) == 8


def test_sixteen_bits_of_a_tiff_become_eight() -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((20, 20), 0x1234, np.uint16)).save(file, "TIFF")
    assert (read(file.getvalue()) == 0x12).all()


def test_numbers_that_are_not_colours_are_refused() -> None:
    assert refusal(encoded(Image.new("F", (20, 20)), "TIFF")) == "image_unsupported"


def test_a_box_of_length_zero_reaches_to_the_end_of_the_file() -> None:
    data = heic()
    start = data.index(b"mdat") - 4
    np.testing.assert_array_equal(read(data[:start] + bytes(4) + data[start + 4 :]), read(data))
    assert refusal_of_pixels(data[:start]) in {"image_truncated", "image_corrupt"}
