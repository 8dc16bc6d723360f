"""Read videos frame by frame, each frame with its time, within limits; no file but the video itself is opened."""

import heapq
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from gateway.cli.photo_paths import NamedPhoto
from gateway.cli.safe_files import NotRegularError

MAX_PIXELS = 100_000_000
"""The most pixels of a frame: 16384×6144 has as many."""
_MICROSECOND = Fraction(1, 1_000_000)
_ATOMS = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
"""Files of MOV, MP4 and their relatives begin with one of these."""
PICTURES = frozenset(
    {"h264", "hevc", "libdav1d", "vp8", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "h263", "flv", "mjpeg"}
    | {"prores", "dnxhd", "cfhd", "png", "qtrle", "rawvideo", "v210", "ffv1", "ffvhuff", "huffyuv", "utvideo"}
    | {"msmpeg4", "msmpeg4v2", "wmv1", "wmv2", "cinepak", "svq1", "dvvideo"}
)
"""Video codecs that are decoded, by the names of FFmpeg's decoders: those that cameras, phones and editors use."""
SOUNDS = frozenset(
    {"aac", "mp3float", "mp2", "ac3", "eac3", "opus", "vorbis", "flac", "alac"}
    | {"amrnb", "wmav1", "wmav2", "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "pcm_alaw"}
    | {"pcm_mulaw", "pcm_u8", "pcm_s8", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"}
    | {f"pcm_s{bits}{order}" for bits in (16, 24, 32) for order in ("le", "be")}
)
"""Audio codecs that are decoded. Hundreds of others, many of them old and little tested, are refused."""
_CLOSED = {
    "protocol_whitelist": "none",
    "codec_whitelist": ",".join(sorted(PICTURES | SOUNDS)),
    "enable_drefs": "0",
    "use_absolute_path": "0",
}
_SHORT_S = 2.0
"""Seconds that sound may be longer than the pictures before that is reported."""
_SEGMENT, _EBML_HEAD = b"\x18\x53\x80\x67", 4096
"""The element of a Matroska file that holds the video, and within how many bytes of the file's beginning it starts."""
_BEGINNING = 376
"""Bytes that show the format of a file: two packets of a transport stream."""
_OTHERS = {
    "a playlist (HLS)": rb"(\xef\xbb\xbf)?\s*#EXTM3U",
    "a list of films (ffconcat)": rb"\s*(ffconcat|file\s)",
    "a manifest (DASH or the like)": rb"(\xef\xbb\xbf)?\s*<(\?xml|MPD|SmoothStreamingMedia|smil|asx)",
    "a description of a session (SDP)": rb"v=0\r?\n",
    "an address": rb"[a-zA-Z][a-zA-Z0-9+.-]*[:,]",
    "Ogg": rb"OggS",
    "FLV": rb"FLV\x01",
    "ASF or WMV": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    "a transport stream (MPEG-TS)": rb"G.{187}(G|$)",
    "a program stream (MPEG-PS)": rb"\x00\x00\x01[\xba\xb3]",
    "RealMedia": rb"\.RMF",
    "WAV": rb"RIFF....WAVE",
    "a photo": rb"\xff\xd8\xff|\x89PNG|GIF8|BM|II\*\x00|MM\x00\*|RIFF....WEBP",
}
"""Refused formats, by the first bytes of their files, for the error message."""
_TAKEN = "MP4, MOV, Matroska, WebM and AVI are taken"


class VideoError(Exception):
    """A video that is refused, or cannot be read or written. The code is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Bounds:
    """The most frames and the most seconds of a video."""

    frames: int
    seconds: float

    def check(self, frames: int, seconds: float) -> None:
        """Raise VideoError `video_too_long` for more."""
        if frames > self.frames:
            raise VideoError("video_too_long", f"more than {self.frames} frames; --max-frames says how many are taken")
        if seconds > self.seconds:
            detail = f"{seconds:.0f} seconds, and {self.seconds:g} are taken; --max-seconds says how many"
            raise VideoError("video_too_long", detail)


@dataclass
class Damage:
    """The parts of a video that could not be read."""

    packets: int = 0
    ends_early: bool = False
    missing_s: float = 0

    def __str__(self) -> str:
        """A sentence about the damage. Empty if there is none."""
        places = f"it is damaged in {self.packets} place{'s' * (self.packets > 1)}" if self.packets else ""
        end = "its end is missing" if self.ends_early else ""
        short = f"its pictures end {self.missing_s:.0f} s before it does" if self.missing_s > _SHORT_S else ""
        found = " and ".join(filter(None, (end or short, places)))
        return f"{found}; the copy holds what could be read" if found else ""


@contextmanager
def open_video(source: NamedPhoto) -> Iterator[InputContainer]:
    """A container that reads this file and opens nothing else, even if the file refers to others.

    The demuxer is chosen by the file's first bytes, never by its name. Raises VideoError `video_unsupported`,
    `video_error`, and OSError.
    """
    with _opened(source) as file:
        name = _demuxer(file.read(_BEGINNING))
        file.seek(0)
        try:
            with av.open(
                file, "r", format=name, container_options=_CLOSED, metadata_errors="replace", io_open=_nothing_else
            ) as container:
                yield container
        except (av.FFmpegError, UnicodeError) as error:
            raise VideoError("video_error", _reason(error)) from error


def pictures_of(container: InputContainer) -> VideoStream:
    """The stream that players show, not a cover picture. Raises VideoError `video_unsupported`, `video_too_large`."""
    shown = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if not shown or shown[0].codec_context is None:
        raise VideoError("video_unsupported", "there are no pictures in it that can be decoded")
    stream = max(shown, key=lambda one: bool(one.disposition & Disposition.default))
    require(stream.codec_context, PICTURES, "its pictures are")
    if stream.width * stream.height > MAX_PIXELS:
        raise VideoError("video_too_large", f"{stream.width}×{stream.height}; up to {MAX_PIXELS} pixels are taken")
    return stream


def require(context: CodecContext | None, taken: Collection[str], what: str) -> None:
    """Raise VideoError `video_unsupported` unless the codec is one of those `taken`. `what` begins the message."""
    if context is None or context.name not in taken:
        kind = context.name if context else "something unknown"
        raise VideoError("video_unsupported", f"{what} coded as {kind}, which is not decoded here; {_TAKEN}")


@dataclass(frozen=True)
class Video:
    """An accepted video: how many frames it has, perhaps with unreadable ones, and when it starts.

    Players start at `start` seconds, with the first frame or the first sound, whichever is earlier.
    """

    source: NamedPhoto
    bounds: Bounds
    frames: int
    start: Fraction


def survey(source: NamedPhoto, bounds: Bounds) -> Video:
    """Count the frames, without decoding. Raises VideoError and OSError."""
    with open_video(source) as container:
        stream = pictures_of(container)
        bounds.check(stream.frames, float((container.duration or 0) * _MICROSECOND))
        starts = [] if container.start_time is None else [container.start_time * _MICROSECOND]
        count = 0
        for packet in container.demux(stream):
            if not count and packet.pts is not None:
                starts.append(packet.pts * packet.time_base)
            count += packet.size > 0
            bounds.check(count, 0)
            if stream.frames:
                break
        return Video(source, bounds, stream.frames or count, min(starts, default=Fraction(0)))


def read_frames(video: Video, container: InputContainer, stream: VideoStream, damage: Damage) -> Iterator[VideoFrame]:
    """The frames in the order in which they are shown, each later than the one before. The first time is 0 or later.

    `pts` and `time_base` are the time. Damaged frames are counted in `damage` and left out. Frames out of order are
    left out too. Raises VideoError.
    """
    stream.thread_type = "SLICE"  # threads for frames would decode damaged ones differently in each pass
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    base = stream.time_base or Fraction(1, 1000)
    start, last, count = round(video.start / base), -1, 0
    for frame in _decoded(container, stream, damage):
        shown = frame.pts
        if shown is None or shown - start <= last:
            continue
        frame.pts, frame.time_base = shown - start, base
        last, count = frame.pts, count + 1
        video.bounds.check(count, float(last * base))
        yield frame
    if not count:
        raise VideoError("video_error", "no frame of it can be read")
    damage.missing_s = float((container.duration or 0) * _MICROSECOND - last * base)


def _decoded(container: InputContainer, stream: VideoStream, damage: Damage) -> Iterator[VideoFrame]:
    """Frames with the times that the container gives.

    AVI gives the time when a packet is decoded, not when its frame is shown: the n-th frame gets the n-th such time.
    """
    stored: list[int] = []
    told = container.format.name != "avi"
    for packet in _packets(container, stream, damage):
        time = packet.dts if packet else None
        if time is not None:
            heapq.heappush(stored, time)
        try:
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:
            damage.packets += 1
            frames = []
            stored = [one for one in stored if one != time]
        for frame in frames:
            first = heapq.heappop(stored) if stored else None
            frame.pts = frame.pts if told and frame.pts is not None else first
            yield frame


def _packets(container: InputContainer, stream: VideoStream, damage: Damage) -> "Iterator[Packet[VideoStream] | None]":
    """The stream's packets, and None, which flushes the decoder."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                damage.ends_early |= packet.is_corrupt
                yield packet
    except av.FFmpegError:
        damage.ends_early = True
    yield None


def is_cut(source: NamedPhoto, container: InputContainer, stream: VideoStream) -> bool:
    """Whether the file is shorter than the index of a MOV or MP4, or the head of a Matroska file, says.

    Raises OSError.
    """
    with _opened(source) as file:
        if container.format.name.startswith("mov"):
            end = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
        else:
            end = _segment_end(file.read(_EBML_HEAD))
        return end > os.fstat(file.fileno()).st_size


def _segment_end(begin: bytes) -> int:
    """The end of a Matroska file by its own header, or 0 without one (RFC 8794, RFC 9559)."""
    at = begin.find(_SEGMENT) + len(_SEGMENT)
    if at < len(_SEGMENT) or at >= len(begin) or not begin[at]:
        return 0
    length = 9 - begin[at].bit_length()
    told = int.from_bytes(begin[at : at + length], "big") - (1 << 7 * length)
    return 0 if told == (1 << 7 * length) - 1 else at + length + told


@contextmanager
def _opened(source: NamedPhoto) -> Iterator[BinaryIO]:
    try:
        with source.open() as file:
            yield file
    except NotRegularError as error:
        raise VideoError("video_unsupported", "this is no regular file") from error


def _demuxer(begin: bytes) -> str:
    if begin[4:8] in _ATOMS:
        return "mov"
    if begin.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if begin.startswith(b"RIFF") and begin[8:12] == b"AVI ":
        return "avi"
    kind = next((kind for kind, sign in _OTHERS.items() if re.match(sign, begin, re.DOTALL)), "no film")
    raise VideoError("video_unsupported", f"this is {kind}, whatever its name says; {_TAKEN}")


def _nothing_else(url: str, _flags: int, _options: object) -> object:
    raise PermissionError(1, "a film may not open other files", url)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
