"""Whether a file is a complete ONNX model, by its outermost fields. Only a few bytes are read, whatever its size."""

import os
from pathlib import Path
from typing import BinaryIO

_GRAPH = 7
"""The field `graph` of `ModelProto` (onnx.proto)."""
_FIXED = {1: 8, 5: 4}
"""Bytes of a field's value by its wire type. 0 is a varint, 2 is a size and as many bytes (protobuf's encoding)."""
_LONGEST_VARINT = 10


def fault_of_model(path: Path) -> str:
    """What is wrong with a model's file, in a few words. Empty if it is complete."""
    try:
        with path.open("rb") as file:
            return _fault(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        return error.strerror or "unreadable"


def _fault(file: BinaryIO, size: int) -> str:
    """A field that ends after the end of the file shows that the file was cut short."""
    if not size:
        return "it is empty"
    seen = set()
    while file.tell() < size:
        field = _skipped(file)
        if field is None:
            return "it is no ONNX model"
        seen.add(field)
    if file.tell() > size:
        return "it is cut short"
    return "" if _GRAPH in seen else "it is no ONNX model"


def _skipped(file: BinaryIO) -> int | None:
    """The number of the skipped field. None if it is not a field."""
    tag = _varint(file)
    if tag is None or not tag >> 3:
        return None
    match tag & 7:
        case 0:
            step = None if _varint(file) is None else 0
        case 2:
            step = _varint(file)
        case kind:
            step = _FIXED.get(kind)
    if step is None:
        return None
    file.seek(step, os.SEEK_CUR)
    return tag >> 3


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for place in range(_LONGEST_VARINT):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << 7 * place
        if not byte[0] & 0x80:
            return value
    return None
