"""Add a user's checkpoint of a parser, a pose network or a face parser to the model repository."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

from exporters.catalogue import Paths, load, sha256
from exporters.choice import WHEN_IT_SERVES, use_no_form
from exporters.downloads import Listener
from exporters.errors import ExporterError, WrongFileError
from exporters.export import build_model
from exporters.fetch import fetch_all
from exporters.networks.known import EXPECTED, PARSERS, Kind, Network, recognised
from exporters.networks.maps import MapsRecipe
from exporters.networks.onnx_parser import read_onnx_parser
from exporters.parity import ParityReport
from exporters.repository import building
from exporters.weights.container import contents, is_onnx, require_readable

_NEEDED = ("torch", "onnxscript")
_TEMPLATE = """# {title}, added from {source!r}. {meaning}
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: {batch}
input [
  {{ name: "image" data_type: TYPE_UINT8 dims: [ {image} ] }}
]
output [
{outputs}
]
{batching}instance_group [ {{ count: 1 }} ]
parameters {{ key: "session.intra_op.allow_spinning" value {{ string_value: "0" }} }}
# Without the arena a process needs 0.9 GB less with two parsers, and 3 % more time.
parameters {{ key: "enable_mem_arena" value {{ string_value: "0" }} }}
"""
_LARGEST_BATCH = 4
"""Images. One takes 300 MB of a parser's memory."""
_TYPES = {"labels": "TYPE_UINT8"}
_MEANING = {
    Kind.PARSER: "The best label of each pixel, and the logits that it comes from, at a quarter of the size.",
    Kind.FACE_PARSER: "The best label of each pixel, and the logits that it comes from, at an eighth of the size.",
    Kind.POSE: "Joints and the background, and the fields of 19 limbs, at an eighth of the size.",
}


@dataclass(frozen=True)
class Brought:
    """A file that was found to be of a network, and how many images at a time its model takes (0: one, always)."""

    recipe: MapsRecipe
    batch: int


def add_network(kind: Kind, file: Path, *, listener: Listener, paths: Paths) -> ParityReport:
    """Make a model of the file, compare it with the file on the sample photos, and configure it.

    A model that was made of another file of the same network is replaced, and forms of that serve no longer. Raises
    WrongFileError with what the file is and what was expected, ExporterError if torch is needed and missing,
    TranslationError, ParityError. Then nothing is left, and what was there stays.
    """
    brought = _inspected(kind, file)
    model, given = brought.recipe.name, {file.name: sha256(file)}
    photos = [entry.name for entry in load(paths.catalogue).file if entry.kind == "photo"]
    images = fetch_all(photos, listener=listener, paths=paths)
    with (
        listener.watching(model),
        building(paths.model_repository) as change,
        change.draft(paths.model_repository / model) as draft,
    ):
        (draft / "1").mkdir()
        written = build_model(brought.recipe, [file], images, draft / "1")
        if written.checkpoints != given:
            raise ExporterError(f"{file} changed while it was read; add it again")
        (draft / "config.pbtxt").write_text(_config(brought, file.name), encoding="utf-8")
        use_no_form(model, paths.model_repository)
    return written


def when_it_serves(kind: Kind, paths: Paths) -> str:
    """A sentence about a model that was added. A pose network alone serves nothing."""
    if kind is Kind.POSE and not any(paths.model(parser.model).exists() for parser in PARSERS):
        return f"it serves beside a parser: `maskwright models add {Kind.PARSER} FILE`"
    return WHEN_IT_SERVES


def _inspected(kind: Kind, file: Path) -> Brought:
    """What the file is. Raises WrongFileError, ExporterError."""
    taken = f"`models add {kind}` takes {EXPECTED[kind]}"
    require_readable(file, taken)
    try:
        if kind is Kind.PARSER and is_onnx(file):
            parser = read_onnx_parser(file)
            return Brought(parser, _LARGEST_BATCH if parser.batches else 0)
        return Brought(_checkpoint(kind, file), _LARGEST_BATCH)
    except WrongFileError as error:
        raise WrongFileError(f"{file} is {error}. {taken}") from error


def _checkpoint(kind: Kind, file: Path) -> MapsRecipe:
    found = contents(file)
    network = recognised(found)
    if network.kind is not kind:
        raise WrongFileError(f"{network.title}, which `maskwright models add {network.kind}` takes")
    _require_torch(file, network)
    from exporters.networks.checkpoint import read_checkpoint  # noqa: PLC0415 - imports torch, which few need

    return read_checkpoint(file, found, network)


def _require_torch(file: Path, network: Network) -> None:
    """Raise ExporterError, with the command that installs them, if torch or its exporter is missing."""
    for name in _NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ExporterError(
                f"{file} is {network.title}, and its model is made with {' and '.join(_NEEDED)} ({error}). "
                f"This installs them: {sys.executable} -m pip install {' '.join(_NEEDED)}"
            ) from error


def _config(brought: Brought, source: str) -> str:
    """config.pbtxt. If a model does not take any number of images, its one image is the first dimension."""
    network = brought.recipe.network
    first = [] if brought.batch else [1]
    sides = [network.side, network.side] if network.side else [-1, -1]
    return _TEMPLATE.format(
        title=network.title,
        source=source,
        meaning=_MEANING[network.kind],
        batch=brought.batch,
        image=_dims([*first, *sides, 3]),
        outputs=",\n".join(_output(name, network, first) for name in network.outputs),
        batching="dynamic_batching { }\n" if brought.batch else "",
    )


def _output(name: str, network: Network, first: list[int]) -> str:
    _, *sizes = network.outputs[name]
    kind = _TYPES.get(name, "TYPE_FP32")
    return f'  {{ name: "{name}" data_type: {kind} dims: [ {_dims([*first, *sizes])} ] }}'


def _dims(sizes: list[int | str]) -> str:
    return ", ".join(str(size) if isinstance(size, int) else "-1" for size in sizes)
