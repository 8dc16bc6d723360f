"""Which requests are the same, and which are alike."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from gateway.cache.cache import CacheKey, Likeness
from gateway.pipelines.registry import Pipeline
from vision.face.landmarks import parse_landmarks
from vision.face.options import FaceError
from vision.photo import PhotoError, decode, inspect, perceptual_hash

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
