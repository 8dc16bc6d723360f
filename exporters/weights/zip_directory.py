"""The size of a zip archive's directory, before Python's zipfile reads all of it."""

import os
import struct
from pathlib import Path

from exporters.errors import WrongFileError

_END = b"PK\x05\x06"
_LOCATOR = b"PK\x06\x07"
_END_64 = b"PK\x06\x06"
_END_SIZE, _LOCATOR_SIZE, _END_64_SIZE = 22, 20, 56
_LONGEST_COMMENT = (1 << 16) - 1
_LARGEST = 1 << 20
"""Bytes. A checkpoint's directory takes 100 for each tensor."""


def require_small_directory(path: Path) -> None:
    """Raise WrongFileError if there is no directory or it is larger than any checkpoint's.

    APPNOTE.TXT of PKWARE, 4.3.14 to 4.3.16: the end record gives its size, or a second one that a locator points to.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = max(size - _LONGEST_COMMENT - _END_SIZE - _LOCATOR_SIZE, 0)
        file.seek(start)
        tail = file.read()
        end = tail.rfind(_END)
        if end < 0 or len(tail) - end < _END_SIZE:
            raise WrongFileError("a zip archive that is cut short")
        (directory,) = struct.unpack_from("<L", tail, end + 12)
        locator = end - _LOCATOR_SIZE
        if locator >= 0 and tail.startswith(_LOCATOR, locator):
            (place,) = struct.unpack_from("<Q", tail, locator + 8)
            file.seek(min(place, size), os.SEEK_SET)
            record = file.read(_END_64_SIZE)
            if len(record) < _END_64_SIZE or not record.startswith(_END_64):
                raise WrongFileError("a zip archive that is damaged or cut short")
            (directory,) = struct.unpack_from("<Q", record, 40)
    if directory > _LARGEST:
        raise WrongFileError("a zip archive of far more files than a checkpoint has")
