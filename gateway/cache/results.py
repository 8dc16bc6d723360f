"""Results that are looked up before they are computed, and kept after: their keys, and who computes while others wait.

The failures of the cache's database fail no request.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar, cast
from weakref import WeakValueDictionary

import numpy as np

from gateway import __version__
from gateway.cache.cache import Cache, CachedResult, CacheHit, CacheKey, NewEntry, Similarity
from gateway.errors import Problem
from gateway.logs import get_logger
from gateway.pipelines.registry import Pipeline
from gateway.settings import Settings
from gateway.timing import Deadline
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
_SHARED = frozenset({"triton_unavailable", "inference_failed"})
"""Problems that the next request would only meet after the same wait."""
LARGEST_ENTRY = 16 * 1024 * 1024
"""Results with more bytes of artifacts are not kept."""

_HOUR_S = 3600.0
_AWAY_S = 5.0
"""How long requests go on without the cache after its database did not answer."""
_NEVER = float("-inf")
_SMALL_PHOTO = 512 * 1024
"""So many bytes are hashed faster than a thread is started."""

T = TypeVar("T")
_log = get_logger("gateway.cache")


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
        self._served: Mapping[str, str] = {}
        self._due_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def current(self) -> str | None:
        """The text; None if Triton has not answered yet."""
        if time.monotonic() >= self._due_at and self._reading is None:
            self._reading = asyncio.create_task(self._read())
        if self._said is None and self._reading is not None:
            await asyncio.shield(self._reading)
        return self._said

    @property
    def said(self) -> str | None:
        """The text as it was last heard."""
        return self._said

    async def served(self) -> Mapping[str, str]:
        """The models that are ready, each with what Triton says of its weights; none if it has not answered yet."""
        await self.current()
        return self._served

    async def served_now(self) -> Mapping[str, str]:
        """The same, asked anew."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)
        return self._served

    async def _read(self) -> None:
        try:
            models = await self._triton.models(_TIMEOUT_S)
            ready = [model for model in models if model.state == "READY"]
            weights = await asyncio.gather(*(self._triton.weights(model.name, _TIMEOUT_S) for model in ready))
            heard = bool(ready) and None not in weights
            if heard:
                self._served = {model.name: said or "" for model, said in zip(ready, weights, strict=True)}
                made = sorted(
                    f"{model.name}:{model.version}:{said}" for model, said in zip(ready, weights, strict=True)
                )
                self._said = "\n".join((__version__, code_digest(), *made))
            self._due_at = time.monotonic() + (_FRESH_S if heard else _PAUSE_S)
        finally:
            self._reading = None


@dataclass(eq=False)
class Waiters:
    """Requests of this process that want the same result at one moment, of which one computes at a time.

    `problem` is what the last one met, for all of them. Requests that come after a failure do not share it.
    """

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    problem: Problem | None = None


def _copy(problem: Problem) -> Problem:
    """A copy without the traceback, which keeps the photo in memory."""
    return Problem(problem.code, problem.detail, headers=problem.headers)


