"""Small films for tests, made by PyAV."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import httpx
import numpy as np
from av.container import OutputContainer

from vision.arrays import RGB

GREY, RED = (90, 90, 90), (200, 50, 50)
FULL, LIMITED = 2, 1


@dataclass(frozen=True)
class Coding:
    """How a film is coded; `colours` are matrix, primaries and transfer of H.273, and `full` the range."""

    codec: str = "libx264"
    pixels: str = "yuv420p"
    colours: tuple[int, int, int] = (1, 1, 1)
    full: bool = False
    base: Fraction = Fraction(1, 25)
    aspect: Fraction = Fraction(1)
    options: Mapping[str, str] = field(default_factory=dict)
    rotation: int | None = None
    mirrored: bool = False
    tagged: bool = True
    place: str = ""
    file: Mapping[str, str] = field(default_factory=dict)


def scene(square: tuple[int, int] | None = (40, 20), size: tuple[int, int] = (96, 64)) -> RGB:
    """A grey picture with a red square of 16 pixels, its left upper corner there."""
    picture = np.full((size[1], size[0], 3), GREY, np.uint8)
    if square:
        x, y = square
        picture[y : y + 16, x : x + 16] = RED
    return picture


def write_film(
    path: Path,
    pictures: Sequence[RGB],
    coding: Coding = Coding(),
    times: Sequence[int] | None = None,
    tone: str | None = None,
) -> Path:
    """A film of these pictures, shown at `times` in the coding's base; `tone` names a codec for a sound beside it."""
    with av.open(str(path), "w", options=dict(coding.file)) as container:
        if coding.place:
            container.metadata["location"] = coding.place
        height, width, _ = pictures[0].shape
        stream = container.add_stream(coding.codec, rate=1 / coding.base, options=dict(coding.options))
        context = stream.codec_context
        context.width, context.height, context.pix_fmt, context.time_base = width, height, coding.pixels, coding.base
        context.sample_aspect_ratio = coding.aspect
        if coding.tagged:
            context.colorspace, context.color_primaries, context.color_trc = coding.colours
            context.color_range = FULL if coding.full else LIMITED
        if coding.rotation is not None or coding.mirrored:
            stream.set_display_rotation(coding.rotation or 0, hflip=coding.mirrored)
        sound = container.add_stream(tone, rate=48000, layout="mono") if tone else None
        for frame in _frames(pictures, coding, times or range(len(pictures))):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            seconds = ((times or range(len(pictures)))[-1] + 1) * coding.base
            _sing(container, sound, seconds)
    return path


def _frames(pictures: Sequence[RGB], coding: Coding, times: Sequence[int]) -> Iterator[av.VideoFrame]:
    for picture, time in zip(pictures, times, strict=True):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.colorspace = coding.colours[0]
        if frame.format.name != coding.pixels:
            frame = frame.reformat(
                format=coding.pixels, src_color_range=FULL,
                dst_color_range=FULL if coding.full else LIMITED, interpolation=0x4 | 0x40000 | 0x2000 | 0x4000,
            )  # fmt: skip
        frame.pts, frame.time_base = time, coding.base
        yield frame


