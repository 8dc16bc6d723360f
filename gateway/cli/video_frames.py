"""Frames of videos as they are shown: upright, in 8 bits, with even sides, in their own colours."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from typing import cast

import numpy as np
from av.error import FFmpegError
from av.filter.graph import Graph
from av.sidedata.sidedata import SideData
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from gateway.cli.video_reader import VideoError
from vision.arrays import RGB
from vision.tone_mapping import Primaries, Transfer, cube

Plane = NDArray[np.uint8]
Region = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels."""

_UNKNOWN, _RGB, _BT709, _BT601 = 2, 0, 1, 6
_FULL = 2
_MATRICES = frozenset({1, 4, 5, 6, 7, 9})
"""Matrices of ITU-T H.273 that can be converted to RGB."""
_USUAL = {1: (1, 1), 9: (9, 14)}
"""Primaries and transfer to assume for a matrix if none are given. For BT.601 there are several."""
_HDR = {16: Transfer.PQ, 18: Transfer.HLG}
_HDR_PRIMARIES = {1: Primaries.BT709, 12: Primaries.P3}
_HD_WIDTH, _SD_HEIGHT = 1280, 576
_CUBE_SIZE = 49
_BICUBIC, _FULL_CHROMA_OUT, _FULL_CHROMA_IN, _ACCURATE = 0x4, 0x2000, 0x4000, 0x40000
_EXACT = _BICUBIC | _FULL_CHROMA_OUT | _FULL_CHROMA_IN | _ACCURATE
"""Flags of libswscale. Without them its results are wrong by up to three levels."""


@dataclass(frozen=True)
class Colours:
    """How colours are coded: code points of ITU-T H.273. `full` means the full range of values."""

    matrix: int
    primaries: int
    transfer: int
    full: bool

    @property
    def range(self) -> ColorRange:
        """As FFmpeg names it."""
        return ColorRange.JPEG if self.full else ColorRange.MPEG


SDR = Colours(matrix=1, primaries=1, transfer=1, full=False)
"""BT.709, of limited range."""


