"""What is hidden, what is left, and what of it an attacker has back."""

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.arrays import RGB, Box, Float64
from vision.photo_info import PhotoError
from vision.redaction.redact import redact
from vision.redaction.region import Region, Window
from vision.redaction.styles import SIDE_PER_SIGMA, Redaction, Shape, Style, Target

BLURS = (Style.GAUSSIAN, Style.PIXELATE)
SIDE = 160
WHOLE: Box = (0, 0, SIDE, SIDE)


def noise(width: int = 120, height: int = 90, seed: int = 0) -> RGB:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def hidden(pixels: RGB, *boxes: Box, redaction: Redaction | None = None, keep: tuple[Box, ...] = ()) -> RGB:
    copy = pixels.copy()
    redact(copy, [Target(box, redaction or Redaction()) for box in boxes], keep)
    return copy


corners = st.tuples(st.floats(-80, 200), st.floats(-80, 170), st.floats(0, 150), st.floats(0, 150))


@settings(deadline=None)
@given(corners, st.sampled_from(Style), st.sampled_from(Shape), st.floats(0.25, 4), st.floats(0, 0.3))
def test_pixels_outside_the_window_stay_and_none_inside_the_box_does(
    corner: Box, style: Style, shape: Shape, strength: float, feather: float
) -> None:
    x, y, width, height = corner
    box = (x, y, x + width, y + height)
    redaction = Redaction(style, strength, shape, grow=0.25, feather=feather, color=(10, 20, 30))
    before = noise()
    after = hidden(before, box, redaction=redaction)
    window = Region.about(Target(box, redaction)).window((120, 90))
    changed = (before != after).any(axis=2)
    if not window.empty:
        changed[window.slices] = False
    assert not changed.any()
    inner = Window.about((x + 1, y + 1, x + width - 1, y + height - 1), (120, 90))
    if style is Style.SOLID and not inner.empty:
        assert (after[inner.slices] == (10, 20, 30)).all()


@pytest.mark.parametrize("style", Style)
def test_the_border_of_the_photo_is_hidden_as_its_middle_is(style: Style) -> None:
    before = noise()
    for x, y in itertools.product((-10, 50, 100), (-10, 35, 70)):
        box: Box = (x, y, x + 30, y + 30)
        after = hidden(before, box, redaction=Redaction(style, shape=Shape.BOX, feather=0))
        inner = Window.about(box, (120, 90))
        difference = np.abs(after[inner.slices].astype(int) - before[inner.slices])
        assert difference.mean() > 40, (x, y)


@pytest.mark.parametrize("box", [(10, 10, 10, 40), (30, 30, 20, 20), (-50, -50, -40, -40), (5, 5, 5, 5)])
def test_boxes_of_no_area_and_outside_the_photo_do_no_harm(box: Box) -> None:
    hidden(noise(), box)


def test_keep_leaves_every_pixel_its_box_touches_unchanged() -> None:
    before, keep = noise(), (40.2, 30.0, 60.5, 50.0)
    after = hidden(before, (20, 10, 100, 80), (30, 20, 70, 60), keep=(keep, (-5, -5, 300, 2), (200, 200, 210, 210)))
    np.testing.assert_array_equal(after[30:50, 40:61], before[30:50, 40:61])
    np.testing.assert_array_equal(after[:2], before[:2])
    assert (after[52:60, 40:61] != before[52:60, 40:61]).any(axis=2).mean() > 0.9


@pytest.mark.parametrize("style", BLURS)
def test_flat_colors_keep_their_value(style: Style) -> None:
    flat = np.full((90, 120, 3), (250, 100, 10), np.uint8)
    assert np.abs(hidden(flat, (20, 20, 80, 70), redaction=Redaction(style)).astype(int) - flat).max() <= 1


