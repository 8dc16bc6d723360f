"""Hide objects in videos, frame by frame: what is found in one frame is hidden in neighbouring frames too."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Literal, TypeVar

import cv2
import httpx
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gateway.background import stop_signals
from gateway.cli.client import UNEXPECTED, Artifact, content_of, open_client, run_pipeline
from gateway.cli.photo_paths import PhotoFile
from gateway.cli.sender import FAILURES, Outcome, Sender, VideoOptions, failure_of
from gateway.cli.video_frames import FrameConverter, Picture, Region
from gateway.cli.video_reader import (
    Bounds,
    Damage,
    Video,
    VideoError,
    is_cut,
    open_video,
    pictures_of,
    read_frames,
    survey,
)
from gateway.cli.video_writer import Copy
from vision.arrays import RGB, Box
from vision.photo import PhotoError, inspect
from vision.photo_stripping import PNG_SIGNATURE
from vision.tracking import HoldTimes, Sighting, completed

HOLD_TIMES = HoldTimes(gap=1.0, hold=0.4)
_COPY = "blurred.mp4"
_FINDING = {
    "hide": "classes",
    "thresholds": "thresholds",
    "smallest_face": "smallest_face",
    "smallest_object": "smallest_object",
    "rotations": "rotations",
}
"""Parameters of `privacy_blur` that say what is found, and what `detect` calls them."""
_OF_PHOTOS = frozenset({"format", "quality", "metadata", "include"})
_FRAME = {"hide": "none", "format": "png", "metadata": "none"}
_LARGEST_BMP = 24 * 2**20
"""Bytes. Gateways accept bodies of 32 MiB, so larger frames are sent as PNG."""

_MOST_OBJECTS = 10_000
"""The most objects in a frame, because each is compared with those of the neighbouring frames."""
_LONE_RATE, _FINEST_RATE = 25, 100_000
"""The frame rate of a video with a single frame, and the largest denominator of a rate."""

T = TypeVar("T")
Stage = Literal["finding", "hiding"]
OnProgress = Callable[[Stage, int, int], None]
"""Called with the stage, how many frames are done, and of how many."""


class _Object(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    label: str
    box: Box


class _Found(BaseModel):
    detections: Annotated[tuple[_Object, ...], Field(max_length=_MOST_OBJECTS)]


class _Hidden(BaseModel):
    region: Region


class _Answer(BaseModel):
    detections: Annotated[tuple[_Hidden, ...], Field(max_length=_MOST_OBJECTS)]
    artifacts: Annotated[Mapping[str, Artifact], Field(min_length=1, max_length=1)]


_FOUND, _ANSWER = TypeAdapter(_Found), TypeAdapter(_Answer)


@dataclass(frozen=True)
class _Findings:
    """What the first pass finds in a frame. `pts` and `duration` count units of `base` seconds."""

    pts: int
    duration: int
    base: Fraction
    found: Sequence[Sighting]


@dataclass(frozen=True)
class _Plan:
    """The second pass over a frame: how long it is shown, and what is hidden in it."""

    duration: int
    hidden: Sequence[Sighting]


class _CodecThread:
    """The one thread that decodes, converts and encodes, so that the event loop never waits for it."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._converter = VideoReformatter()

    async def do(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def each(self, items: Generator[T, None, None]) -> AsyncGenerator[T, None]:
        """The items of a generator that runs, and is closed, in the thread."""
        try:
            while (item := await self.do(next, items, None)) is not None:
                yield item
        finally:
            self._pool.submit(items.close)

    async def close(self, copy: Copy) -> None:
        """Abandon a copy, after everything that the thread still does with it."""
        self._pool.submit(copy.abandon).result()

    async def image(self, picture: Picture, aspect: Fraction) -> bytes:
        """The frame as a lossless photo, stretched by `aspect`: its own makes the pixels square, 1 changes nothing."""
        return await self.do(lambda: _image(picture.rgb(self._converter), aspect))

    async def changed(self, picture: Picture, answer: _Answer) -> Picture:
        (artifact,) = answer.artifacts.values()
        regions = [one.region for one in answer.detections]
        return await self.do(lambda: picture.changed(_rgb(artifact.base64, picture.size), regions, self._converter))


@dataclass(frozen=True)
class VideoSender:
    """Hides in videos what a sender to `privacy_blur` hides in photos."""

    sender: Sender
    in_flight: int
    options: VideoOptions

    @property
    def bounds(self) -> Bounds:
        """The longest video that is accepted."""
        return Bounds(self.options.max_frames, self.options.max_seconds)

    def send(self, video: PhotoFile, on_progress: OnProgress) -> Outcome:
        """The outcome of `hide`. Its event loop handles signals, because they could leave the loop hanging otherwise.

        Raises KeyboardInterrupt if a signal stopped it, after all files are removed.
        """
        try:
            return asyncio.run(self._until_stopped(video, on_progress))
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error

    async def _until_stopped(self, video: PhotoFile, on_progress: OnProgress) -> Outcome:
        loop, hiding = asyncio.get_running_loop(), asyncio.ensure_future(self.hide(video, on_progress))
        signals = stop_signals()
        for one in signals:
            loop.add_signal_handler(one, hiding.cancel)
        try:
            return await hiding
        finally:
            for one in signals:
                loop.remove_signal_handler(one)

    async def hide(self, video: PhotoFile, on_progress: OnProgress) -> Outcome:
        """Find the objects in all frames, then hide them: the second pass knows what the later frames show.

        A refused frame fails the video, and no file of it is left. If a part of the video cannot be read, the copy has
        the rest, and the outcome's detail says so.
        """
        try:
            with ThreadPoolExecutor(1) as pool:
                async with open_client(self.sender.url) as client:
                    return await _Work(self, client, _CodecThread(pool), video, on_progress).done()
        except VideoError as error:
            return Outcome(video, code=error.code, detail=error.detail)
        except FFmpegError as error:
            return Outcome(video, code="video_error", detail=error.strerror or type(error).__name__)
        except FAILURES as error:
            code, detail = failure_of(error)
            return Outcome(video, code=code, detail=detail)


@dataclass(frozen=True)
class _Work:
    """The work on one video."""

    order: VideoSender
    client: httpx.AsyncClient
    codec: _CodecThread
    video: PhotoFile
    on_progress: OnProgress

    async def done(self) -> Outcome:
        damage = Damage()
        video = await self.codec.do(survey, self.video.photo, self.order.bounds)
        findings: list[_Findings] = []
        async with aclosing(self._each(video, damage, self._find)) as found:
            async for one in found:
                findings.append(one)
                self.on_progress("finding", len(findings), max(video.frames, len(findings)))
        target = await self._write(video, _plans(findings), _rate(findings))
        return Outcome(self.video, (target,), detail=str(damage))

    def _each(self, video: Video, damage: Damage, work: Callable[[Picture], Awaitable[T]]) -> AsyncGenerator[T, None]:
        pictures = developed(video, damage)
        return _in_order(self.codec.each(pictures), work, self.order.in_flight)

    async def _find(self, picture: Picture) -> _Findings:
        photo = await self.codec.image(picture, picture.aspect)
        answer = await run_pipeline(self.client, "detect", photo, finding(self.order.sender.parameters))
        found = [_sighting(one, picture.aspect) for one in content_of(answer, _FOUND).detections]
        return _Findings(picture.pts, picture.duration, picture.time_base, found)

    async def _write(self, video: Video, plans: Mapping[int, _Plan], rate: Fraction) -> Path:
        """Write the copy, and return its path when it is whole."""
        target = self.video.place(_COPY)
        copy, done = Copy(self.video.results, target, rate, video if self.order.options.sound else None), 0
        try:
            async with aclosing(self._each(video, Damage(), lambda picture: self._hide(picture, plans))) as hidden:
                async for picture in hidden:
                    await self.codec.do(copy.write, picture, plans[picture.pts].duration)
                    done += 1
                    self.on_progress("hiding", done, len(plans))
            await self.codec.do(copy.finish)
        finally:
            await self.codec.close(copy)
        return target

    async def _hide(self, picture: Picture, plans: Mapping[int, _Plan]) -> Picture:
        """The picture itself if nothing is to be hidden. Raises VideoError if the first pass did not see it."""
        plan = plans.get(picture.pts)
        if plan is None:
            raise VideoError("video_error", "it has a frame that it had not a moment ago; is it still being written?")
        if not plan.hidden:
            return picture
        objects = json.dumps([{"label": one.label, "box": one.box} for one in plan.hidden])
        photo = await self.codec.image(picture, Fraction(1))
        fields = {**painting(self.order.sender.parameters), "objects": objects}
        answer = await run_pipeline(self.client, "privacy_blur", photo, fields)
        return await self.codec.changed(picture, content_of(answer, _ANSWER))


def developed(video: Video, damage: Damage) -> Generator[Picture, None, None]:
    """The video's frames as they are shown. Raises VideoError and OSError."""
    with open_video(video.source) as container:
        stream = pictures_of(container)
        damage.ends_early = is_cut(video.source, container, stream)
        yield from FrameConverter(stream.sample_aspect_ratio).pictures(read_frames(video, container, stream, damage))


def finding(parameters: Mapping[str, str]) -> dict[str, str]:
    """Parameters of `detect` that find what `privacy_blur` would hide with these."""
    asked = {"hide": "faces,plates", **parameters}
    return {name: asked[own] for own, name in _FINDING.items() if own in asked}


def painting(parameters: Mapping[str, str]) -> dict[str, str]:
    """Parameters of `privacy_blur` in the second pass, when all hidden objects are known."""
    styles = {name: value for name, value in parameters.items() if name not in {*_FINDING, *_OF_PHOTOS}}
    return {**styles, **_FRAME}


def _plans(findings: Sequence[_Findings]) -> dict[int, _Plan]:
    """The plans by `pts`. A frame is shown until the next; the last for its duration, at least a typical one."""
    times = [float(one.pts * one.base) for one in findings]
    hidden = completed(times, [one.found for one in findings], HOLD_TIMES)
    gaps = [later.pts - one.pts for one, later in pairwise(findings)]
    last = findings[-1]
    typical = int(median(gaps)) if gaps else round(Fraction(1, _LONE_RATE) / last.base)
    gaps.append(max(last.duration, typical, 1))
    return {one.pts: _Plan(gap, known) for one, gap, known in zip(findings, gaps, hidden, strict=True)}


def _rate(findings: Sequence[_Findings]) -> Fraction:
    """The average frames a second."""
    first, last = findings[0], findings[-1]
    span = (last.pts - first.pts) * last.base
    return (Fraction(len(findings) - 1) / span).limit_denominator(_FINEST_RATE) if span else Fraction(_LONE_RATE)


def _sighting(found: _Object, aspect: Fraction) -> Sighting:
    x1, y1, x2, y2 = found.box
    across, down = _stretch(aspect)
    return Sighting(found.label, (x1 / across, y1 / down, x2 / across, y2 / down))


def _stretch(aspect: Fraction) -> tuple[float, float]:
    """The factors across and down by which a picture grows so that its pixels become square."""
    return max(float(aspect), 1.0), max(float(1 / aspect), 1.0)


def _image(rgb: RGB, aspect: Fraction) -> bytes:
    """A BMP, which is fast. A PNG if the BMP would be too large for a gateway."""
    across, down = _stretch(aspect)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    square = bgr if aspect == 1 else cv2.resize(bgr, None, fx=across, fy=down, interpolation=cv2.INTER_LINEAR)
    if square.nbytes <= _LARGEST_BMP:
        return cv2.imencode(".bmp", square)[1].tobytes()
    return cv2.imencode(".png", square, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _rgb(png: bytes, size: tuple[int, int]) -> RGB:
    """The pixels of a PNG of this size. Nothing else is decoded: OpenCV reads many formats, and any server may answer.

    Raises VideoError.
    """
    try:
        info = inspect(png, max_pixels=None)
    except PhotoError as error:
        raise VideoError(UNEXPECTED, "the copy of a frame is no picture") from error
    asked = png.startswith(PNG_SIGNATURE) and (info.width, info.height) == size
    bgr = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) if asked else None
    if bgr is None:
        raise VideoError(UNEXPECTED, f"the copy of a frame is no picture of {size[0]}×{size[1]}")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


async def _in_order(
    pictures: AsyncGenerator[Picture, None], work: Callable[[Picture], Awaitable[T]], in_flight: int
) -> AsyncGenerator[T, None]:
    """The results of the work on the pictures, in their order. `in_flight` are worked on at a time."""
    pending: deque[asyncio.Future[T]] = deque()
    try:
        async with aclosing(pictures):
            async for picture in pictures:
                pending.append(asyncio.ensure_future(work(picture)))
                if len(pending) == in_flight:
                    yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()