@dataclass(frozen=True)
class Picture:
    """A frame as it is shown. `planes` are its luma and, at half the width and height, its two chroma planes.

    `aspect` is width to height of one pixel. `pts` and `duration` count units of `time_base`, from the start
    of the video. The duration is 0 if the video gives none.
    """

    planes: tuple[Plane, Plane, Plane]
    colours: Colours
    aspect: Fraction
    pts: int
    time_base: Fraction
    duration: int

    @property
    def time(self) -> float:
        """Seconds from the video's start."""
        return float(self.pts * self.time_base)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.planes[0].shape
        return width, height

    def frame(self) -> VideoFrame:
        """A frame for the encoder: pixels and time, without the side data of the source's frame."""
        stacked = np.concatenate([plane.ravel() for plane in self.planes])
        width, height = self.size
        frame = VideoFrame.from_ndarray(stacked.reshape(height * 3 // 2, width), format="yuv420p")
        frame.pts, frame.time_base = self.pts, self.time_base
        frame.colorspace, frame.color_range = self.colours.matrix, self.colours.range
        return frame

    def rgb(self, converter: VideoReformatter) -> RGB:
        """H×W×3."""
        shown = _converted(self.frame(), "rgb24", self.colours, converter)
        return np.ascontiguousarray(shown.to_ndarray(), dtype=np.uint8)

    def changed(self, rgb: RGB, regions: Sequence[Region], converter: VideoReformatter) -> "Picture":
        """The picture with some regions from another picture of the same size. All other pixels stay the same."""
        copy = _planes(_converted(VideoFrame.from_ndarray(rgb, format="rgb24"), "yuv420p", self.colours, converter))
        planes = [plane.copy() for plane in self.planes]
        for x1, y1, x2, y2 in regions:
            rows, columns = (slice(max(low, 0) // 2, (max(high, 0) + 1) // 2) for low, high in ((y1, y2), (x1, x2)))
            for plane, other in zip(planes[1:], copy[1:], strict=True):
                plane[rows, columns] = other[rows, columns]
            rows, columns = (slice(2 * part.start, 2 * part.stop) for part in (rows, columns))
            planes[0][rows, columns] = copy[0][rows, columns]
        return replace(self, planes=(planes[0], planes[1], planes[2]))


class FrameConverter:
    """Makes pictures of a video's frames, all in the size of the first."""

    def __init__(self, aspect: Fraction | None) -> None:
        self._aspect = aspect or Fraction(1)
        self._converter = VideoReformatter()
        self._size: tuple[int, int] | None = None
        self._tone: tuple[tuple[object, ...], Graph] | None = None

    def pictures(self, frames: Iterator[VideoFrame]) -> Iterator[Picture]:
        """Raises VideoError `video_unsupported` for colours that cannot be converted."""
        try:
            yield from map(self._picture, _progressive(frames))
        except (FFmpegError, ValueError) as error:
            raise VideoError("video_unsupported", f"its colours cannot be converted: {error}") from error

    def _picture(self, frame: VideoFrame) -> Picture:
        colours, flat = self._flat(frame)
        turn = _turn(frame)
        planes = tuple(_turned(plane, turn) for plane in _planes(flat))
        aspect = 1 / self._aspect if turn[0] else self._aspect
        picture = Picture(
            (planes[0], planes[1], planes[2]), colours, aspect, frame.pts or 0, frame.time_base or Fraction(1),
            frame.duration or 0,
        )  # fmt: skip
        self._size = self._size or picture.size
        return picture if picture.size == self._size else _fitted(picture, self._size)

    def _flat(self, frame: VideoFrame) -> tuple[Colours, VideoFrame]:
        """The frame as 8 bits of luma and chroma, and how they code colours."""
        colours = _colours(frame)
        opaque = _on_black(frame, colours, self._converter) if _has_alpha(frame) else frame
        if colours.transfer in _HDR:
            return SDR, _converted(self._tone_mapped(opaque, colours), "yuv420p", SDR, self._converter)
        if opaque.format.is_rgb:
            coded = replace(colours, full=False)
            return coded, _converted(opaque, "yuv420p", coded, self._converter)
        same = opaque.format.name == "yuv420p"
        return colours, opaque if same else _converted(opaque, "yuv420p", colours, self._converter)

    def _tone_mapped(self, frame: VideoFrame, colours: Colours) -> VideoFrame:
        deep = _converted(frame, "gbrp16le", colours, self._converter)
        wanted = (deep.width, deep.height, colours)
        if self._tone is None or self._tone[0] != wanted:
            self._tone = wanted, _tone_filter(deep, colours)
        self._tone[1].vpush(deep)
        return self._tone[1].vpull()


def _progressive(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Frames without interlacing. Television cameras record the two fields of a frame at different times."""
    for _, alike in groupby(frames, lambda frame: (frame.width, frame.height, frame.format.name, frame.time_base)):
        deinterlace: Graph | None = None
        for frame in alike:
            if deinterlace is None and frame.interlaced_frame:
                deinterlace = _filter(frame, "bwdif", mode="send_frame", deint="interlaced")
            yield from _filtered(frame, deinterlace, frame.time_base) if deinterlace else (frame,)
        yield from _filtered(None, deinterlace, frame.time_base) if deinterlace else ()


def _filter(frame: VideoFrame, name: str, **options: str) -> Graph:
    """A graph of one filter, for frames like this one."""
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(source, graph.add(name, **options), graph.add("buffersink")).configure()
    return graph


def _filtered(frame: VideoFrame | None, graph: Graph, base: Fraction | None) -> Iterator[VideoFrame]:
    """The frames that the filter gives for this one, or for None at the end. The filter counts time in other units."""
    graph.vpush(frame)
    with contextlib.suppress(BlockingIOError, EOFError):
        while True:
            ready = graph.vpull()
            unit = (ready.time_base or Fraction(1)) / (base or Fraction(1))
            ready.pts, ready.duration = round((ready.pts or 0) * unit), round((ready.duration or 0) * unit)
            ready.time_base = base
            yield ready


def _colours(frame: VideoFrame) -> Colours:
    """The colours by the frame's tags. Without a matrix it is guessed from the size, as players do."""
    matrix = _BT709 if frame.format.is_rgb else frame.colorspace
    if matrix in {_UNKNOWN, _RGB}:
        matrix = _BT709 if frame.width >= _HD_WIDTH or frame.height > _SD_HEIGHT else _BT601
    if matrix not in _MATRICES:
        raise VideoError("video_unsupported", f"its colours are coded by matrix {matrix} of H.273, which is not known")
    full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
    primaries, transfer = _USUAL.get(matrix, (_UNKNOWN, _UNKNOWN))
    return Colours(
        matrix,
        primaries if frame.color_primaries == _UNKNOWN else frame.color_primaries,
        transfer if frame.color_trc == _UNKNOWN else frame.color_trc,
        full,
    )


def _converted(frame: VideoFrame, layout: str, colours: Colours, converter: VideoReformatter) -> VideoFrame:
    """The frame in another pixel format: RGB, or luma and chroma of the same colours and range."""
    frame.colorspace = colours.matrix
    source, wanted = (ColorRange.JPEG if one.is_rgb else colours.range for one in (frame.format, VideoFormat(layout)))
    return converter.reformat(
        frame, format=layout, src_color_range=source, dst_color_range=wanted, interpolation=_EXACT
    )


def _has_alpha(frame: VideoFrame) -> bool:
    return frame.format.name.startswith(("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya", "pal8"))


def _on_black(frame: VideoFrame, colours: Colours, converter: VideoReformatter) -> VideoFrame:
    """A transparent frame on black, as players show it."""
    rgba = _converted(frame, "rgba", colours, converter).to_ndarray()
    weighed = rgba[..., :3].astype(np.uint16) * rgba[..., 3:] // 255
    opaque = VideoFrame.from_ndarray(np.ascontiguousarray(weighed, dtype=np.uint8), format="rgb24")
    opaque.pts, opaque.time_base = frame.pts, frame.time_base
    return opaque


def _tone_filter(frame: VideoFrame, colours: Colours) -> Graph:
    """A filter that maps the colours of frames like this one by a table."""
    table = cube(_CUBE_SIZE, _HDR[colours.transfer], _HDR_PRIMARIES.get(colours.primaries, Primaries.BT2020))
    with tempfile.NamedTemporaryFile("w", suffix=".cube") as file:
        file.write(table)
        file.flush()
        return _filter(frame, "lut3d", file=file.name, interp="tetrahedral")


def _planes(frame: VideoFrame) -> tuple[Plane, Plane, Plane]:
    """The planes with even sides: the last row or column of an odd side is repeated."""
    luma, *chroma = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    )
    height, width = luma.shape
    even = np.pad(luma, ((0, height % 2), (0, width % 2)), mode="edge") if height % 2 or width % 2 else luma
    return even, chroma[0], chroma[1]


def _turn(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Whether a frame is shown transposed, then mirrored left to right, then top to bottom.

    The display matrix maps (x, y) to (a·x + c·y, b·x + d·y); the nearest right angle is taken.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(memoryview(cast("SideData", data)), np.int32)[:5].tolist()
    return (True, c < 0, b < 0) if abs(a) + abs(d) < abs(b) + abs(c) else (False, a < 0, d < 0)


def _turned(plane: Plane, turn: tuple[bool, bool, bool]) -> Plane:
    transposed, mirrored, flipped = turn
    plane = plane.T if transposed else plane
    plane = plane[:, ::-1] if mirrored else plane
    return plane[::-1] if flipped else plane


def _fitted(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture fitted into another size, with black beside it: a recording may change its size."""
    width, height = size
    scale = min(width / picture.size[0], height / picture.size[1])
    inner = [max(2, 2 * int(side * scale / 2)) for side in picture.size]
    frame = VideoReformatter().reformat(picture.frame(), width=inner[0], height=inner[1], interpolation="BICUBIC")
    left, top = ((whole - part) // 4 for whole, part in zip(size, inner, strict=True))
    blacks = (0 if picture.colours.full else 16, 128, 128)
    planes = []
    for plane, black, step in zip(_planes(frame), blacks, (2, 1, 1), strict=True):
        canvas = np.full((height * step // 2, width * step // 2), black, np.uint8)
        canvas[top * step :, left * step :][: plane.shape[0], : plane.shape[1]] = plane
        planes.append(canvas)
    return replace(picture, planes=(planes[0], planes[1], planes[2]))
