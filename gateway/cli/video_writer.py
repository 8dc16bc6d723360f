"""Write copies of videos: H.264 in MP4, each frame at its own time, with the sound of the source."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from gateway.cli.safe_files import Draft, Results
from gateway.cli.video_frames import Picture
from gateway.cli.video_reader import SOUNDS, Video, VideoError, open_video, require

_COPIED = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "opus", "flac", "alac"})
"""Audio codecs that players expect in MP4, by the names of their decoders. Others become AAC."""
_H264 = {"crf": "18", "preset": "medium", "profile": "high", "bf": "0"}
"""Without B frames, which are stored out of order: with uneven times, many programs would show a wrong length."""


class Copy:
    """An MP4 file that is written frame by frame. Unless it is finished, it is removed, with its new folders.

    `rate` is the average frames a second. The sound is that of the video `sound`, if there is one. Nothing is written
    before the first frame. The methods raise VideoError, FFmpegError and OSError.
    """

    def __init__(self, results: Results, target: Path, rate: Fraction, sound: Video | None) -> None:
        self._results, self._target = results, target
        self._rate, self._sound = rate, sound
        self._place, self._open = ExitStack(), ExitStack()
        self._begun: tuple[Draft, _File] | None = None

    def write(self, picture: Picture, duration: int) -> None:
        """Add a frame, with its duration in its `time_base`, and the sound up to it."""
        self._begun = self._begun or self._begin(picture)
        self._begun[1].write(picture, duration)

    def finish(self) -> None:
        """Write the rest, and give the file its name."""
        if self._begun:
            draft, file = self._begun
            file.end()
            self._open.close()
            draft.keep()

    def abandon(self) -> None:
        """Remove the file unless it is finished."""
        with contextlib.suppress(av.FFmpegError, OSError, VideoError):
            self._open.close()
        self._place.close()

    def _begin(self, picture: Picture) -> "tuple[Draft, _File]":
        """FFmpeg opens the file twice, to move the index to its front; by a path that others cannot change."""
        draft = self._place.enter_context(self._results.draft(self._target))
        file, options = f"file:{draft.path}", {"movflags": "+faststart"}
        container = self._open.enter_context(av.open(file, "w", format="mp4", container_options=options))
        pictures = _h264(container, picture, self._rate)
        source = self._open.enter_context(open_video(self._sound.source)) if self._sound else None
        sounds = _sounds(container, source, self._sound) if source and self._sound else iter(())
        return draft, _File(container, pictures, sounds)


class _File:
    """An MP4 that is being written: its frames, and its sound: each step writes a packet and gives its time."""

    def __init__(self, container: OutputContainer, pictures: VideoStream, sounds: Iterator[float]) -> None:
        self._container, self._pictures, self._sounds = container, pictures, sounds
        self._sound_until = 0.0
        self._durations: dict[int, int] = {}

    def write(self, picture: Picture, duration: int) -> None:
        self._durations[picture.pts] = duration
        self._mux(self._pictures.codec_context.encode(picture.frame()))
        self._write_sound(picture.time)

    def end(self) -> None:
        self._mux(self._pictures.codec_context.encode(None))
        self._write_sound(math.inf)

    def _mux(self, packets: "list[Packet[VideoStream]]") -> None:
        for packet in packets:
            packet.stream = self._pictures
            packet.duration = self._durations.pop(packet.pts or 0)
            self._container.mux_one(packet)

    def _write_sound(self, until: float) -> None:
        while self._sound_until <= until and self._sound_until < math.inf:
            self._sound_until = next(self._sounds, math.inf)


def _h264(container: OutputContainer, first: Picture, rate: Fraction) -> VideoStream:
    stream = container.add_stream("libx264", rate=rate, options=_H264)
    context = stream.codec_context
    context.width, context.height = first.size
    context.pix_fmt = "yuv420p"
    context.time_base = first.time_base
    context.sample_aspect_ratio = first.aspect
    context.colorspace, context.color_range = first.colours.matrix, first.colours.range
    context.color_primaries, context.color_trc = first.colours.primaries, first.colours.transfer
    return stream


def _sounds(container: OutputContainer, source: InputContainer, video: Video) -> Iterator[float]:
    """Add the source's audio tracks. Each step writes a packet and gives its time in seconds."""
    tracks = {one.index: _Track(container, one, video.start) for one in source.streams.audio if one.codec_context}
    return _written(source, tracks, video)


def _written(source: InputContainer, tracks: "Mapping[int, _Track]", video: Video) -> Iterator[float]:
    streams = [track.source for track in tracks.values()]
    for packet in _readable(source.demux(streams)) if streams else ():
        time = tracks[packet.stream.index].write(packet)
        video.bounds.check(0, time)
        yield time


def _readable(packets: "Iterator[Packet[Stream]]") -> "Iterator[Packet[Stream]]":
    """The packets up to where the file is damaged."""
    with contextlib.suppress(av.FFmpegError):
        yield from packets


class _Track:
    """An audio track, copied if players expect its codec in MP4, else encoded as AAC."""

    def __init__(self, container: OutputContainer, source: AudioStream, start: Fraction) -> None:
        self.source = source
        self._container = container
        self._start = start
        self._last: int | None = None
        self._copied = source.codec_context.name in _COPIED
        self._stream = container.add_stream_from_template(source) if self._copied else self._coded()

    def _coded(self) -> AudioStream:
        context = self.source.codec_context
        require(context, SOUNDS, "its sound, which --audio drop leaves out, is")
        layout = "mono" if context.layout.nb_channels == 1 else "stereo"
        self._resampler = AudioResampler(format="fltp", layout=layout, rate=_aac_rate(context))
        return self._container.add_stream("aac", rate=_aac_rate(context), layout=layout)

    def write(self, packet: "Packet[Stream]") -> float:
        """Write a packet of the source, and return its time in seconds."""
        shift = round(self._start / packet.time_base)
        decoded = packet.pts if packet.dts is None else packet.dts
        time = float(((decoded or 0) - shift) * packet.time_base)
        if not self._copied:
            self._code(packet, shift)
        elif packet.size and decoded is not None:
            self._copy(packet, decoded - shift, (decoded if packet.pts is None else packet.pts) - shift)
        return time

    def _copy(self, packet: "Packet[Stream]", decoded: int, shown: int) -> None:
        """Some recorders write two packets with one time, which MP4 refuses: the second gets the next tick."""
        packet.dts = decoded if self._last is None else max(decoded, self._last + 1)
        packet.pts = max(shown, packet.dts)
        self._last = packet.dts
        packet.stream = self._stream
        self._container.mux_one(packet)

    def _code(self, packet: "Packet[Stream]", shift: int) -> None:
        with contextlib.suppress(av.error.InvalidDataError):
            for frame in self.source.codec_context.decode(packet):
                frame.pts = None if frame.pts is None else frame.pts - shift
                for ready in self._resampler.resample(frame):
                    self._container.mux(self._stream.encode(ready))
        if not packet.size:
            for ready in self._resampler.resample(None):
                self._container.mux(self._stream.encode(ready))
            self._container.mux(self._stream.encode(None))


def _aac_rate(context: AudioCodecContext) -> int:
    return context.sample_rate if context.sample_rate in _AAC_RATES else 48000


_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})
