"""Videos hidden frame by frame: what is found in one frame stays hidden in those beside it where it is missed."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from gateway.cli.client import RefusedError, accepted, open_client, patiently
from gateway.cli.ffmpeg import FfmpegError, frame_rate, read_frames, write_video
from gateway.cli.photos import PhotoFile
from gateway.cli.sender import Outcome, Sender
from vision.arrays import Box
from vision.tracking import Patience, Sighting, completed

GAP_S, HOLD_S = 1.0, 0.4
"""How long an object may be missed, and how long it is hidden before it is first and after it is last found."""
_TRIES = 5
_COPY = "blurred.mp4"
_OF_PHOTOS = frozenset({"hide", "thresholds", "format", "quality", "metadata", "include"})
_FRAME = {"hide": "none", "format": "jpeg", "quality": "95", "metadata": "none"}

T = TypeVar("T")
Told = Callable[[int, int | None], None]
"""Hears how many frames are done, and of how many, where that is known."""


class _Object(BaseModel):
    label: str
    box: Box


class _Found(BaseModel):
    detections: tuple[_Object, ...]


@dataclass(frozen=True)
class VideoSender:
    """Hides in videos what a sender of `privacy_blur` hides in photos."""

    sender: Sender
    in_flight: int

    async def send(self, video: PhotoFile, told: Told) -> Outcome:
        """Find in all frames, then hide in all: the second pass knows what the later frames show.

        A frame that fails fails the video: no part of it is left.
        """
        try:
            async with open_client(self.sender.url) as client:
                return await self._hide(client, video, told)
        except FfmpegError as error:
            return Outcome(video, code="video_error", detail=str(error))
        except RefusedError as error:
            return Outcome(video, code=error.code, detail=error.detail)
        except OSError as error:
            return Outcome(video, code="file_error", detail=f"{error.strerror}: {error.filename}")
        except httpx.HTTPError as error:
            return Outcome(video, code="connection_failed", detail=str(error) or type(error).__name__)
        except ValidationError:
            return Outcome(video, code="unexpected_answer", detail=f"{self.sender.url} answered with something else")

    async def _hide(self, client: httpx.AsyncClient, video: PhotoFile, told: Told) -> Outcome:
        rate = await frame_rate(video.source)
        found = []
        async for sightings in _in_order(read_frames(video.source), lambda f: self._find(client, f), self.in_flight):
            found.append(sightings)
            told(len(found), None)
        known = iter(completed(found, _patience(rate)))
        frames = read_frames(video.source)
        copies = _in_order(frames, lambda f: self._copy(client, f, next(known, None)), self.in_flight)
        target = video.place(_COPY)
        await write_video(_counted(copies, len(found), told), rate, video.source, target)
        return Outcome(video, (target,))

    async def _find(self, client: httpx.AsyncClient, frame: bytes) -> Sequence[Sighting]:
        asked = self.sender.parameters
        fields = {"classes": asked.get("hide", "faces,plates"), "thresholds": asked.get("thresholds", "")}
        answer = await _post(client, "detect", frame, fields, "application/json")
        found = _Found.model_validate_json(answer).detections
        return [Sighting(one.label, one.box) for one in found]

    def _copy(self, client: httpx.AsyncClient, frame: bytes, known: Sequence[Sighting] | None) -> Awaitable[bytes]:
        if known is None:
            raise FfmpegError("the video has more frames than a moment ago; is it still being written?")
        if not known:
            return asyncio.sleep(0, frame)
        objects = json.dumps([{"label": one.label, "box": one.box} for one in known])
        style = {name: value for name, value in self.sender.parameters.items() if name not in _OF_PHOTOS}
        return _post(client, "privacy_blur", frame, {**style, **_FRAME, "objects": objects}, "image/jpeg")


def _patience(rate: str) -> Patience:
    a_second = Fraction(rate)
    return Patience(gap=round(a_second * Fraction(GAP_S)), hold=round(a_second * Fraction(HOLD_S)))


async def _post(client: httpx.AsyncClient, pipeline: str, frame: bytes, fields: dict[str, str], accept: str) -> bytes:
    def send() -> Awaitable[httpx.Response]:
        files, headers = {"image": ("frame.jpg", frame)}, {"Accept": accept}
        return client.post(f"/v1/run/{pipeline}", files=files, data=fields, headers=headers)

    return accepted(await patiently(send, _TRIES)).content


async def _in_order(
    frames: AsyncIterator[bytes], work: Callable[[bytes], Awaitable[T]], in_flight: int
) -> AsyncIterator[T]:
    """What becomes of the frames, in their order; `in_flight` are worked on at a time."""
    pending: deque[asyncio.Future[T]] = deque()
    try:
        async for frame in frames:
            pending.append(asyncio.ensure_future(work(frame)))
            if len(pending) == in_flight:
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()


async def _counted(frames: AsyncIterator[bytes], total: int, told: Told) -> AsyncIterator[bytes]:
    done = 0
    async for frame in frames:
        yield frame
        done += 1
        told(done, total)
