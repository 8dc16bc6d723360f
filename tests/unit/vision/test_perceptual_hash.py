import cv2
import numpy as np
import pytest

from vision.photo import differing_bits, perceptual_hash


def scene(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (240, 180), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_scene_stored_otherwise_differs_in_few_bits(seed: int) -> None:
    photo = scene(seed)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", photo, (cv2.IMWRITE_JPEG_QUALITY, 60))[1], cv2.IMREAD_COLOR)
    smaller = cv2.resize(photo, (120, 90), interpolation=cv2.INTER_AREA)
    brighter = cv2.add(photo // 2, 40)
    for other in (jpeg, smaller, brighter):
        assert differing_bits(perceptual_hash(photo), perceptual_hash(other)) <= 6


def test_other_scenes_differ_in_many_bits() -> None:
    hashes = [perceptual_hash(scene(seed)) for seed in range(20)]
    distances = [differing_bits(first, second) for index, first in enumerate(hashes) for second in hashes[:index]]
    assert min(distances) >= 14
    assert 26 < np.mean(distances) < 38


def test_half_the_bits_are_set_and_the_first_stands_for_brightness() -> None:
    value = perceptual_hash(scene(0))
    assert value.bit_count() == 32
    assert value >> 63 == 1


def test_against_the_transform_written_out() -> None:
    grey = cv2.cvtColor(cv2.resize(scene(1), (32, 32), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    k, n = np.mgrid[0:32, 0:32]
    basis = np.cos(np.pi * k * (2 * n + 1) / 64)
    scale = np.where(np.arange(32) == 0, np.sqrt(1 / 32), np.sqrt(2 / 32))
    low = (scale[:, None] * (basis @ grey @ basis.T) * scale)[:8, :8]
    bits = "".join("1" if value > np.median(low) else "0" for value in low.ravel())
    assert perceptual_hash(scene(1)) == int(bits, 2)


def test_a_flat_photo_has_a_hash() -> None:
    flat = np.full((50, 60, 3), 90, dtype=np.uint8)
    assert 0 <= perceptual_hash(flat) < 2**64
