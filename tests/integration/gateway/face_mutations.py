"""Requests for face contours that went wrong somewhere, made of a good one."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.integration.gateway.face_case import FaceCase
from vision.encoding import encode_png
from vision.face.topology import REGION_NUMBERS

FRAGMENTS = (
    *(b"", b"[", b"]", b"{", b"}", b"'", b'"', b",", b"null", b"NaN", b"Infinity", b"-", b"1e999", b"\0", b"\xff"),
    *(b"<script>", b"]]>", b"&#0;", "é".encode(), b"9" * 400, b"[" * 3000, b"{'x': 1, 'y': 2},"),
)
NAMES = (*REGION_NUMBERS, "ear", "", "<b>&\"'", "\u2028", "\ud800", "x" * 65, "a\0b")
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Mutation:
    """Files and fields of a request."""

    photo: bytes
    landmarks: bytes
    label_map: bytes
    fields: Mapping[str, str]


def mutations(case: FaceCase, count: int, seed: int) -> Iterator[Mutation]:
    """So many requests, in each of which one or two things are changed; the same ones for the same seed."""
    dice = random.Random(seed)
    for _ in range(count):
        mutation = Mutation(case.photo, case.landmarks.encode(), case.label_map, _options(dice))
        for change in dice.sample((_landmark_text, _landmark_points, _map_bytes, _map_pixels, _rings, _photo), 2):
            if dice.random() < 0.6:
                mutation = change(mutation, case, dice)
        yield mutation


def _options(dice: random.Random) -> dict[str, str]:
    some = {
        "show_labels": dice.choice(("true", "false", "2")),
        "show_landmarks": dice.choice(("on", "0")),
        "frame": dice.choice(("source", "crop", "canvas")),
        "face": dice.choice(("largest", "all", "single")),
        "region_opacity": dice.choice(("0", "1", "0.3", "-1", "1e-300", "x")),
        "stroke_width": dice.choice(("0", "100", "2.5", "inf")),
        "regions": ",".join(dice.sample(NAMES[:16], dice.randint(0, 4))),
        "colors": json.dumps({dice.choice(NAMES): dice.choice(("#123456", "#ABCDEF", "red"))}),
        "include": "landmarks",
        "embed_image": "true",
    }
    return {name: some[name] for name in dice.sample(sorted(some), dice.choice((0, 0, 1, 2)))}


def _spoilt(data: bytes, dice: random.Random) -> bytes:
    """A few bytes changed, left out, doubled, or cut off."""
    spoilt = bytearray(data)
    for _ in range(dice.choice((1, 1, 3, 20))):
        at = dice.randrange(len(spoilt) + 1)
        end = min(len(spoilt), at + dice.choice((0, 1, 4, 500)))
        spoilt[at:end] = dice.choice((dice.choice(FRAGMENTS), bytes(spoilt[at:end]) * 2, dice.randbytes(end - at)))
    return bytes(spoilt[: dice.randrange(len(spoilt) + 1)] if dice.random() < 0.1 else spoilt)


def _landmark_text(old: Mutation, _case: FaceCase, dice: random.Random) -> Mutation:
    return Mutation(old.photo, _spoilt(old.landmarks, dice), old.label_map, old.fields)


def _landmark_points(old: Mutation, case: FaceCase, dice: random.Random) -> Mutation:
    points = np.array([(point["x"], point["y"]) for point in case.points])
    changed = dice.choice(CHANGES)(points, dice)
    faces = [changed.tolist()] * dice.choice((1, 1, 2, 20))
    text = json.dumps({"landmarks": faces}) if dice.random() < 0.5 else json.dumps(faces[0])
    return Mutation(old.photo, text.encode(), old.label_map, old.fields)


CHANGES: tuple[Callable[[Points, random.Random], Points], ...] = (
    lambda points, dice: points * dice.uniform(0, 3),
    lambda points, dice: points + dice.uniform(-900, 900),
    lambda points, _: points / points.max(),
    lambda points, _: points[::-1],
    lambda points, _: np.where(np.arange(len(points))[:, None] % 7 == 0, points[:1], points),
    lambda points, _: np.repeat(points[:1], len(points), axis=0),
    lambda points, _: np.column_stack((points[:, 0], np.full(len(points), 40.0))),
    lambda points, _: np.column_stack((points[:, 0], points[:, 0])),
    lambda points, dice: points + np.random.default_rng(dice.randrange(99)).normal(0, 80, points.shape),
    lambda points, _: points[:68],
    lambda points, _: points[:468],
    lambda points, _: np.where(points > points.mean(), np.nan, points),
    lambda points, _: np.rint(points / 60) * 60,
    lambda points, _: points * [1, -1] + [0, 2 * points[:, 1].mean()],
)


def _map_bytes(old: Mutation, _case: FaceCase, dice: random.Random) -> Mutation:
    return Mutation(old.photo, old.landmarks, _spoilt(old.label_map, dice), old.fields)


def _map_pixels(old: Mutation, case: FaceCase, dice: random.Random) -> Mutation:
    labels = cv2.imdecode(np.frombuffer(case.label_map, np.uint8), cv2.IMREAD_UNCHANGED)
    noise = np.random.default_rng(dice.randrange(99))
    size = dice.choice(((16, 16), (300, 20), (700, 900), (2000, 1500)))
    changed = dice.choice(
        (
            cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST),
            cv2.resize(labels, size, interpolation=cv2.INTER_CUBIC),
            np.where(noise.random(labels.shape) < 0.02, 200, labels).astype(np.uint8),
            np.roll(labels, dice.randrange(1000), axis=dice.choice((0, 1))),
            255 - labels,
            (np.indices(labels.shape)[0] // 3 % 2).astype(np.uint8),
            (np.indices(labels.shape).sum(axis=0) // 24 % 30).astype(np.uint8),
            labels // 20,
        )
    )
    return Mutation(old.photo, old.landmarks, encode_png(changed), old.fields)


def _rings(old: Mutation, _case: FaceCase, dice: random.Random) -> Mutation:
    indices = [*range(0, 478, dice.choice((1, 7, 90))), dice.choice((-1, 3, 467, 477, 478, 10**30))]
    rings = {name: dice.choice((indices, [1, 1, 1], [5, 6, 7, 5], [], "x", [1.5, 2, 3])) for name in NAMES[-8:-4]}
    chosen = dict(dice.sample(sorted(rings.items(), key=str), dice.randint(1, 4)))
    return Mutation(old.photo, old.landmarks, json.dumps(chosen).encode(), old.fields)


def _photo(old: Mutation, _case: FaceCase, dice: random.Random) -> Mutation:
    return Mutation(_spoilt(old.photo, dice), old.landmarks, old.label_map, old.fields)
