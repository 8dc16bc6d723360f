"""Frames as they are shown."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.photo_paths import NamedPhoto
from gateway.cli.video_frames import SDR, Colours, Picture, Region
from gateway.cli.video_reader import Bounds, Damage, VideoError, survey
from gateway.cli.videos import developed
from tests.films import GREY, RED, Coding, scene, write_film
from vision.arrays import RGB
from vision.tone_mapping import Primaries, Transfer, tone_mapped

HDR = {Transfer.PQ: 16, Transfer.HLG: 18}
BT2020_NCL = np.array([[0.2627, 0.6780, 0.0593], [-0.13963, -0.36037, 0.5], [0.5, -0.45979, -0.04021]])
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
"""Of red and blue in the luma of each matrix, after ITU-T H.273."""


def pictures(path: Path) -> list[Picture]:
    return list(developed(survey(NamedPhoto(path), Bounds(1000, 1000)), Damage()))


def shown(path: Path) -> list[RGB]:
    return [one.rgb(VideoReformatter()) for one in pictures(path)]


def square(picture: RGB) -> Region:
    rows, columns = np.nonzero((picture[..., 0] > 150) & (picture[..., 1] < 110))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_frames_are_turned_upright_by_the_display_matrix(tmp_path: Path, rotation: int, mirrored: bool) -> None:  # noqa: FBT001
    coding = Coding(rotation=rotation, mirrored=mirrored, aspect=Fraction(4, 3))
    (one,) = pictures(write_film(tmp_path / "film.mp4", [scene((10, 20))], coding))
    upright = np.rot90(scene((10, 20)), rotation // 90)
    upright = upright[:, ::-1] if mirrored else upright
    assert square(one.rgb(VideoReformatter())) == square(upright)
    assert one.size == upright.shape[1::-1]
    assert one.aspect == (Fraction(3, 4) if rotation % 180 else Fraction(4, 3))


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_the_last_row_or_column_of_an_odd_side_is_repeated(tmp_path: Path, codec: str) -> None:
    (picture,) = shown(write_film(tmp_path / "film.mkv", [scene((79, 20), (95, 63))], Coding(codec, "yuv444p")))
    assert picture.shape == (64, 96, 3)
    assert np.abs(picture[63].astype(int) - picture[62]).max() <= 3
    assert np.abs(picture[25, 95].astype(int) - RED).max() <= 12, "the square reaches to the side"


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", sorted(WEIGHTS))
def test_colours_are_converted_by_their_own_matrix_and_range(tmp_path: Path, matrix: int, full: bool) -> None:  # noqa: FBT001
    path = write_film(tmp_path / "film.mkv", [scene((40, 20))], Coding("ffv1", colours=(matrix, 1, 1), full=full))
    (one,) = pictures(path)
    assert one.colours == Colours(matrix, 1, 1, full=full)
    luma, blue, red = (int(plane[24 // step, 48 // step]) for plane, step in zip(one.planes, (1, 2, 2), strict=True))
    (weight_red, weight_blue), scale = WEIGHTS[matrix], (255, 0, 255) if full else (219, 16, 224)
    r, g, b = (value / 255 for value in RED)
    expected = weight_red * r + (1 - weight_red - weight_blue) * g + weight_blue * b
    assert luma == pytest.approx(scale[1] + scale[0] * expected, abs=1.5)
    assert blue == pytest.approx(128 + scale[2] * (b - expected) / (2 - 2 * weight_blue), abs=1.5)
    assert red == pytest.approx(128 + scale[2] * (r - expected) / (2 - 2 * weight_red), abs=1.5)
    assert np.abs(one.rgb(VideoReformatter())[28, 48].astype(int) - RED).max() <= 2


@pytest.mark.parametrize(("size", "matrix"), [((96, 64), 6), ((720, 576), 6), ((1280, 720), 1), ((640, 1280), 1)])
def test_a_missing_colour_matrix_is_guessed_from_the_size(tmp_path: Path, size: tuple[int, int], matrix: int) -> None:
    coding = Coding("ffv1", tagged=False, colours=(matrix, 2, 2))
    (one,) = pictures(write_film(tmp_path / "film.mkv", [scene((40, 20), size)], coding))
    assert one.colours.matrix == matrix
    assert np.abs(one.rgb(VideoReformatter())[28, 48].astype(int) - RED).max() <= 3


@pytest.mark.parametrize("transfer", Transfer)
def test_high_dynamic_range_is_converted_to_bt709(tmp_path: Path, transfer: Transfer) -> None:
    signal = np.array([[0.53, 0.226, 0.188]])
    path = write_film(
        tmp_path / "film.mkv", [np.broadcast_to((signal * 255).round().astype(np.uint8), (64, 96, 3)).copy()],
        Coding("ffv1", "yuv420p10le", colours=(9, 9, HDR[transfer])),
    )  # fmt: skip
    (one,) = pictures(path)
    assert one.colours == SDR
    expected = tone_mapped((signal * 255).round() / 255, transfer, Primaries.BT2020)[0] * 255
    assert one.rgb(VideoReformatter())[30, 40] == pytest.approx(expected, abs=3)


def test_interlaced_fields_leave_no_comb_pattern(tmp_path: Path) -> None:
    frames = [scene((4 + 8 * step, 20)) for step in range(6)]
    for one, later in pairwise(frames):
        one[1::2] = later[1::2]
    woven = Coding(options={"flags": "+ildct+ilme", "x264-params": "tff=1"})
    path = write_film(tmp_path / "film.mov", frames, woven)
    combed = [np.abs(np.diff(frame[..., 1].astype(int), axis=0)).sum() for frame in frames]
    plain = [np.abs(np.diff(frame[..., 1].astype(int), axis=0)).sum() for frame in shown(path)]
    assert len(plain) == len(frames)
    assert plain[2] < combed[2] * 0.7
    assert [float(one.pts * one.time_base) for one in pictures(path)] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2])


def test_transparent_pixels_become_black_for_any_colour(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    frame = np.dstack([scene(), np.full((64, 96), 255, np.uint8)])
    frame[20:36, 40:56, 3] = 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "bgra"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgba").reformat(format="bgra")))
        container.mux(stream.encode(None))
    (picture,) = shown(path)
    assert picture[28, 48].max() <= 3
    assert np.abs(picture[5, 5].astype(int) - GREY).max() <= 2


@pytest.mark.parametrize("sizes", [[(96, 64), (64, 96)], [(64, 96), (96, 64)], [(96, 64), (192, 40), (16, 16)]])
def test_frames_of_another_size_are_fitted_whole_into_the_first_size(
    tmp_path: Path, sizes: list[tuple[int, int]]
) -> None:
    path = resized(tmp_path / "film.webm", sizes)
    pictures = shown(path)
    assert {picture.shape[1::-1] for picture in pictures} == {sizes[0]}
    for picture in pictures:
        x1, y1, x2, y2 = square(picture)
        assert (x2 - x1) / (y2 - y1) == pytest.approx(1, abs=0.35), "not stretched"


def resized(path: Path, sizes: Sequence[tuple[int, int]]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width, stream.height = sizes[0]
        for number, (width, height) in enumerate(sizes):
            encoder = av.CodecContext.create("libvpx", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), GREY, np.uint8), format="rgb24")
            middle = scene((width // 4, height // 4), (width, height)) if min(width, height) >= 32 else None
            picture = frame if middle is None else av.VideoFrame.from_ndarray(middle, format="rgb24")
            if middle is None:
                picture = av.VideoFrame.from_ndarray(np.full((height, width, 3), RED, np.uint8), format="rgb24")
            ready = picture.reformat(format="yuv420p")
            ready.pts, ready.time_base = number, Fraction(1, 25)
            for packet in (*encoder.encode(ready), *encoder.encode(None)):
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                container.mux(packet)
    return path


def test_colours_that_cannot_be_converted_are_refused(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mkv", [scene()], Coding("ffv1", colours=(1, 1, 1)))
    content = path.read_bytes()
    matrix = b"\x55\xb1\x81\x01"
    assert matrix in content
    path.write_bytes(content.replace(matrix, b"\x55\xb1\x81\x08"))
    with pytest.raises(VideoError, match="matrix 8"):
        pictures(path)


BOXES = st.tuples(st.integers(-20, 60), st.integers(-20, 60), st.integers(1, 40), st.integers(1, 40)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@given(st.lists(BOXES, max_size=3), st.integers(0, 2**32 - 1))
def test_only_pixels_of_hidden_regions_change(regions: list[Region], seed: int) -> None:
    chance = np.random.default_rng(seed)
    planes = tuple(chance.integers(0, 256, size, np.uint8) for size in ((32, 48), (16, 24), (16, 24)))
    picture = Picture(planes, SDR, Fraction(1), 0, Fraction(1, 25), 1)
    changed = picture.changed(np.zeros((32, 48, 3), np.uint8), regions, VideoReformatter())
    hidden = np.zeros((16, 24), bool)
    for row, column in np.ndindex(16, 24):
        hidden[row, column] = any(
            x1 < 2 * column + 2 and x2 > 2 * column and y1 < 2 * row + 2 and y2 > 2 * row for x1, y1, x2, y2 in regions
        )  # fmt: skip
    masks = (hidden.repeat(2, 0).repeat(2, 1), hidden, hidden)
    for plane, other, mask, black in zip(planes, changed.planes, masks, (16, 128, 128), strict=True):
        assert np.array_equal(plane[~mask], other[~mask]), "all else is the source's own"
        assert np.all(other[mask] == black), "nothing of the source is left under what is hidden"
