"""Sends photos to a gateway, several at a time, and saves what comes back."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
from pydantic import Base64Bytes, BaseModel, TypeAdapter

from gateway.cli.client import RefusedError, content_of, expect_gateway, open_client, patiently
from gateway.cli.photos import PhotoFile

_TRIES = 5


class _Artifact(BaseModel):
    base64: Base64Bytes


class _Answer(BaseModel):
    status: Literal["completed"]
    artifacts: Mapping[str, _Artifact]


_ANSWER = TypeAdapter(_Answer)


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: the files written, or the code and detail of the failure."""

    photo: PhotoFile
    files: tuple[Path, ...] = ()
    code: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Sender:
    """One pipeline of one gateway, with the same parameters for every photo."""

    url: str
    pipeline: str
    parameters: Mapping[str, str]

    async def send_all(
        self, photos: Sequence[PhotoFile], in_flight: int, done: Callable[[Outcome], None]
    ) -> list[Outcome]:
        """Outcomes in the photos' order; `done` hears each as it comes. Raises GatewayAwayError before the first."""
        limit = asyncio.Semaphore(in_flight)
        async with open_client(self.url) as client:
            await expect_gateway(client)

            async def one(photo: PhotoFile) -> Outcome:
                async with limit:
                    outcome = await self._send(client, photo)
                done(outcome)
                return outcome

            return await asyncio.gather(*(one(photo) for photo in photos))

    async def _send(self, client: httpx.AsyncClient, photo: PhotoFile) -> Outcome:
        try:
            answer = await self._post(client, photo.photo.read())
            return _save(photo, answer)
        except OSError as error:
            return Outcome(photo, code="file_error", detail=f"{error.strerror}: {error.filename}")
        except httpx.HTTPError as error:
            return Outcome(photo, code="connection_failed", detail=str(error) or type(error).__name__)
        except RefusedError as error:
            return Outcome(photo, code=error.code, detail=error.detail)

    async def _post(self, client: httpx.AsyncClient, image: bytes) -> httpx.Response:
        return await patiently(lambda: self._post_once(client, image), _TRIES)

    async def _post_once(self, client: httpx.AsyncClient, image: bytes) -> httpx.Response:
        return await client.post(
            f"/v1/run/{self.pipeline}",
            files={"image": ("photo", image)},
            data=self.parameters,
            headers={"Accept": "application/json"},
        )


def _save(photo: PhotoFile, answer: httpx.Response) -> Outcome:
    artifacts = content_of(answer, _ANSWER).artifacts
    for name in artifacts:
        photo.place(name)  # all or none: one hostile name makes the answer so
    return Outcome(photo, tuple(photo.save(name, item.base64) for name, item in artifacts.items()))
