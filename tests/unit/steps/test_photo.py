import numpy as np
import pytest

from steps.photo import EncodedPhoto
from steps.tensors import InputError, bytes_tensor
from tests.unit.vision.test_photo import P3, encoded, picture
from vision.encoding import Form

WIDE = encoded(picture(), "PNG", icc_profile=P3)


def read(data: bytes) -> EncodedPhoto:
    return EncodedPhoto.read(bytes_tensor([data]))


def test_models_get_srgb_and_a_copy_keeps_the_photos_own_colours() -> None:
    photo = read(WIDE)
    own = photo.own()
    np.testing.assert_array_equal(own.pixels, np.asarray(picture()))
    np.testing.assert_array_equal(photo.srgb(own).pixels, photo.full().pixels)
    np.testing.assert_array_equal(own.pixels, np.asarray(picture()))
    assert np.abs(photo.full().pixels.astype(int) - own.pixels).mean() > 2
    assert photo.rewritten(own.pixels, Form()) == photo.rewritten(np.array(picture()), Form())


def test_pixels_decoded_by_an_earlier_step_are_used() -> None:
    plain, decoded = read(encoded(picture(), "PNG")), np.zeros((43, 61, 3), np.uint8)
    assert plain.own(decoded).pixels is decoded
    assert plain.srgb(plain.own(decoded)).pixels is decoded
    assert read(WIDE).own(decoded).pixels is decoded


def test_converting_for_models_leaves_the_photos_own_pixels_unchanged() -> None:
    own = read(WIDE).own()
    seen = read(WIDE).srgb(own).pixels
    np.testing.assert_array_equal(own.pixels, np.asarray(picture()))
    assert (seen != own.pixels).any()


@pytest.mark.parametrize("data", [encoded(picture(), "JPEG")[:700] + b"\xff\xd9", WIDE[:-100]])
def test_a_damaged_photo_is_an_error_of_the_input(data: bytes) -> None:
    with pytest.raises(InputError, match=r"image_corrupt|image_truncated"):
        read(data).own()