@dataclass(frozen=True)
class Reservation:
    """A hit; or the permission to compute the result, and the key under which it will be kept, if it is to be kept.

    Results are kept for `result_s` seconds, refusals for `refusal_s`.
    """

    result_s: float
    refusal_s: float
    key: CacheKey | None = None
    hit: CacheHit | None = None
    similarity: Similarity | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The header by which an answer tells of the cache (RFC 9211); none if the cache was not asked."""
        if self.key is None:
            return {}
        return {"Cache-Status": "Maskwright; hit" if self.hit else "Maskwright; fwd=miss"}

    def entry(self, value: CachedResult, task_id: str, submitted_at: datetime) -> NewEntry | None:
        """The entry to be kept of a computed result; None if it is not kept."""
        if self.key is None or sum(len(artifact.data) for artifact in value.artifacts) > LARGEST_ENTRY:
            return None
        life_s = self.refusal_s if value.failure else self.result_s
        return NewEntry(self.key, task_id, submitted_at, value, life_s, self.similarity)


class Results:
    """The cache as requests use it: they go on if its database fails."""

    def __init__(self, settings: Settings, cache: Cache, versions: ModelVersions) -> None:
        self._enabled = settings.cache_enabled
        self._namespace = settings.cache_namespace
        self._bits = settings.similarity_bits
        self._tolerance = settings.similarity_tolerance
        hours = settings.cache_ttl_hours
        refusal_hours = min(hours, settings.cache_failure_ttl_hours)  # a refusal is not kept longer than a result
        self._ttls = (hours * _HOUR_S, refusal_hours * _HOUR_S)
        self._cache = cache
        self._versions = versions
        self._waiters: WeakValueDictionary[bytes, Waiters] = WeakValueDictionary()
        self._away_until = _NEVER

    async def find(self, work: Work) -> CacheHit | None:
        """The result of the same or similar work; it is not counted."""
        return (await self._look(work)).hit

    @asynccontextmanager
    async def reserved(self, work: Work, deadline: Deadline) -> AsyncIterator[Reservation]:
        """A hit, perhaps after waiting for another request; or the right to compute the result, alone.

        Raises Problem `deadline_exceeded` if the other request takes too long, and the other's Problem if this one
        would meet it too.
        """
        found = await self._look(work)
        key = found.key
        if key is None or found.hit:
            yield found
            return
        waiters = self._waiters.setdefault(key.digest, Waiters())
        async with AsyncExitStack() as stack:
            await self._wait(stack, waiters, key, deadline)
            with self._computing(waiters, key):
                yield replace(found, hit=await self._ask(lambda: self._cache.find(key)))

    async def keep(self, entry: NewEntry | None) -> None:
        """Keep what was computed, if it is to be kept."""
        if entry:
            await self._ask(lambda: self._cache.keep(entry))

    def count(self, served: CacheHit | NewEntry | None) -> None:
        """Count a request that the cache served, or will serve."""
        if served:
            self._cache.count(served)

    async def _look(self, work: Work) -> Reservation:
        """Look for a hit; without a key if the cache is off or away."""
        versions = await self._versions.current() if self._enabled and not self._away else None
        if versions is None:
            return Reservation(*self._ttls)
        versions = f"{self._namespace}\n{versions}"
        key = await _key_of(work, versions)
        hit = await self._ask(lambda: self._cache.find(key))
        similarity = None
        if self._bits and not hit:  # decoding the photo takes a while, so in a thread
            similarity = await asyncio.to_thread(similarity_of, work, versions, self._tolerance)
        if similarity:
            hit = await self._ask(lambda: self._cache.find_similar(similarity, self._bits))
        return Reservation(*self._ttls, None if self._away else key, hit, similarity)

    async def _wait(self, stack: AsyncExitStack, waiters: Waiters, key: CacheKey, deadline: Deadline) -> None:
        """Wait for the others in this process, and then for those in other processes."""
        try:
            with deadline.enforce():
                await stack.enter_async_context(waiters.turn)
                await stack.enter_async_context(self._cache.alone(key))
        except TimeoutError as error:
            raise deadline.exceeded() from error

    @contextmanager
    def _computing(self, waiters: Waiters, key: CacheKey) -> Iterator[None]:
        """Compute for all who wait. Raises the Problem that an earlier one of them met."""
        if waiters.problem:
            raise _copy(waiters.problem)
        try:
            yield
        except Problem as problem:
            if problem.code in _SHARED:
                waiters.problem = _copy(problem)
                self._waiters.pop(key.digest, None)
            raise

    @property
    def _away(self) -> bool:
        return time.monotonic() < self._away_until

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """The answer; None if there is none, and then the cache is left alone for a while.

        After that, one request asks whether the cache is back while the others go on without it.
        """
        if self._away:
            return None
        if self._away_until != _NEVER:
            self._leave_alone()
        try:
            answer = await question()
        except Problem as problem:
            self._leave_alone()
            _log.warning(f"the cache is away: {problem}")
            return None
        self._away_until = _NEVER
        return answer

    def _leave_alone(self) -> None:
        self._away_until = time.monotonic() + _AWAY_S


async def _key_of(work: Work, versions: str) -> CacheKey:
    """Hashing many bytes takes a while, so in a thread."""
    if len(work.photo) <= _SMALL_PHOTO:
        return key_of(work, versions)
    return await asyncio.to_thread(key_of, work, versions)