@pytest.mark.parametrize("style", BLURS)
def test_blur_and_cells_grow_with_the_box(style: Style) -> None:
    """The same picture twice as large gives the same result twice as large."""
    large = cv2.resize(portrait(), (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_NEAREST)
    redaction = Redaction(style, shape=Shape.BOX, grow=0.2, feather=0.05)
    once = hidden(portrait(), (32, 32, 128, 128), redaction=redaction).astype(int)
    twice = cv2.resize(
        hidden(large, (64, 64, 256, 256), redaction=redaction), (SIDE, SIDE), interpolation=cv2.INTER_AREA
    )
    assert np.abs(once - twice).mean() < 1
    assert np.abs(once - portrait()).mean() > 10


def test_a_stronger_blur_leaves_less() -> None:
    spread = [
        hidden(noise(SIDE, SIDE), WHOLE, redaction=Redaction(strength=strength)).std()
        for strength in (0.1, 0.2, 0.5, 1)
    ]
    assert spread == sorted(spread, reverse=True)


@pytest.mark.parametrize("style", BLURS)
@pytest.mark.parametrize("shape", Shape)
def test_two_photos_that_differ_in_detail_alone_give_the_same_pixels(style: Style, shape: Shape) -> None:
    """Nothing of what is finer than the cells goes into the result: stripes of one pixel and their mean are alike."""
    stripes = np.full((SIDE, SIDE, 3), 40, np.uint8)
    stripes[:, ::2] = 200
    mean = np.full_like(stripes, 120)
    redaction = Redaction(style, shape=shape)
    inside = slice(30, 130)
    after = hidden(stripes, WHOLE, redaction=redaction)[inside, inside].astype(int)
    assert np.abs(after - hidden(mean, WHOLE, redaction=redaction)[inside, inside]).max() <= 4


def grating(cycles: float) -> RGB:
    """As strong as eight bits hold, along a region of SIDE pixels."""
    wave = np.cos(2 * np.pi * cycles * (np.arange(SIDE) + 0.5) / SIDE)
    return np.ascontiguousarray(np.broadcast_to(np.rint(127.5 + 127.5 * wave)[None, :, None], (SIDE, SIDE, 3))).astype(
        np.uint8
    )


@pytest.mark.parametrize("cycles", [6, 8, 10, 13])
def test_the_blur_leaves_no_frequency_that_tells_faces_apart(cycles: int) -> None:
    redaction = Redaction(shape=Shape.BOX, grow=0, feather=0)
    seen = hidden(grating(cycles), WHOLE, redaction=redaction)[..., 0].astype(float)
    assert np.abs(band(grating(cycles)[..., 0].astype(float), cycles - 1, cycles + 1)).max() > 60
    assert np.abs(band(seen, cycles - 1, cycles + 1)).max() < 0.5


def deconvolved(blurred: Float64, sigma: float, noise_to_signal: float) -> Float64:
    """Wiener's filter, by one who knows the blur and has its result without loss."""
    across = np.fft.fftfreq(blurred.shape[1])[None]
    down = np.fft.fftfreq(blurred.shape[0])[:, None]
    transfer = np.exp(-2 * np.pi**2 * sigma**2 * (across**2 + down**2))
    spectrum = np.fft.fft2(blurred) * transfer / (transfer**2 + noise_to_signal)
    restored: Float64 = np.fft.ifft2(spectrum).real
    return restored


def band(image: Float64, low: float, high: float) -> Float64:
    """The waves of `low` to `high` cycles a side, away from the border."""
    across = np.fft.fftfreq(image.shape[1], 1 / image.shape[1])[None]
    down = np.fft.fftfreq(image.shape[0], 1 / image.shape[0])[:, None]
    cycles = np.hypot(across, down)
    waves = np.fft.ifft2(np.fft.fft2(image) * ((cycles >= low) & (cycles < high))).real
    return waves[32:-32, 32:-32].ravel()


def recovered(strength: float) -> float:
    """The best correlation, over noise levels, of an attacker's picture with the original, at 8 to 13 cycles."""
    seen = hidden(portrait(), WHOLE, redaction=Redaction(strength=strength, shape=Shape.BOX, grow=0, feather=0))
    original = portrait()[..., 1].astype(float)
    restored = [deconvolved(seen[..., 1], strength * SIDE / SIDE_PER_SIGMA, 10.0**level) for level in range(-12, 0)]
    return max(np.corrcoef(band(picture, 8, 13), band(original, 8, 13))[0, 1] for picture in restored)


def portrait() -> RGB:
    """Noise with the spectrum of photographs, 1/f."""
    across, down = np.fft.fftfreq(SIDE)[None], np.fft.fftfreq(SIDE)[:, None]
    white = np.fft.fft2(np.random.default_rng(3).normal(size=(SIDE, SIDE)))
    pink = np.fft.ifft2(white / np.maximum(np.hypot(across, down), 1 / SIDE)).real
    grey = np.clip(128 + 45 * pink / pink.std(), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))


def test_no_filter_brings_a_face_back_at_the_default_and_a_weak_blur_would_be_undone() -> None:
    assert recovered(0.05) > 0.9
    assert recovered(1.0) < 0.3  # of some 60 waves that are chance, 0.13 is one standard deviation


def test_a_redaction_that_would_take_minutes_is_refused_before_painting() -> None:
    before = noise(2000, 1500)
    after = before.copy()
    with pytest.raises(PhotoError, match="image_too_large: what is to be hidden covers 3000000000 pixels"):
        redact(after, [Target((0, 0, 2000, 1500), Redaction())] * 1000)
    np.testing.assert_array_equal(after, before)
