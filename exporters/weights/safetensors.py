"""Files of safetensors: the length of a header, the header in JSON, then the tensors. Nothing in them is code.

After the description of the format in the README of the repository safetensors.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeGuard

from exporters.errors import WrongFileError
from exporters.weights.pickle_outline import TensorOutline

_LENGTH = 8
"""Bytes of the header's length."""
_LARGEST = 1 << 20
"""Bytes of the longest header that is read. That of 600 tensors takes 70 kB."""
_NO_LENGTH = 1 << 40
_NOTES = "__metadata__"
_DTYPES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "F64": ("float64", 8),
        "F32": ("float32", 4),
        "F16": ("float16", 2),
        "BF16": ("bfloat16", 2),
        "I64": ("int64", 8),
        "I32": ("int32", 4),
        "I16": ("int16", 2),
        "I8": ("int8", 1),
        "U8": ("uint8", 1),
        "BOOL": ("bool", 1),
    }
)
"""Element type, and bytes of an element."""


@dataclass(frozen=True)
class StoredTensor(TensorOutline):
    """One tensor, whose values lie in the file from byte `start` to `end`: little endian, row by row."""

    start: int
    end: int


def is_safetensors(path: Path) -> bool:
    """Whether a file starts with a length and JSON. Text as a length would be far larger. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(_LENGTH + 1)
    return start[_LENGTH:] == b"{" and int.from_bytes(start[:_LENGTH], "little") < _NO_LENGTH


def stored_tensors(path: Path) -> Mapping[str, StoredTensor]:
    """The tensors of a file by key. Raises WrongFileError, also if it is cut short; OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        if length > min(_LARGEST, size - _LENGTH):
            raise WrongFileError("a safetensors file that is cut short, or with far more in it than a checkpoint has")
        header = file.read(length)
    try:
        entries = json.loads(header)
        found = {key: _stored(entries[key], _LENGTH + length) for key in entries if key != _NOTES}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WrongFileError(f"a safetensors file that is damaged ({error})") from error
    end = max((tensor.end for tensor in found.values()), default=0)
    if end > size:
        raise WrongFileError(f"a checkpoint that is cut short: {size} bytes where its tensors need {end}")
    return found


def _stored(entry: Mapping[str, object], data: int) -> StoredTensor:
    """Of the header's entry. Places count from byte `data`. Raises ValueError, TypeError, KeyError."""
    dtype, size = _DTYPES[str(entry["dtype"])]
    shape, places = entry["shape"], entry["data_offsets"]
    if not _are_counts(shape) or not _are_counts(places):
        raise TypeError("a tensor without shape or place")
    start, end = places
    if end - start != math.prod(shape) * size:
        raise ValueError("a tensor whose place has another size than its shape")
    return StoredTensor(tuple(shape), dtype, data + start, data + end)


def _are_counts(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
