"""What a file of trained weights is, by its content, and its tensors' shapes. Its name says nothing.

`torch.save` writes a zip archive (data.pkl and one file for each storage), or, before PyTorch 1.6 and in all the public
checkpoints here, five pickles with the storages behind them.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exporters.errors import WrongFileError
from exporters.weights.first_bytes import LENGTH, named
from exporters.weights.nesting import weights_of
from exporters.weights.pickle_outline import Storage, TensorOutline, Value, outline
from exporters.weights.safetensors import is_safetensors, stored_tensors
from exporters.weights.zip_directory import require_small_directory
from steps.model_folder import fault_of_model

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""torch's magic number, as a pickle."""
_PICKLES = 1 << 24
"""Longest pickles that are read, in bytes. Those of 600 tensors take 80 kB."""
_LARGEST = 1 << 31
"""Bytes of the largest file. The public ones have up to 270 MB, and no ONNX model has more."""
_SHOWN = 3
"""How many keys a message names."""


@dataclass(frozen=True)
class Contents:
    """The tensors of a file by key, in its order, without words that stand before all keys."""

    tensors: Mapping[str, TensorOutline]

    @property
    def described(self) -> str:
        """How many they are, and the first of them."""
        shown = ", ".join(f"{key} {list(self.tensors[key].shape)}" for key in list(self.tensors)[:_SHOWN])
        return f"a checkpoint of another network: {len(self.tensors)} tensors ({shown}, …)"


def require_readable(file: Path, taken: str) -> None:
    """Raise WrongFileError, ending with what is `taken`, for a file that would be read for long, or for ever."""
    if not file.is_file():
        raise WrongFileError(f"{file} is no regular file. {taken}")
    if file.stat().st_size > _LARGEST:
        raise WrongFileError(f"{file} is larger than {_LARGEST >> 30} GiB. {taken}")


def is_onnx(path: Path) -> bool:
    """Whether a file has the outermost fields of an ONNX model."""
    return not fault_of_model(path)


def contents(path: Path) -> Contents:
    """The tensors of a checkpoint of torch or safetensors, without their values. Raises WrongFileError, OSError."""
    return Contents(_tensors(stored_tensors(path) if is_safetensors(path) else _value(path, None)))


def names_in(path: Path) -> set[str]:
    """Every class and function that a file of torch.save names. Raises WrongFileError, OSError."""
    names: set[str] = set()
    _value(path, names)
    return names


def _value(path: Path, names: set[str] | None) -> Value:
    with path.open("rb") as file:
        start = file.read(LENGTH)
        if start.startswith(b"PK\x03\x04"):
            return _zipped(path, names)
        if start.startswith(_LEGACY):
            file.seek(0)
            return _legacy(file, path.stat().st_size, names)
    raise WrongFileError("an ONNX model" if is_onnx(path) else _cut_model(path, start) or named(start))


def _tensors(root: object) -> Mapping[str, TensorOutline]:
    found = weights_of(root, TensorOutline)
    if found is None:
        raise WrongFileError("a checkpoint without weights in it")
    others = [key for key, value in found.items() if not isinstance(value, TensorOutline)]
    if others:
        raise WrongFileError(f"a checkpoint with more than weights among the weights: {', '.join(others[:3])}")
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
