"""The demo's requests to the gateway. Only answers that are complete, within a size, and of our form are accepted."""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

import httpx
from pydantic import Base64Bytes, BaseModel, TypeAdapter

from gateway.cli.client import MOST_BYTES, UnexpectedAnswerError, parsed


class Artifact(BaseModel):
    """A file."""

    base64: Base64Bytes


class Size(BaseModel):
    """Size of the photo, in pixels."""

    width: int
    height: int


class Detection(BaseModel):
    """An object, with its box in pixels of the photo."""

    label: str
    score: float
    box: tuple[float, float, float, float]


class Blur(BaseModel):
    """How many objects were hidden."""

    hidden: int


class Answer(BaseModel):
    """The answer of any pipeline. Fields that do not apply to it are empty."""

    photo: Size = Size(width=0, height=0)
    persons: tuple[object, ...] = ()
    detections: tuple[Detection, ...] = ()
    blur: Blur = Blur(hidden=0)
    artifacts: Mapping[str, Artifact] = {}

    def file(self, name: str) -> bytes:
        """An artifact's content. Raises UnexpectedAnswerError."""
        if name not in self.artifacts:
            raise UnexpectedAnswerError(f"the gateway sent no {name}")
        return self.artifacts[name].base64


class _Refusal(BaseModel):
    code: str


class RefusalError(Exception):
    """The gateway refused a photo, with a code and a status."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(f"the gateway refused a sample photo: {code}")
        self.code, self.status = code, status


_ANSWER, _REFUSAL = TypeAdapter(Answer), TypeAdapter(_Refusal)


def ask(client: httpx.Client, path: str, photo: Path, fields: Mapping[str, str]) -> Answer:
    """The answer. Raises RefusalError, UnexpectedAnswerError and httpx.HTTPError."""
    files, headers = {"image": (photo.name, photo.read_bytes())}, {"Accept": "application/json"}
    with client.stream("POST", path, files=files, data=dict(fields), headers=headers) as answer:
        content = _bounded(answer)
    if answer.status_code != HTTPStatus.OK:
        raise RefusalError(parsed(content, _REFUSAL).code, answer.status_code)
    return parsed(content, _ANSWER)


def _bounded(answer: httpx.Response) -> bytes:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise UnexpectedAnswerError("a compressed answer, which nobody asked for")
    content = bytearray()
    for chunk in answer.iter_raw():
        content += chunk
        if len(content) > MOST_BYTES:
            raise UnexpectedAnswerError(f"an answer larger than {MOST_BYTES >> 20} MiB")
    return bytes(content)
