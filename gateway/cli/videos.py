"""Videos hidden frame by frame: what is found in one frame stays hidden in those beside it where it is missed."""

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
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, TypeAdapter

from gateway.cli.blur_options import FilmOptions
from gateway.cli.client import UNEXPECTED, RefusedError, content_of, open_client, patiently
from gateway.cli.film import Bounds, Damage, Film, FilmError, is_cut, open_film, pictures_of, read_frames, survey
from gateway.cli.mp4 import Copy
from gateway.cli.photos import PhotoFile
from gateway.cli.picture import Development, Picture, Region
from gateway.cli.sender import Outcome, Sender
from gateway.supervision import stop_signals
from vision.arrays import RGB, Box
from vision.container import PNG_SIGNATURE
from vision.photo import PhotoError, inspect
from vision.tracking import Patience, Sighting, completed

PATIENCE = Patience(gap=1.0, hold=0.4)
_TRIES = 5
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
"""Bytes; gateways take bodies of 32 MiB, and of larger frames a PNG may still fit."""

_MOST_OBJECTS = 10_000
"""Of a frame: each is held against those of the frames beside it."""
_LONE_RATE, _FINEST_RATE = 25, 100_000
"""Frames a second of a film of one frame; the largest denominator of a rate."""

T = TypeVar("T")
Stage = Literal["finding", "hiding"]
Told = Callable[[Stage, int, int], None]
"""Hears how many frames are done, and of how many."""


