"""What a file of trained weights is, by its content, and its tensors' shapes. Its name says nothing.

`torch.save` writes a zip archive (data.pkl and one file for each storage), or, before PyTorch 1.6 and in all the public
checkpoints here, five pickles with the storages behind them.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from exporters.errors import WrongFileError
from exporters.weights.pickle_outline import Storage, TensorOutline, Value, outline
from exporters.weights.zip_directory import require_small_directory
from steps.model_folder import fault_of_model

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""torch's magic number, as a pickle."""
_PICKLES = 1 << 24
"""Longest pickles that are read, in bytes. Those of 600 tensors take 80 kB."""
_SHOWN = 3
"""How many keys a message names."""
_NESTED = ("state_dict", "model_state_dict", "model")
"""Where training scripts put the weights beside other things."""
_PREFIX = "module."
"""What DataParallel puts before each key."""
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
    }
)
_HTML = (b"<!doctype", b"<html", b"<head", b"<?xml")
_TEXT = b"\t\n\r" + bytes(range(0x20, 0x7F))
_READ = 512


@dataclass(frozen=True)
class Contents:
    """The tensors of a file by key, in its order, without the prefix of DataParallel."""

    tensors: Mapping[str, TensorOutline]

    @property
    def described(self) -> str:
        """How many they are, and the first of them."""
        shown = ", ".join(f"{key} {list(self.tensors[key].shape)}" for key in list(self.tensors)[:_SHOWN])
        return f"a checkpoint of another network: {len(self.tensors)} tensors ({shown}, …)"


def is_onnx(path: Path) -> bool:
    """Whether a file has the outermost fields of an ONNX model."""
    return not fault_of_model(path)


def contents(path: Path) -> Contents:
    """The tensors of a checkpoint that torch wrote, without their values. Raises WrongFileError, OSError."""
    return Contents(_tensors(_value(path, None)))


def names_in(path: Path) -> set[str]:
    """Every class and function that a file of torch.save names. Raises WrongFileError, OSError."""
    names: set[str] = set()
    _value(path, names)
    return names


def _value(path: Path, names: set[str] | None) -> Value:
    with path.open("rb") as file:
        start = file.read(_READ)
        if start.startswith(b"PK\x03\x04"):
            return _zipped(path, names)
        if start.startswith(_LEGACY):
            file.seek(0)
            return _legacy(file, path.stat().st_size, names)
    raise WrongFileError("an ONNX model" if is_onnx(path) else _cut_model(path, start) or _named(start))


def weights_of(root: Mapping[str, object], kind: type) -> Mapping[str, object] | None:
    """The entries of `root`, or of what training scripts call the weights, that are of `kind`. None if there are none.

    Prefixes of DataParallel are left out.
    """
    nested = [root[name] for name in _NESTED if isinstance(root.get(name), dict)]
    for entries in (root, *nested):
        if isinstance(entries, dict) and any(isinstance(value, kind) for value in entries.values()):
            whole = all(str(key).startswith(_PREFIX) for key in entries)
            return {str(key)[len(_PREFIX) if whole else 0 :]: value for key, value in entries.items()}
    return None


def _tensors(root: Value) -> Mapping[str, TensorOutline]:
    named = {str(key): value for key, value in root.items()} if isinstance(root, dict) else {}
    found = weights_of(named, TensorOutline)
    if found is None:
        raise WrongFileError("a file of torch.save without weights in it")
    others = [key for key, value in found.items() if not isinstance(value, TensorOutline)]
    if others:
        raise WrongFileError(f"a file of torch.save with more than weights among the weights: {', '.join(others[:3])}")
    return {key: value for key, value in found.items() if isinstance(value, TensorOutline)}


def _legacy(file: BinaryIO, size: int, names: set[str] | None) -> Value:
    """Magic number, version, system, value and order of the storages; then each storage with its count."""
    head = io.BytesIO(file.read(_PICKLES))
    storages: dict[str, Storage] = {}
    for _ in range(3):
        outline(head, {})
    root = outline(head, storages, names)
    outline(head, {})
    _require_bytes(size, head.tell() + sum(8 + storage.bytes for storage in storages.values()))
    return root


def _zipped(path: Path, names: set[str] | None) -> Value:
    """Everything is stored as it is: what is compressed could be far larger than the file."""
    require_small_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
            # torch's reader takes the first of several of a name, in whatever case, and Python's the last.
            if len(pickles) != 1 or len({entry.filename.lower() for entry in archive.infolist()}) < len(
                archive.infolist()
            ):
                raise WrongFileError("a zip archive that torch did not write: unpack it if the file is in it")
            (name,) = pickles
            root = name.removesuffix("data.pkl")
            if root + "constants.pkl" in entries:
                raise WrongFileError("a TorchScript program, which is code, not weights alone")
            _require_stored(entries, path.stat().st_size)
            storages: dict[str, Storage] = {}
            value = outline(io.BytesIO(archive.read(name)), storages, names)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise WrongFileError(f"a zip archive that is damaged or cut short ({error})") from error
    for key, storage in storages.items():
        entry = entries.get(f"{root}data/{key}")
        _require_bytes(0 if entry is None else entry.file_size, storage.bytes)
    return value


def _require_stored(entries: Mapping[str, zipfile.ZipInfo], size: int) -> None:
    """Raise WrongFileError if the archive would unpack to more than itself."""
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values())
    if packed or sum(entry.file_size for entry in entries.values()) > size:
        raise WrongFileError("a compressed zip archive, which torch does not write: unpack it first")
    if any(entry.file_size > _PICKLES for name, entry in entries.items() if name.endswith(".pkl")):
        raise WrongFileError("a pickle with far more in it than a checkpoint has")


def _require_bytes(size: int, needed: int) -> None:
    if size < needed:
        raise WrongFileError(f"a checkpoint that is cut short: {size} bytes where its tensors need {needed}")


def _cut_model(path: Path, start: bytes) -> str:
    """ONNX models start with their version."""
    return "an ONNX model that is cut short" if start[:1] == b"\x08" and "cut short" in fault_of_model(path) else ""


def _named(start: bytes) -> str:
    """What a file is that is no checkpoint, by its first bytes."""
    for beginning, name in _BEGINNINGS.items():
        if start.startswith(beginning):
            return name
    signs = {
        "an empty file": not start,
        "a web page saved under this name: download the file itself": start.lstrip().lower().startswith(_HTML),
        "a TensorFlow Lite model": start[4:8] == b"TFL3",
        "a safetensors file": start[8:10] == b'{"',
        "a pickle that torch.save did not write, of which nothing was run": start[:1] == b"\x80",
        "a text": not start.translate(None, _TEXT),
    }
    return next((name for name, found in signs.items() if found), "no checkpoint and no model")
