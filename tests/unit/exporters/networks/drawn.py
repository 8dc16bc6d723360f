"""Checkpoints as torch writes them, with random weights, drawn without torch."""

import json
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

SHARED = Path(__file__).resolve().parents[5] / "shared" / "reference"
MANIFESTS = SHARED / "manifests"
needs_manifests = pytest.mark.skipif(not MANIFESTS.is_dir(), reason=f"{MANIFESTS} is not here")
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
"""Magic number, version and an empty description of the system."""
STORAGES = {
    np.dtype(np.float32): "FloatStorage",
    np.dtype(np.float16): "HalfStorage",
    np.dtype(np.int64): "LongStorage",
}
LETTERS = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.int64): "I64"}
Weights = Mapping[str, NDArray[np.generic]]


def weights(network: str, seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """As its manifest has them: convolutions that keep the magnitude, norms with some negative weights."""
    rng = np.random.default_rng(seed)
    manifest = json.loads((MANIFESTS / f"manifest_{network}.json").read_text())
    return {key: _values(rng, key, shape).astype(dtype) for key, shape, dtype in manifest}


def _values(rng: np.random.Generator, key: str, shape: list[int]) -> NDArray[np.floating]:
    if key.endswith("num_batches_tracked"):
        return np.full(shape, 80_000.0)
    if key.endswith("running_var"):
        return rng.uniform(0.6, 1.4, shape)
    if key.endswith(("running_mean", "bias")):
        return rng.normal(0, 0.1, shape)
    if len(shape) == 1:
        return rng.uniform(0.4, 1.2, shape) * rng.choice([1, 1, 1, 1, -1], shape) * (0.3 if "bn3" in key else 1)
    return rng.standard_normal(shape, np.float32) * (2 / np.prod(shape[1:])) ** 0.5


def legacy(path: Path, tensors: Weights, *, wrapped: bool = False, extra: bytes = b"") -> Path:
    """The form of PyTorch before 1.6, which the public checkpoints have. `extra` is put before the weights."""
    keys = [str(place) for place in range(len(tensors))]
    with path.open("wb") as file:
        file.write(LEGACY + pickled(tensors, wrapped=wrapped, extra=extra, viewed=True) + pickle.dumps(keys, 2))
        for values in tensors.values():
            file.write(struct.pack("<q", values.size) + values.tobytes())
    return path


def zipped(path: Path, tensors: Weights, *, wrapped: bool = False, extra: bytes = b"", packed: bool = False) -> Path:
    """The form since then. torch packs nothing."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled(tensors, wrapped=wrapped, extra=extra))
        for place, values in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{place}", values.tobytes())
        archive.writestr("archive/version", "3\n")
    return path


def stored(path: Path, tensors: Weights) -> Path:
    """A file of safetensors."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    content = b""
    for key, values in tensors.items():
        places = [len(content), len(content) + values.nbytes]
        header[key] = {"dtype": LETTERS[values.dtype], "shape": values.shape, "data_offsets": places}
        content += values.tobytes()
    told = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(told)) + told + content)
    return path


def pickled(tensors: Weights, *, wrapped: bool = False, extra: bytes = b"", viewed: bool = False) -> bytes:
    """A dictionary of tensors, each with a storage of its own."""
    body = extra + b"}("
    for place, (key, values) in enumerate(tensors.items()):
        body += text(key) + tensor(str(place), values.shape, STORAGES[values.dtype], viewed=viewed)
    body += b"u"
    return b"\x80\x02" + (b"}" + text("state_dict") + body + b"s" if wrapped else body) + b"."


def tensor(key: str, shape: tuple[int, ...], storage: str, *, viewed: bool = False, size: int | None = None) -> bytes:
    """A contiguous tensor and its storage, of `size` elements."""
    strides = [int(np.prod(shape[place + 1 :])) for place in range(len(shape))]
    count = int(np.prod(shape)) if size is None else size
    identity = b"(" + text("storage") + name(f"torch.{storage}") + text(key) + text("cpu") + number(count)
    identity += (b"N" if viewed else b"") + b"tQ"
    arguments = identity + number(0) + numbers(shape) + numbers(strides) + b"\x89" + ORDERED
    return name("torch._utils._rebuild_tensor_v2") + b"(" + arguments + b"tR"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    content = value.to_bytes(8, "little", signed=True)
    return b"\x8a\x08" + content


def numbers(values: object) -> bytes:
    return b"(" + b"".join(number(int(value)) for value in values) + b"t"  # type: ignore[attr-defined]


def name(dotted: str) -> bytes:
    module, _, attribute = dotted.rpartition(".")
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


ORDERED = name("collections.OrderedDict") + b")R"