class _Object(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    label: str
    box: Box


class _Found(BaseModel):
    detections: Annotated[tuple[_Object, ...], Field(max_length=_MOST_OBJECTS)]


class _Hidden(BaseModel):
    region: Region


class _Artifact(BaseModel):
    base64: Base64Bytes


class _Answer(BaseModel):
    detections: Annotated[tuple[_Hidden, ...], Field(max_length=_MOST_OBJECTS)]
    artifacts: Annotated[Mapping[str, _Artifact], Field(min_length=1, max_length=1)]


_FOUND, _ANSWER = TypeAdapter(_Found), TypeAdapter(_Answer)


@dataclass(frozen=True)
class _Moment:
    """What the first pass learns of a frame; `pts` and `duration` count in `base`, parts of a second."""

    pts: int
    duration: int
    base: Fraction
    found: Sequence[Sighting]


@dataclass(frozen=True)
class _Plan:
    """What the second pass does with a frame: how long it is shown, and what is hidden in it."""

    duration: int
    hidden: Sequence[Sighting]


class _Desk:
    """The one thread that decodes, converts and encodes, beside that of the event loop."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._converter = VideoReformatter()

    async def do(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def each(self, items: Generator[T, None, None]) -> AsyncGenerator[T, None]:
        """The items, made one by one at the desk; what makes them is closed there too."""
        try:
            while (item := await self.do(next, items, None)) is not None:
                yield item
        finally:
            self._pool.submit(items.close)

    async def close(self, copy: Copy) -> None:
        """Abandon a copy, after whatever is being done with it."""
        self._pool.submit(copy.abandon).result()

    async def image(self, picture: Picture, aspect: Fraction) -> bytes:
        """A lossless photo of it whose pixels are square, where `aspect` is its own; as coded, where it is 1."""
        return await self.do(lambda: _image(picture.rgb(self._converter), aspect))

    async def changed(self, picture: Picture, answer: _Answer) -> Picture:
        (artifact,) = answer.artifacts.values()
        regions = [one.region for one in answer.detections]
        return await self.do(lambda: picture.changed(_rgb(artifact.base64, picture.size), regions, self._converter))


@dataclass(frozen=True)
class VideoSender:
    """Hides in videos what a sender of `privacy_blur` hides in photos."""

    sender: Sender
    in_flight: int
    options: FilmOptions

    @property
    def bounds(self) -> Bounds:
        """Of the videos that are taken."""
        return Bounds(self.options.max_frames, self.options.max_seconds)

    def send(self, video: PhotoFile, told: Told) -> Outcome:
        """The outcome of `hide`, whose signals are handled in the loop: raised amid it, they would leave it hanging.

        Raises KeyboardInterrupt once all is cleared away, where it was told to stop.
        """
        try:
            return asyncio.run(self._heeding(video, told))
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error

    async def _heeding(self, video: PhotoFile, told: Told) -> Outcome:
        loop, hiding = asyncio.get_running_loop(), asyncio.ensure_future(self.hide(video, told))
        signals = stop_signals()
        for one in signals:
            loop.add_signal_handler(one, hiding.cancel)
        try:
            return await hiding
        finally:
            for one in signals:
                loop.remove_signal_handler(one)

    async def hide(self, video: PhotoFile, told: Told) -> Outcome:
        """Find in all frames, then hide in all: the second pass knows what the later frames show.

        A frame that is refused fails the video, and nothing of it is left. Where a part of the file cannot be read, the
        copy holds the rest, and the outcome's detail says so.
        """
        try:
            with ThreadPoolExecutor(1) as pool:
                async with open_client(self.sender.url) as client:
                    return await _Work(self, client, _Desk(pool), video, told).done()
        except (FilmError, RefusedError) as error:
            return Outcome(video, code=error.code, detail=error.detail)
        except FFmpegError as error:
            return Outcome(video, code="video_error", detail=error.strerror or type(error).__name__)
        except OSError as error:
            return Outcome(video, code="file_error", detail=f"{error.strerror}: {error.filename}")
        except httpx.HTTPError as error:
            return Outcome(video, code="connection_failed", detail=str(error) or type(error).__name__)


@dataclass(frozen=True)
class _Work:
    """One video under way."""

    order: VideoSender
    client: httpx.AsyncClient
    desk: _Desk
    video: PhotoFile
    told: Told

    async def done(self) -> Outcome:
        damage = Damage()
        film = await self.desk.do(survey, self.video.photo, self.order.bounds)
        moments: list[_Moment] = []
        async with aclosing(self._each(film, damage, self._find)) as found:
            async for moment in found:
                moments.append(moment)
                self.told("finding", len(moments), max(film.frames, len(moments)))
        target = await self._write(film, _plans(moments), _rate(moments))
        return Outcome(self.video, (target,), detail=str(damage))

    def _each(self, film: Film, damage: Damage, work: Callable[[Picture], Awaitable[T]]) -> AsyncGenerator[T, None]:
        pictures = developed(film, damage)
        return _in_order(self.desk.each(pictures), work, self.order.in_flight)

    async def _find(self, picture: Picture) -> _Moment:
        photo = await self.desk.image(picture, picture.aspect)
        answer = await self._post("detect", photo, finding(self.order.sender.parameters))
        found = [_sighting(one, picture.aspect) for one in content_of(answer, _FOUND).detections]
        return _Moment(picture.pts, picture.duration, picture.time_base, found)

    async def _write(self, film: Film, plans: Mapping[int, _Plan], rate: Fraction) -> Path:
        """The copy, once it is whole."""
        target = self.video.place(_COPY)
        copy, done = Copy(self.video.results, target, rate, film if self.order.options.sound else None), 0
        try:
            async with aclosing(self._each(film, Damage(), lambda picture: self._hide(picture, plans))) as hidden:
                async for picture in hidden:
                    await self.desk.do(copy.write, picture, plans[picture.pts].duration)
                    done += 1
                    self.told("hiding", done, len(plans))
            await self.desk.do(copy.finish)
        finally:
            await self.desk.close(copy)
        return target

    async def _hide(self, picture: Picture, plans: Mapping[int, _Plan]) -> Picture:
        """The picture itself where nothing is to be hidden. Raises FilmError where the first pass did not see it."""
        plan = plans.get(picture.pts)
        if plan is None:
            raise FilmError("video_error", "it has a frame that it had not a moment ago; is it still being written?")
        if not plan.hidden:
            return picture
        objects = json.dumps([{"label": one.label, "box": one.box} for one in plan.hidden])
        photo = await self.desk.image(picture, Fraction(1))
        fields = {**painting(self.order.sender.parameters), "objects": objects}
        answer = content_of(await self._post("privacy_blur", photo, fields), _ANSWER)
        return await self.desk.changed(picture, answer)

    async def _post(self, pipeline: str, photo: bytes, fields: Mapping[str, str]) -> httpx.Response:
        def send() -> Awaitable[httpx.Response]:
            files, headers = {"image": ("frame", photo)}, {"Accept": "application/json"}
            return self.client.post(f"/v1/run/{pipeline}", files=files, data=fields, headers=headers)

        return await patiently(send, _TRIES)


def developed(film: Film, damage: Damage) -> Generator[Picture, None, None]:
    """The film's frames as they are shown. Raises FilmError and OSError."""
    with open_film(film.source) as container:
        stream = pictures_of(container)
        damage.ends_early = is_cut(film.source, container, stream)
        yield from Development(stream.sample_aspect_ratio).developed(read_frames(film, container, stream, damage))


def finding(parameters: Mapping[str, str]) -> dict[str, str]:
    """What `detect` is asked for, where `privacy_blur` is asked for this."""
    asked = {"hide": "faces,plates", **parameters}
    return {name: asked[own] for own, name in _FINDING.items() if own in asked}


def painting(parameters: Mapping[str, str]) -> dict[str, str]:
    """What `privacy_blur` is asked for in the second pass, where all that is hidden is known."""
    styles = {name: value for name, value in parameters.items() if name not in {*_FINDING, *_OF_PHOTOS}}
    return {**styles, **_FRAME}


def _plans(moments: Sequence[_Moment]) -> dict[int, _Plan]:
    """By `pts`. A frame is shown until the next; the last for as long as it says, and as long as frames are here."""
    times = [float(one.pts * one.base) for one in moments]
    hidden = completed(times, [one.found for one in moments], PATIENCE)
    gaps = [later.pts - one.pts for one, later in pairwise(moments)]
    last = moments[-1]
    typical = int(median(gaps)) if gaps else round(Fraction(1, _LONE_RATE) / last.base)
    gaps.append(max(last.duration, typical, 1))
    return {one.pts: _Plan(gap, known) for one, gap, known in zip(moments, gaps, hidden, strict=True)}


def _rate(moments: Sequence[_Moment]) -> Fraction:
    """Frames a second, on the average."""
    first, last = moments[0], moments[-1]
    span = (last.pts - first.pts) * last.base
    return (Fraction(len(moments) - 1) / span).limit_denominator(_FINEST_RATE) if span else Fraction(_LONE_RATE)


def _sighting(found: _Object, aspect: Fraction) -> Sighting:
    x1, y1, x2, y2 = found.box
    across, down = _stretch(aspect)
    return Sighting(found.label, (x1 / across, y1 / down, x2 / across, y2 / down))


def _stretch(aspect: Fraction) -> tuple[float, float]:
    """By what a picture grows across and down, so that its pixels become square."""
    return max(float(aspect), 1.0), max(float(1 / aspect), 1.0)


def _image(rgb: RGB, aspect: Fraction) -> bytes:
    """BMP, which costs nothing; PNG where that is too large for a gateway."""
    across, down = _stretch(aspect)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    square = bgr if aspect == 1 else cv2.resize(bgr, None, fx=across, fy=down, interpolation=cv2.INTER_LINEAR)
    if square.nbytes <= _LARGEST_BMP:
        return cv2.imencode(".bmp", square)[1].tobytes()
    return cv2.imencode(".png", square, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _rgb(png: bytes, size: tuple[int, int]) -> RGB:
    """Pixels of a PNG of this size; another picture, and one that says it has another size, is not decoded.

    OpenCV reads formats that nobody asked for, too, and a gateway may be anybody's. Raises FilmError.
    """
    try:
        info = inspect(png, max_pixels=None)
    except PhotoError as error:
        raise FilmError(UNEXPECTED, "the copy of a frame is no picture") from error
    asked = png.startswith(PNG_SIGNATURE) and (info.width, info.height) == size
    bgr = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) if asked else None
    if bgr is None:
        raise FilmError(UNEXPECTED, f"the copy of a frame is no picture of {size[0]}×{size[1]}")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


async def _in_order(
    pictures: AsyncGenerator[Picture, None], work: Callable[[Picture], Awaitable[T]], in_flight: int
) -> AsyncGenerator[T, None]:
    """What becomes of the pictures, in their order; `in_flight` are worked on at a time."""
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
