"""What a file is that is no checkpoint, by its first bytes."""

from collections.abc import Mapping
from types import MappingProxyType

LENGTH = 512
"""How many of a file's first bytes are looked at."""
_BEGINNINGS: Mapping[bytes, str] = MappingProxyType(
    {
        b"version https://git-lfs": "a pointer of Git LFS: the file itself was not fetched (`git lfs pull` does)",
        b"\x1f\x8b": "compressed with gzip: unpack it first",
        b"7z\xbc\xaf": "a 7z archive: unpack it first",
        b"Rar!": "a RAR archive: unpack it first",
        b"\xfd7zXZ": "compressed with xz: unpack it first",
        b"BZh": "compressed with bzip2: unpack it first",
        b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it first",
        b"\x89HDF": "an HDF5 file, as Keras writes them",
        b"\x89PNG": "a picture",
        b"\xff\xd8\xff": "a picture",
        b"%PDF": "a PDF document",
        b"\x93NUMPY": "a numpy array",
        b"\x7fELF": "a program",
        b"ftrt": "an engine of TensorRT, which runs on one kind of GPU alone",
        b"7767517": "a graph of ncnn",
    }
)
_TAR = slice(257, 262)
"""Where a tar archive says `ustar` (POSIX.1-1988)."""
_MARK = b"\xef\xbb\xbf"
"""What Windows' editors put before a text in UTF-8."""


def named(start: bytes) -> str:
    """What a file with these first bytes is, to follow `it is`."""
    for beginning, name in _BEGINNINGS.items():
        if start.startswith(beginning):
            return name
    text = start.removeprefix(_MARK).lstrip().lower()
    signs = {
        "an empty file": not start,
        "a graph of OpenVINO": text.startswith(b"<?xml") and b"<net " in text,
        "a web page saved under this name: download the file itself": _is_page(text),
        "a TensorFlow Lite model": start[4:8] == b"TFL3",
        "a safetensors file": start[8:10] == b'{"',
        "a model of Caffe, which is not read: its weights are wanted as torch has them": _is_caffe(start),
        "a tar archive: unpack it first": start[_TAR] == b"ustar",
        "a pickle that torch.save did not write, of which nothing was run": start[:1] == b"\x80",
        "a text": _is_text(start),
    }
    return next((name for name, found in signs.items() if found), "no checkpoint and no model")


def _is_page(text: bytes) -> bool:
    return text.startswith(b"<") and any(sign in text for sign in (b"<!doctype", b"<html", b"<head", b"<?xml"))


def _is_caffe(start: bytes) -> bool:
    """Whether there is a layer, field 100 of Caffe's NetParameter (caffe.proto), of a kind that comes first."""
    return b"\xa2\x06" in start and any(kind in start for kind in (b"Input", b"Data", b"Convolution"))


def _is_text(start: bytes) -> bool:
    """Whether it is UTF-8 without control characters. Its last character may be cut."""
    try:
        text = start.decode("utf-8", errors="strict" if len(start) < LENGTH else "ignore")
    except UnicodeDecodeError:
        return False
    return len(text.encode()) > len(start) - 4 and all(one.isprintable() or one in "\t\n\r\ufeff" for one in text)