def _sing(container: OutputContainer, stream: av.AudioStream, seconds: Fraction) -> None:
    waves = np.sin(np.arange(int(48000 * seconds)) * 2 * np.pi * 440 / 48000).astype(np.float32) * 0.3
    frame = av.AudioFrame.from_ndarray(waves[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    resampler = av.AudioResampler(stream.codec_context.format, "mono", 48000, stream.codec_context.frame_size)
    for piece in (*resampler.resample(frame), *resampler.resample(None)):
        container.mux(stream.encode(piece))
    container.mux(stream.encode(None))


@dataclass(frozen=True)
class Watched:
    """A film as it is shown."""

    times: list[float]
    pictures: list[RGB]
    seconds: float
    colours: tuple[int, int, int, int]
    aspect: Fraction | None
    tracks: list[str]
    rate: Fraction | None


def watch(path: Path) -> Watched:
    """The film, its colours converted as they are tagged; matrix, primaries, transfer and range."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        frames = list(container.decode(stream))
        shown = [
            frame.reformat(
                format="rgb24", src_color_range=context.color_range, dst_color_range=FULL,
                interpolation=0x4 | 0x40000 | 0x2000 | 0x4000,
            ).to_ndarray()
            for frame in frames
        ]  # fmt: skip
        return Watched(
            [float(frame.pts * frame.time_base) for frame in frames], shown, container.duration / 1e6,
            (context.colorspace, context.color_primaries, context.color_trc, context.color_range),
            stream.sample_aspect_ratio, [f"{one.type}:{one.codec_context.name}" for one in container.streams],
            stream.average_rate,
        )  # fmt: skip


@dataclass
class StandIn:
    """A gateway that takes red for faces, and hides what it is told to in black, two pixels beyond the box."""

    asked: list[tuple[str, dict[str, str], tuple[int, ...]]] = field(default_factory=list)
    refuse_from: int = 1_000_000

    def client(self, _url: str) -> httpx.AsyncClient:
        """Speaks to it."""
        return httpx.AsyncClient(base_url="http://stand-in", transport=httpx.MockTransport(self._answer))

    def fields(self, pipeline: str) -> dict[str, str]:
        """Of the first request to a pipeline."""
        return next(fields for name, fields, _ in self.asked if name == pipeline)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        parts = dict(_parts(request))
        photo = cv2.imdecode(np.frombuffer(parts.pop("image"), np.uint8), cv2.IMREAD_COLOR)
        pipeline = request.url.path.rpartition("/")[2]
        self.asked.append((pipeline, {name: value.decode() for name, value in parts.items()}, photo.shape))
        if len(self.asked) > self.refuse_from:
            return httpx.Response(422, json={"code": "no", "detail": "refused"})
        return httpx.Response(200, json=_found(photo) if pipeline == "detect" else _hidden(photo, parts["objects"]))


def _parts(request: httpx.Request) -> Iterator[tuple[str, bytes]]:
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    for part in request.read().split(b"--" + boundary)[1:-1]:
        head, _, content = part[2:].partition(b"\r\n\r\n")
        yield head.partition(b'name="')[2].partition(b'"')[0].decode(), content[:-2]


def _found(photo: RGB) -> dict[str, object]:
    red = (photo[..., 2] > 150) & (photo[..., 1] < 110) & (photo[..., 0] < 110)
    if not red.any():
        return {"detections": []}
    x, y, width, height = cv2.boundingRect(red.astype(np.uint8))
    return {"detections": [{"label": "face", "box": [x, y, x + width, y + height], "corners": None, "later": 1}]}


def _hidden(photo: RGB, objects: bytes) -> dict[str, object]:
    boxes = [[round(side) for side in one["box"]] for one in json.loads(objects)]
    regions = [[max(x1 - 2, 0), max(y1 - 2, 0), x2 + 2, y2 + 2] for x1, y1, x2, y2 in boxes]
    for x1, y1, x2, y2 in regions:
        photo[y1:y2, x1:x2] = 0
    png = base64.b64encode(cv2.imencode(".png", photo)[1].tobytes()).decode()
    return {"detections": [{"region": one} for one in regions], "artifacts": {"blurred.png": {"base64": png}}}


def unhidden(film: Watched) -> int:
    """Pixels of the red square that are still to be seen."""
    return sum(int(((one[..., 0] > 150) & (one[..., 1] < 110)).sum()) for one in film.pictures)


def write_clap(path: Path, pictures_from: float, sound_from: float, video: str, sound: str, base: Fraction) -> Path:
    """Two seconds of a dark picture and silence; one second after the picture begins, a white frame and a click."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(video, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.time_base = 96, 64, "yuv420p", base
        track = container.add_stream(sound, rate=48000, layout="mono")
        packets: list[av.Packet] = []
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 250 if number == 25 else 20, np.uint8), "rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = round((pictures_from + number / 25) / base), base
            packets += stream.encode(frame)
        click = np.zeros((1, 96000), np.float32)
        click[0, round((pictures_from + 1 - sound_from) * 48000) :][:480] = 0.9
        frame = av.AudioFrame.from_ndarray(click, format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, round(sound_from * 48000), Fraction(1, 48000)
        context = track.codec_context
        resampler = av.AudioResampler(context.format, "mono", 48000, context.frame_size)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            packets += track.encode(piece)
        packets += stream.encode(None) + track.encode(None)
        for packet in sorted(packets, key=lambda one: (one.dts or 0) * one.time_base):
            container.mux(packet)
    return path


def clap(path: Path) -> tuple[float, float]:
    """When the white frame is seen, and when the click is heard."""
    with av.open(str(path)) as container:
        seen = next(frame.time for frame in container.decode(video=0) if frame.to_ndarray(format="gray").mean() > 150)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(np.float64))
            full = np.iinfo(frame.to_ndarray().dtype).max if frame.format.name.startswith("s") else 1
            if (loud := np.flatnonzero(samples.max(axis=0) > 0.3 * full)).size:
                return seen, frame.time + float(loud[0]) / frame.sample_rate
    return seen, float("nan")
