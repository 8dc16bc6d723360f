"""Keys of results: which requests are the same or similar, and which models and code make their results."""

import asyncio
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np

from gateway import __version__
from gateway.cache.cache import CacheKey, Similarity
from gateway.pipelines.registry import Pipeline
from gateway.triton import Triton
from vision.face.landmarks import parse_landmarks
from vision.face.options import FaceError
from vision.photo import PhotoError, decode, inspect, perceptual_hash

_LANDMARKS = "landmarks"
_EMBEDDED = "embed_image"
_LENGTH_BYTES = 8
_PACKAGES = ("steps", "vision")
_FRESH_S = 10.0
_PAUSE_S = 1.0
_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Work:
    """What is to be computed, and for whom: the photo is as it came, the parameters are as the model takes them."""

    pipeline: Pipeline
    photo: bytes
    parameters: bytes
    tenant: str = ""


def key_of(work: Work, versions: str) -> CacheKey:
    """The key of a request; `versions` is everything else that decides the result. Nothing is decoded or parsed."""
    return CacheKey(work.pipeline.name, _digest((*_maker(work, versions), work.parameters, work.photo)), work.tenant)


def similarity_of(work: Work, versions: str, tolerance: float) -> Similarity | None:
    """What makes other requests similar to this one; None if no other photo may share its result.

    Similar photos are not enough: two people's portraits may have the same hash. So the request must hold landmarks,
    and the answer must not hold the photo. There must be one face: of two, the model may draw the larger one, and one
    pixel decides which it is. `tolerance` is a share of the diagonal of the face's box.
    """
    parameters = cast("Mapping[str, object]", json.loads(work.parameters))
    given = parameters.get(_LANDMARKS)
    if not given or parameters.get(_EMBEDDED):
        return None
    try:
        info = inspect(work.photo)
        faces = parse_landmarks(_text(given)).in_photo(info.size)
        if len(faces) != 1:
            return None
        pixels = decode(work.photo, info).pixels
    except (FaceError, PhotoError):
        return None
    (face,) = faces
    rest = {name: value for name, value in parameters.items() if name != _LANDMARKS}
    equal = json.dumps([rest, info.size, len(face)], sort_keys=True).encode()
    return Similarity(
        group=_digest((*_maker(work, versions), equal)),
        photo_hash=perceptual_hash(pixels),
        landmarks=face.astype(np.float32).tobytes(),
        tolerance=tolerance * float(np.hypot(*np.ptp(face, axis=0))),
    )


def alike(similarity: Similarity, landmarks: bytes) -> bool:
    """Whether every landmark of the other request is within the tolerance of this one's."""
    ours, theirs = (np.frombuffer(data, np.float32).reshape(-1, 2) for data in (similarity.landmarks, landmarks))
    return ours.shape == theirs.shape and bool(np.hypot(*(ours - theirs).T).max() <= similarity.tolerance)


def _maker(work: Work, versions: str) -> tuple[bytes, ...]:
    """What makes the result, and whose it is; the pipeline's model depends on the profile."""
    return tuple(part.encode() for part in (versions, work.pipeline.name, work.pipeline.model, work.tenant))


def _text(given: object) -> bytes:
    return (given if isinstance(given, str) else json.dumps(given)).encode("utf-8", "replace")


def _digest(parts: Iterable[bytes]) -> bytes:
    """A SHA-256 over the parts, each after its length, so that different lists never give the same text."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(_LENGTH_BYTES, "big"))
        sha.update(part)
    return sha.digest()


@lru_cache(maxsize=1)
def code_digest() -> str:
    """A SHA-256 in hexadecimal digits over the packages that Triton's models run, as this process found them."""
    specs = (find_spec(package) for package in _PACKAGES)
    return source_digest(Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ())


def source_digest(folders: Iterable[Path]) -> str:
    """A SHA-256 over the folders' Python files and their names."""
    sha = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            content = path.read_bytes()
            sha.update(f"{path.relative_to(folder.parent).as_posix()}\0{len(content)}\0".encode() + content)
    return sha.hexdigest()


class ModelVersions:
    """The models that are ready, their versions and weights, and the code that they run, as one text.

    Triton is asked every few seconds in the background. It does not tell its code, which we take to be the same as
    ours. While Triton is away, its last answer holds.
    """

    def __init__(self, triton: Triton) -> None:
        self._triton = triton
        self._said: str | None = None
        self._due_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def current(self) -> str | None:
        """The text; None if Triton has not answered yet."""
        if time.monotonic() >= self._due_at and self._reading is None:
            self._reading = asyncio.create_task(self._read())
        if self._said is None and self._reading is not None:
            await asyncio.shield(self._reading)
        return self._said

    async def _read(self) -> None:
        try:
            models = await self._triton.models(_TIMEOUT_S)
            ready = [model for model in models if model.state == "READY"]
            weights = await asyncio.gather(*(self._triton.weights(model.name, _TIMEOUT_S) for model in ready))
            heard = bool(ready) and None not in weights
            if heard:
                made = sorted(
                    f"{model.name}:{model.version}:{said}" for model, said in zip(ready, weights, strict=True)
                )
                self._said = "\n".join((__version__, code_digest(), *made))
            self._due_at = time.monotonic() + (_FRESH_S if heard else _PAUSE_S)
        finally:
            self._reading = None
