"""What the tests of the cache work with."""

import json
from dataclasses import dataclass, field, replace

import numpy as np

from gateway.cache.results import Work
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings
from gateway.triton import ModelState
from tests.integration.gateway.photos import encode, noise

PIXELS = np.kron(noise(16, 12), np.ones((20, 20, 1), np.uint8))
"""320×240, with something in every low frequency, as a photo has."""
PHOTO = encode(PIXELS, "PNG")
PIPELINE = build_registry(Settings())["face_contours"]
FACE = np.stack([np.linspace(80, 240, 68), np.linspace(60, 200, 68)], axis=1)
DIAGONAL = float(np.hypot(160, 140))


@dataclass
class Index:
    """In place of Triton's repository index."""

    states: dict[str, str] = field(default_factory=lambda: {"face_contours_given": "1"})
    made_of: str | None = ""
    asked: int = 0

    async def models(self, _timeout_s: float) -> tuple[ModelState, ...]:
        self.asked += 1
        return tuple(ModelState(name, version, "READY", "") for name, version in self.states.items())

    async def weights(self, _model: str, _timeout_s: float) -> str | None:
        return self.made_of


def parameters(landmarks: np.ndarray | None = FACE, **others: object) -> bytes:
    points = [] if landmarks is None else [{"x": float(x), "y": float(y)} for x, y in landmarks]
    return json.dumps({"landmarks": json.dumps(points) if points else "", "frame": "crop", **others}).encode()


def work(photo: bytes = PHOTO, **changes: object) -> Work:
    return replace(Work(PIPELINE, photo, parameters()), **changes)
