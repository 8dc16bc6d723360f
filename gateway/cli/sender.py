"""Sends photos to a gateway, several at a time, and saves what comes back."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import httpx
from pydantic import Base64Bytes, BaseModel, ValidationError

from gateway.cli.photos import PhotoFile

_TIMEOUT = httpx.Timeout(300.0, connect=5.0)
_BUSY = frozenset({429, 503})
_DIRECT = {"all://127.0.0.1": None}  # this machine's gateway is not behind the proxy of the environment
_TRIES = 5


class _Artifact(BaseModel):
    base64: Base64Bytes


class _Answer(BaseModel):
    status: Literal["completed"]
    artifacts: Mapping[str, _Artifact]


class _Refusal(BaseModel):
    code: str
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: the files written, or the code and detail of the failure."""

    photo: PhotoFile
    files: tuple[Path, ...] = ()
    code: str | None = None
    detail: str = ""


class GatewayAwayError(ConnectionError):
    """Nothing answers at the gateway's address."""


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
        async with httpx.AsyncClient(base_url=self.url, timeout=_TIMEOUT, mounts=_DIRECT) as client:
            await _expect_gateway(client)

            async def one(photo: PhotoFile) -> Outcome:
                async with limit:
                    outcome = await self._send(client, photo)
                done(outcome)
                return outcome

            return await asyncio.gather(*(one(photo) for photo in photos))

    async def _send(self, client: httpx.AsyncClient, photo: PhotoFile) -> Outcome:
        try:
            answer = await self._post(client, photo.source.read_bytes())
            return _save(photo, answer)
        except OSError as error:
            return Outcome(photo, code="file_error", detail=f"{error.strerror}: {error.filename}")
        except httpx.HTTPError as error:
            return Outcome(photo, code="connection_failed", detail=str(error) or type(error).__name__)
        except ValidationError:
            return Outcome(photo, code="unexpected_answer", detail=f"{self.url} answered with something else")

    async def _post(self, client: httpx.AsyncClient, image: bytes) -> httpx.Response:
        """The answer; a busy gateway is asked again after the time it names."""
        for _ in range(_TRIES - 1):
            answer = await self._post_once(client, image)
            if answer.status_code not in _BUSY:
                return answer
            await asyncio.sleep(_pause_s(answer))
        return await self._post_once(client, image)

    async def _post_once(self, client: httpx.AsyncClient, image: bytes) -> httpx.Response:
        return await client.post(
            f"/v1/run/{self.pipeline}",
            files={"image": ("photo", image)},
            data=self.parameters,
            headers={"Accept": "application/json"},
        )


async def _expect_gateway(client: httpx.AsyncClient) -> None:
    try:
        await client.get("/health/live")
    except httpx.TransportError as error:
        raise GatewayAwayError(str(client.base_url)) from error


def _pause_s(answer: httpx.Response) -> float:
    """Seconds that Retry-After names; a proxy before the gateway may write a date there instead (RFC 9110 §10.2.3)."""
    named = answer.headers.get("retry-after", "")
    return float(named) if named.isdecimal() else 1.0


def _save(photo: PhotoFile, answer: httpx.Response) -> Outcome:
    if answer.status_code != httpx.codes.OK:
        refusal = _Refusal.model_validate_json(answer.content)
        return Outcome(photo, code=refusal.code, detail=refusal.detail)
    artifacts = _Answer.model_validate_json(answer.content).artifacts
    return Outcome(photo, tuple(_write(photo.target, name, item.base64) for name, item in artifacts.items()))


def _write(folder: Path, name: str, content: bytes) -> Path:
    """The file written; a server's name may not leave the folder. Raises OSError."""
    parts = PurePosixPath(name).parts
    if ".." in parts or PurePosixPath(name).is_absolute():
        raise PermissionError(1, "artifact outside the folder", name)
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
