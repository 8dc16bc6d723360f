"""Which requests are the same, and which are alike."""

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
from gateway.cache.cache import CacheKey, Likeness
from gateway.pipelines.pipeline import Pipeline
from gateway.triton import Triton
from vision.face.errors import FaceError
from vision.face.landmarks import parse_landmarks
from vision.perceptual_hash import perceptual_hash
from vision.photo import PhotoError, decode, inspect

_LANDMARKS = "landmarks"
_EMBEDDED = "embed_image"
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Work:
    """What is to be computed: the pipeline, the photo as it came, the parameters as the model takes them; for whom."""

    pipeline: Pipeline
    photo: bytes
    parameters: bytes
    tenant: str = ""


def key_of(work: Work, versions: str) -> CacheKey:
    """The key of a request; `versions` is all else that decides the result. Nothing is decoded or parsed."""
    return CacheKey(work.pipeline.name, _digest((*_maker(work, versions), work.parameters, work.photo)), work.tenant)


def likeness_of(work: Work, versions: str, tolerance: float) -> Likeness | None:
    """What makes other requests like this one; None where no other photo may share its result.

    Photos alone never make requests alike: two people's portraits may have the same hash. So the landmarks must be
    given, and the answer must not hold the photo. They must be one face's: of two, whichever is larger by a pixel may
    be the one that is drawn. `tolerance` is a share of the diagonal of the face's box.
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
    return Likeness(
        group=_digest((*_maker(work, versions), equal)),
        photo_hash=perceptual_hash(pixels),
        landmarks=face.astype(np.float32).tobytes(),
        tolerance=tolerance * float(np.hypot(*np.ptp(face, axis=0))),
    )


def alike(likeness: Likeness, landmarks: bytes) -> bool:
    """Whether no landmark of another request is farther from this one's than the tolerance."""
    ours, theirs = (np.frombuffer(data, np.float32).reshape(-1, 2) for data in (likeness.landmarks, landmarks))
    return ours.shape == theirs.shape and bool(np.hypot(*(ours - theirs).T).max() <= likeness.tolerance)


def _maker(work: Work, versions: str) -> tuple[bytes, ...]:
    """What makes the result: the pipeline by its name and its model, which the profile decides; and whose it is."""
    return tuple(part.encode() for part in (versions, work.pipeline.name, work.pipeline.model, work.tenant))


def _text(given: object) -> bytes:
    return (given if isinstance(given, str) else json.dumps(given)).encode("utf-8", "replace")


def _digest(parts: Iterable[bytes]) -> bytes:
    """A SHA-256 over the parts, each after its length, so that no two lists of parts are one text."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(_LENGTH_BYTES, "big"))
        sha.update(part)
    return sha.digest()


_PACKAGES = ("steps", "vision")


@lru_cache(maxsize=1)
def code_digest() -> str:
    """A SHA-256, in hexadecimal digits, over the packages that Triton's models run, as this process found them."""
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


_FRESH_S = 10.0
_PAUSE_S = 1.0
_TIMEOUT_S = 1.0


class ModelVersions:
    """The models that are ready, their versions and weights, and the code that they run, as one text.

    Triton is asked every few seconds, in the background; of its code it says nothing, so it is taken to be ours.

    While Triton is away, what it said last holds.
    """

    def __init__(self, triton: Triton) -> None:
        self._triton = triton
        self._said: str | None = None
        self._due_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def current(self) -> str | None:
        """The text; None where Triton has not been heard of yet."""
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
