"""Landmarks as callers write them: JSON, Python literals, or lines of numbers."""

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np

from vision.arrays import Float64, Size
from vision.face.options import FaceError

Literal: TypeAlias = "dict[str, Literal] | list[Literal] | str | int | float | bool | None"

MAX_CHARACTERS = 1_000_000
"""Thirty times the text of 478 landmarks. Limits the time that a hostile text costs."""
MAX_TOKENS = 150_000
"""Commas, brackets and quotation marks. 16 faces of 478 landmarks with x, y and z have 77,000. Each costs an object or,
in a repr, a call."""

_TOKENS = ",[{(\"'"
_TOKEN = re.compile(
    r"""
    (?P<plain>'[^'"\\\x00-\x1f]*')
    | (?P<quoted>'(?:[^'\\\n]|\\.)*' | "(?:[^"\\\n]|\\.)*")
    | ['"][\s\S]*  # nothing closes it: taken whole, or every later quote would be tried to the end of the text
    | \b(?:None|True|False)\b
    | [()]
    """,
    re.VERBOSE,
)
_JSON = {"None": "null", "True": "true", "False": "false", "(": "[", ")": "]"}


def parse_literal(text: str) -> Literal:
    """Read JSON, or the repr of Python dicts, lists, tuples, strings and numbers.

    Tokens of a repr are rewritten and the JSON parser reads the result. No code is built or run. Raises ValueError.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters; at most {MAX_CHARACTERS} are accepted")
    tokens = sum(map(text.count, _TOKENS))
    if tokens > MAX_TOKENS:
        raise ValueError(f"it has {tokens} commas, brackets and quotation marks; at most {MAX_TOKENS} are accepted")
    try:
        return _parsed(text)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except SyntaxError:
        raise ValueError("a quoted string has a wrong escape") from None
    except ValueError:
        raise ValueError("a whole number has too many digits") from None


def _parsed(text: str) -> Literal:
    try:
        return cast("Literal", json.loads(text))
    except json.JSONDecodeError:
        return cast("Literal", json.loads(_TOKEN.sub(_as_json, text)))


def _as_json(token: "re.Match[str]") -> str:
    if token.lastgroup == "plain":
        return f'"{token[0][1:-1]}"'
    if token.lastgroup == "quoted":
        return json.dumps(ast.literal_eval(token[0]))
    return _JSON.get(token[0], token[0])


COUNTS = (478, 468, 68)
FORMS = "send [{x, y}, …] as JSON, a mapping with `landmarks`, or one `x,y` a line"
MAX_FACES = 16
FARTHEST = 1e6
"""Greatest accepted coordinate, in pixels."""
MIN_EXTENT = 8
"""Least width and height of a face's landmarks, in source pixels."""
COORDINATES = range(2, 4)
"""Numbers per point: x, y and perhaps z, which is not used."""

_SEPARATORS = re.compile(r"[\s,;]+")


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkSet:
    """Faces as landmarks N×2 in pixels of an image of `size`. None where the text gives no size."""

    faces: tuple[Float64, ...]
    size: Size | None = None

    def in_photo(self, size: Size) -> tuple[Float64, ...]:
        """Scale to a photo of `size`. Raises FaceError (landmarks_outside, landmarks_degenerate)."""
        scale = np.divide(size, self.size or size)
        faces = tuple(face * scale for face in self.faces)
        for face in faces:
            _check_place(face, size)
        return faces


def parse_landmarks(data: bytes) -> LandmarkSet:
    """Read the landmarks of one face or several, each with one of COUNTS points.

    Raises FaceError (landmarks_unreadable, landmarks_count).
    """
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise _unreadable("they are not UTF-8 text") from None
    if not text.startswith(("[", "{", "(")):
        return LandmarkSet((_face(_lines(text)),))
    try:
        value = parse_literal(text)
    except ValueError as error:
        raise _unreadable(str(error)) from None
    if isinstance(value, dict):
        return LandmarkSet(_faces(value.get("landmarks")), _size(value.get("dimensions")))
    return LandmarkSet(_faces(value))


def _unreadable(reason: str) -> FaceError:
    return FaceError("landmarks_unreadable", f"the landmarks cannot be read: {reason[:200]}; {FORMS}")


def _faces(value: Literal) -> tuple[Float64, ...]:
    if not isinstance(value, list) or not value:
        raise _unreadable("there is no list of points")
    nested = isinstance(value[0], list) and (not value[0] or isinstance(value[0][0], dict | list))
    faces = value if nested else [value]
    if len(faces) > MAX_FACES:
        raise _unreadable(f"there are {len(faces)} faces; at most {MAX_FACES} are accepted")
    return tuple(_face([_point(point, index) for index, point in enumerate(_items(face))]) for face in faces)


def _items(value: Literal) -> list[Literal]:
    if not isinstance(value, list):
        raise _unreadable("a face is not a list of points")
    return value


def _point(value: Literal, index: int) -> tuple[float, float]:
    coordinates = [value.get("x"), value.get("y")] if isinstance(value, dict) else value
    if not isinstance(coordinates, list) or len(coordinates) not in COORDINATES:
        raise _unreadable(f"point {index} is not {{x, y}}")
    return _number(coordinates[0], index), _number(coordinates[1], index)


def _number(value: Literal, index: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= FARTHEST:
        raise _unreadable(f"point {index} has a coordinate that is not a number of pixels")
    return float(value)


def _lines(text: str) -> list[tuple[float, float]]:
    points = list[tuple[float, float]]()
    for number, line in enumerate(text.splitlines(), start=1):
        words = _SEPARATORS.split(line.strip(), max(COORDINATES))
        if words == [""]:
            continue
        try:
            coordinates = [float(word) for word in words]
        except ValueError:
            raise _unreadable(f"line {number} is not numbers") from None
        if len(coordinates) not in COORDINATES or not all(abs(coordinate) <= FARTHEST for coordinate in coordinates):
            raise _unreadable(f"line {number} is not two numbers of pixels")
        points.append((coordinates[0], coordinates[1]))
        if len(points) > max(COUNTS):
            raise _miscounted(f"more than {max(COUNTS)}")
    return points


def _face(points: Sequence[tuple[float, float]]) -> Float64:
    if len(points) not in COUNTS:
        raise _miscounted(f"{len(points)}")
    return np.array(points, dtype=np.float64)


def _miscounted(count: str) -> FaceError:
    return FaceError("landmarks_count", f"a face has {count} landmarks; accepted are {', '.join(map(str, COUNTS))}")


def _size(value: Literal) -> Size | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != len(("width", "height")):
        raise _unreadable("`dimensions` is not [width, height]")
    if not all(isinstance(side, int) and 1 <= side <= FARTHEST for side in value):
        raise _unreadable("`dimensions` is not two positive whole numbers")
    return cast("Size", tuple(value))


def _check_place(face: Float64, size: Size) -> None:
    """Refuse a face that lies outside the photo, has points more than the photo's size away, or has no extent."""
    low, high, limit = face.min(axis=0), face.max(axis=0), np.array(size)
    if (high < 0).any() or (low > limit).any() or (low < -limit).any() or (high > 2 * limit).any():
        raise FaceError(
            "landmarks_outside", f"the landmarks lie outside the photo of {size[0]}×{size[1]}; send its pixels"
        )
    if (high - low < MIN_EXTENT).any():
        raise FaceError(
            "landmarks_degenerate",
            f"the landmarks span less than {MIN_EXTENT} pixels; send pixels of the photo, not shares of its size",
        )
