"""Colours against ImageCms with the source's own profile."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.unit.vision.heic import box, heic
from tests.unit.vision.test_odd_photos import chunks, png_of
from tests.unit.vision.test_photo import encoded, picture, read
from vision.arrays import RGB
from vision.color import profile_of_codes, profile_of_icc, srgb_curve, to_srgb
from vision.photo import decode_own, inspect

SECRET = b"Serial 4711, Anna Muster, /home/anna"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3 = profile_of_codes(12, 13)
CUBE = np.stack(np.meshgrid(*[np.arange(0, 256, 15, np.uint8)] * 3), axis=-1).reshape(18, -1, 3)


def with_tags(profile: bytes, **added: bytes) -> bytes:
    """A profile in which tags, four letters each, are replaced or added."""
    (count,) = struct.unpack_from(">I", profile, 128)
    rows = [struct.unpack_from(">4sII", profile, 132 + 12 * row) for row in range(count)]
    bodies = {name: profile[start : start + length] for name, start, length in rows}
    bodies |= {name.encode(): body for name, body in added.items()}
    start, table, behind = 132 + 12 * len(bodies), b"", b""
    for name, body in bodies.items():
        table += struct.pack(">4sII", name, start + len(behind), len(body))
        behind += body + bytes(-len(body) % 4)
    whole = profile[4:128] + struct.pack(">I", len(bodies)) + table + behind
    return struct.pack(">I", len(whole) + 4) + whole


def text(value: bytes) -> bytes:
    return b"text\0\0\0\0" + value + b"\0"


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def grey_profile(gamma: float) -> bytes:
    head = bytearray(P3[:128])
    head[16:20] = b"GRAY"
    return with_tags(
        bytes(head) + bytes(4), kTRC=curve(gamma), wtpt=b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    )


def by_imagecms(pixels: RGB, profile: bytes) -> RGB:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    relative = ImageCms.Intent.RELATIVE_COLORIMETRIC
    target = ImageCms.createProfile("sRGB")
    return np.asarray(ImageCms.profileToProfile(Image.fromarray(pixels), source, target, relative, "RGB"))


def is_near(ours: RGB, theirs: RGB, most: int = 2) -> bool:
    return bool(np.abs(ours.astype(int) - theirs).max() <= most)


PROFILES = {
    "P3": P3,
    "Adobe RGB": with_tags(profile_of_codes(4, 4), rTRC=curve(2.2), gTRC=curve(2.2), bTRC=curve(2.2)),
    "BT.2020": profile_of_codes(9, 13),
    "linear": profile_of_codes(1, 8),
    "three curves": with_tags(P3, rTRC=curve(1.8), gTRC=curve(2.2), bTRC=curve(2.6)),
    "parameters": with_tags(
        P3,
        **{name: b"para\0\0\0\0\0\3\0\0" + struct.pack(">5i", 157286, 62119, 3417, 5072, 2651) for name in ("rTRC",)},
    ),
}


@pytest.mark.parametrize("name", PROFILES)
def test_the_reduced_profile_gives_the_same_colours_as_the_source_profile(name: str) -> None:
    source = with_tags(PROFILES[name], desc=text(SECRET), cprt=text(SECRET), mmod=text(SECRET), thmb=bytes(20_000))
    written = profile_of_icc(source)
    assert 0 < len(written) < 2200
    assert not any(word in written for word in SECRET.split(b", "))
    assert is_near(by_imagecms(CUBE, written), by_imagecms(CUBE, source))
    assert is_near(to_srgb(CUBE.copy(), written), by_imagecms(CUBE, source))


def test_a_profile_that_describes_srgb_is_left_out() -> None:
    assert profile_of_icc(with_tags(SRGB, desc=text(SECRET))) == b""
    assert profile_of_codes(1, 13) == profile_of_codes(2, 2) == profile_of_codes(1, 1) == b""


def test_nothing_of_the_header_or_behind_a_curve_stays() -> None:
    source = bytearray(with_tags(P3, rTRC=curve(1.5) + SECRET, wtpt=P3[-20:] + SECRET))
    source[4:8], source[48:64], source[84:128] = b"ANNA", b"ANNAANNAANNAANNA", b"A" * 44
    assert profile_of_icc(bytes(source))
    assert b"ANNA" not in profile_of_icc(bytes(source))
    assert b"Anna" not in profile_of_icc(bytes(source))
    assert b"AAAA" not in profile_of_icc(bytes(source))


def test_text_in_a_curve_does_not_stay() -> None:
    letters = (SECRET * 20)[:512]
    hidden = with_tags(P3, rTRC=b"curv\0\0\0\0" + struct.pack(">I", 256) + letters)
    assert not any(letters[at : at + 6] in profile_of_icc(hidden) for at in range(500))


@given(st.binary(max_size=300), st.integers(0, 900), st.integers(0, 255))
def test_no_profile_raises_an_error(tail: bytes, place: int, value: int) -> None:
    broken = bytearray(P3 + tail)
    broken[place % len(broken)] = value
    to_srgb(CUBE.copy(), profile_of_icc(bytes(broken)))
    profile_of_icc(P3[:132] + tail)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_photo_is_decoded_to_srgb_and_keeps_its_own_pixels_for_a_copy(file_format: str) -> None:
    data = encoded(picture(), file_format, icc_profile=with_tags(P3, mmod=text(SECRET)), quality=95)
    info = inspect(data)
    own = decode_own(data, info).pixels
    assert is_near(read(data), by_imagecms(own, P3))
    assert is_near(own, np.asarray(picture()), 12)
    assert info.profile == profile_of_icc(P3)
    assert np.abs(read(data).astype(int) - own).mean() > 2


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("gamma", [1.0, 1.8])
def test_a_grey_profile_is_applied(file_format: str, gamma: float) -> None:
    grey = picture().convert("L")
    data = encoded(
        grey, file_format, icc_profile=grey_profile(gamma), **({"quality": 98} if file_format == "JPEG" else {})
    )
    level = np.asarray(Image.open(io.BytesIO(data))) / 255
    light = level**gamma
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(read(data)[:, :, 1] - expected).max() <= 2
    assert is_near(decode_own(data, inspect(data)).pixels[:, :, 0], np.asarray(grey), 3)


def test_a_profile_for_another_pixel_type_is_ignored() -> None:
    data = encoded(picture(), "PNG", icc_profile=grey_profile(1.0))
    np.testing.assert_array_equal(read(data), np.asarray(picture()))


def cmyk_profile() -> bytes:
    """Ink to Lab, by a table of two steps: cyan and magenta darken, magenta reddens, black is black."""
    corners = np.indices((2, 2, 2, 2)).reshape(4, -1).T
    lab = [(100 * (1 - k) * (1 - 0.3 * c - 0.3 * m), 128 + 100 * m * (1 - k), 128) for c, m, _, k in corners]
    table = b"".join(struct.pack(">3B", round(255 * light / 100), round(a), b) for light, a, b in lab)
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + bytes(range(256)) * 4 + table + bytes(range(256)) * 3
    head = bytearray(P3[:128])
    head[12:24] = b"prtrCMYKLab "
    return with_tags(bytes(head) + bytes(4), A2B0=lut)


@pytest.mark.parametrize("ink", [(0, 0, 0, 0), (0, 255, 0, 0), (0, 0, 0, 255)])
def test_a_cmyk_jpeg_is_converted_by_its_profile(ink: tuple[int, int, int, int]) -> None:
    image = Image.new("CMYK", (32, 32), ink)
    plain, profiled = encoded(image, "JPEG"), encoded(image, "JPEG", icc_profile=cmyk_profile())
    source = ImageCms.ImageCmsProfile(io.BytesIO(cmyk_profile()))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert is_near(read(plain), np.asarray(image.convert("RGB")))
    assert is_near(read(profiled), np.asarray(converted))
    assert inspect(profiled).profile == b""


def png_with(*colors: tuple[bytes, bytes]) -> bytes:
    header, pixels, end = chunks(encoded(picture(), "PNG"))
    return png_of([header, *colors, pixels, end])


def number(*values: float) -> bytes:
    return struct.pack(f">{len(values)}I", *(round(value * 100_000) for value in values))


P3_POINTS = (b"cHRM", number(0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06))


@pytest.mark.parametrize(
    ("colors", "primaries", "transfer"),
    [
        ([(b"cICP", bytes((12, 13, 0, 1)))], 12, 13),
        ([(b"gAMA", number(0.45455)), P3_POINTS], 12, 13),
        ([(b"gAMA", number(1.0))], 1, 8),
        ([(b"cICP", bytes((12, 13, 0, 1))), (b"gAMA", number(1.0)), (b"sRGB", b"\0")], 12, 13),
        ([(b"gAMA", number(1.0)), (b"sRGB", b"\0")], 1, 13),
        ([(b"gAMA", number(0.45455))], 1, 13),
        ([P3_POINTS], 1, 13),
        ([(b"iCCP", b"icc\0\0" + zlib.compress(P3)), (b"sRGB", b"\0")], 12, 13),
    ],
)
def test_chunks_of_a_png_are_applied_in_order_of_precedence(
    colors: list[tuple[bytes, bytes]], primaries: int, transfer: int
) -> None:
    expected = to_srgb(np.array(picture()), profile_of_codes(primaries, transfer))
    assert is_near(read(png_with(*colors)), expected)


@pytest.mark.parametrize(
    "colors", [(b"gAMA", number(0)), (b"gAMA", b"\0"), (b"cHRM", bytes(32)), (b"cICP", b"\x0c"), (b"iCCP", b"x")]
)
def test_invalid_colours_are_left_out(colors: tuple[bytes, bytes]) -> None:
    gamma = (b"gAMA", number(0.45455))
    np.testing.assert_array_equal(
        read(png_with(gamma, colors) if colors[0] != b"gAMA" else png_with(colors)), picture()
    )


@pytest.mark.parametrize("transfer", [16, 18])
def test_diffuse_white_of_hdr_is_bright_and_nothing_is_lost_to_one_value(transfer: int) -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    shown = to_srgb(np.repeat(levels, 16, axis=0), profile_of_codes(9, transfer))[0, :, 0].astype(int)
    white = round(255 * (0.58 if transfer == 16 else 0.75))
    assert 215 < shown[white] < 250
    assert (np.diff(shown) >= 0).all()


def test_code_points_of_a_heic_and_an_avif_are_applied() -> None:
    codes = box(b"colr", b"nclx" + struct.pack(">HHHB", 12, 13, 6, 0x80))
    data = heic(codes)
    own = decode_own(data, inspect(data)).pixels
    assert is_near(read(data), by_imagecms(own, P3))
    avif = encoded(picture(), "AVIF", quality=95)
    plain = b"nclx" + struct.pack(">HH", 1, 13)
    assert plain in avif
    wide = avif.replace(plain, b"nclx" + struct.pack(">HH", 12, 13))
    assert is_near(read(wide), by_imagecms(read(avif), P3))


def test_the_curve_is_that_of_the_standard() -> None:
    np.testing.assert_allclose(srgb_curve(np.array([0, 0.04, 0.5, 1])), [0, 0.0030960, 0.2140411, 1], atol=1e-6)
