"""SCHP's parser as OOTDiffusion and IDM-VTON exported it to ONNX: the file's graph, with pixels in and labels out.

Their outputs are the parse, the fused parse and the edges, in this order. The fused parse is used.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper
from typing_extensions import override

from exporters.detectors.network import free_sides, read_network, with_image_input
from exporters.errors import TranslationError, WrongFileError
from exporters.memory import bounded_memory
from exporters.networks.known import PARSERS, Network
from exporters.networks.maps import LABELS, MapsRecipe
from exporters.onnx_model import BATCH, Emitter, float_output
from exporters.recipe import BAR, Outputs, run_once

_PREFIX = "network/"
"""Prefix of every name in the file, which may itself call something `image` or `labels`."""
_LOGITS = "logits"
_FUSED = 1
"""Place of the fused parse among the outputs, where there are several."""
_RANK = 4
_LARGEST = 1 << 29
"""Bytes. The public files have half of it."""
_MEMORY = 6 << 30
"""Bytes that reading and trying a file may take. A public one takes 2 GB."""
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16}
_IMAGES = {0, 1}
"""How many at a time: any number, or one."""
_SIZES = {"Resize": 3, "Reshape": 1}
"""Place of the input that gives the sizes of the output."""
_LOOPS = {"If", "Loop", "Scan"}


@dataclass(frozen=True, eq=False)
class OnnxParser(MapsRecipe):
    """A recipe of the file's graph. `output` is its fused parse. `free` is the graph for any number of images."""

    graph: onnx.ModelProto
    output: str
    free: onnx.ModelProto | None = None

    @property
    def batches(self) -> bool:
        """Whether it takes any number of images at a time."""
        graph = (self.free or self.graph).graph
        return not graph.input[0].type.tensor_type.shape.dim[0].dim_value

    @override
    def size(self, files: Sequence[Path]) -> tuple[int, int]:
        return _side(self.network), _side(self.network)

    @override
    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Add pixel conversion and labels, and drop what only the other outputs need. Raises TranslationError."""
        model = with_image_input(self.free or self.graph, self.network.pixels)
        emitter = Emitter(prefix=f"{LABELS}/")
        logits = emitter.node("Cast", [self.output], name=_LOGITS, to=TensorProto.FLOAT)
        _emit_labels(emitter, logits, _side(self.network))
        model.graph.node.extend(emitter.nodes)
        model.graph.initializer.extend(emitter.initializers)
        first = BATCH if self.batches else 1
        labels, maps = ([first, *sizes[1:]] for sizes in self.network.outputs.values())
        del model.graph.output[:], model.graph.value_info[:]
        model.graph.output.extend(
            [helper.make_tensor_value_info(LABELS, TensorProto.UINT8, labels), float_output(_LOGITS, maps)]
        )
        _prune(model.graph)
        helper.set_model_props(model, dict(metadata))
        try:
            onnx.checker.check_model(model)
        except onnx.checker.ValidationError as error:
            raise TranslationError(f"{self.name} cannot be made a model: {error}") from error
        return model

    @override
    def references(self, files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """The file's own fused parse, and the best label of each pixel after enlarging it."""
        kind = self.graph.graph.input[0].type.tensor_type.elem_type
        pixels = self.network.pixels.apply(images).astype(helper.tensor_dtype_to_np_dtype(kind))
        logits = run_once(self.graph.SerializeToString(), pixels)[self.output].astype(np.float32)
        outputs = {LABELS: best_labels(logits, _side(self.network)).astype(np.float32), _LOGITS: logits}
        return outputs, outputs


def read_onnx_parser(path: Path) -> OnnxParser:
    """A recipe of the file. Raises WrongFileError if it is not SCHP's parser, or asks for too much memory."""
    _require_small([path])
    try:
        with bounded_memory(_MEMORY):
            return _read(path)
    except (TranslationError, MemoryError) as error:
        raise WrongFileError(f"an ONNX model that cannot be used: {error.__cause__ or error or 'too large'}") from error


def _read(path: Path) -> OnnxParser:
    """The parser is known by the shape of its answer. Its graph is freed if two images then get the same as alone."""
    _require_outside(path)
    model = read_network(path)
    _require_plain(model)
    graph = compose.add_prefix(model, _PREFIX)
    side, output = _input_side(graph), _fused(graph).name
    noise = np.random.default_rng(0).normal(size=(2, 3, side, side))
    images = noise.astype(helper.tensor_dtype_to_np_dtype(graph.graph.input[0].type.tensor_type.elem_type))
    alone = run_once(graph.SerializeToString(), images)[output]
    network = _network(alone.shape, output, side)
    parser = OnnxParser(network.model, (), network, graph, output)
    return parser if parser.batches else replace(parser, free=_freed(parser, images, alone))


def _require_outside(path: Path) -> None:
    """Raise WrongFileError if the input or the output is declared otherwise: this is quick, and reading all is not."""
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise WrongFileError(f"no ONNX model that can be used ({error})") from error
    _require_beside(path, model)
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [source for source in model.graph.input if source.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    output = _fused(model)
    if sizes := [size.dim_value for size in output.type.tensor_type.shape.dim]:
        _network(tuple(sizes), output.name, _input_side(model))
    else:
        _input_side(model)


def _require_beside(path: Path, model: onnx.ModelProto) -> None:
    """Raise WrongFileError if weights are in files that are not beside the model, or all is too large.

    torch's exporter writes such a file since 2.9. onnx reads no links, so that a model shows no other file's content.
    """
    files = {path}
    for weight in model.graph.initializer:
        files |= {path.parent / entry.value for entry in weight.external_data if entry.key == "location"}
    lacking = [file for file in files - {path} if file.parent != path.parent or file.is_symlink() or not file.is_file()]
    if lacking:
        raise WrongFileError(
            f"an ONNX model with weights in another file, {lacking[0].name}, which must be beside it and be no link"
        )
    _require_small(files)


def _require_small(files: Iterable[Path]) -> None:
    if sum(file.stat().st_size for file in files) > _LARGEST:
        raise WrongFileError(f"an ONNX model of more than {_LARGEST >> 20} MiB")


def _fused(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    if not model.graph.output:
        raise WrongFileError("an ONNX model without outputs")
    return model.graph.output[_FUSED if len(model.graph.output) > 1 else 0]


def _require_plain(model: onnx.ModelProto) -> None:
    """Raise WrongFileError if the graph has loops or branches, or operators that are not ONNX's."""
    kinds = {node.op_type for node in model.graph.node if node.domain or node.op_type in _LOOPS}
    if kinds or model.functions:
        raise WrongFileError(f"an ONNX model with {', '.join(sorted(kinds)) or 'functions'}, which no parser needs")


def best_labels(logits: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """Labels uint8 N×side×side of logits N×C×h×w, enlarged bilinearly with aligned corners."""
    rows, columns = (_weights(length, side) for length in logits.shape[-2:])
    return np.stack([np.argmax(rows @ one @ columns.T, axis=0) for one in logits]).astype(np.uint8)


def _weights(length: int, side: int) -> NDArray[np.float32]:
    """The matrix side×length of bilinear interpolation between the centres of the first and the last value."""
    places = np.arange(side) * (length - 1) / (side - 1)
    weights: NDArray[np.float32] = np.maximum(
        1 - np.abs(places[:, np.newaxis] - np.arange(length)), 0, dtype=np.float32
    )
    return weights


def _side(network: Network) -> int:
    if network.side is None:
        raise TranslationError(f"{network.model} has images of free sides")
    return network.side


def _input_side(model: onnx.ModelProto) -> int:
    """The side of its square images. Raises WrongFileError."""
    sides = sorted({_side(network) for network in PARSERS})
    if len(model.graph.input) == 1:
        tensor = model.graph.input[0].type.tensor_type
        images, *sizes = [size.dim_value for size in tensor.shape.dim] or [0]
        if tensor.elem_type in _FLOATS and images in _IMAGES and sizes in [[3, side, side] for side in sides]:
            return sizes[1]
    told = ", ".join(map(_described, model.graph.input)) or "nothing"
    wanted = " or ".join(f"N×3×{side}×{side}" for side in sides)
    raise WrongFileError(f"an ONNX model with the input {told}, where the parser's is {wanted} of floats, N free or 1")


def _described(source: onnx.ValueInfoProto) -> str:
    tensor = source.type.tensor_type
    sizes = "×".join(str(size.dim_value or size.dim_param or "?") for size in tensor.shape.dim)
    return f"{source.name.removeprefix(_PREFIX)} {sizes} ({TensorProto.DataType.Name(tensor.elem_type).lower()})"


def _network(shape: tuple[int, ...], output: str, side: int) -> Network:
    """Which parser has this answer. 0 fits any size. Raises WrongFileError."""
    for network in PARSERS:
        expected = [size for size in network.outputs[_LOGITS][1:] if isinstance(size, int)]
        alike = len(shape) == _RANK and all(one in {0, other} for one, other in zip(shape[1:], expected, strict=True))
        if network.side == side and alike:
            return network
    wanted = ", ".join(f"{'×'.join(map(str, network.outputs[_LOGITS]))} ({network.model})" for network in PARSERS)
    told, found = output.removeprefix(_PREFIX), "×".join(str(size or "?") for size in shape[1:])
    raise WrongFileError(f"an ONNX model whose output {told} is N×{found}, where parsers have {wanted}")


def _freed(parser: OnnxParser, images: NDArray[np.floating], alone: NDArray[np.float32]) -> onnx.ModelProto | None:
    """The graph for any number of images at a time. None if it then answers otherwise than to each `alone`."""
    free = free_sides(parser.graph, {0: BATCH})
    _free_shapes(free.graph)
    try:
        together = run_once(free.SerializeToString(), images)[parser.output]
    except TranslationError:
        return None
    near = together.shape == alone.shape and np.allclose(together, alone, atol=BAR * float(alone.std()))
    return free if near else None


def _free_shapes(graph: onnx.GraphProto) -> None:
    """Let Resize and Reshape keep the number of images where it was written into them as 1."""
    constants = {weight.name: weight for weight in graph.initializer} | {
        node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"
    }
    emitter, images = Emitter(prefix=f"{_PREFIX}free/"), _of_images(graph)
    nodes = []
    for node in graph.node:
        place = _SIZES.get(node.op_type, len(node.input))
        weight = constants.get(node.input[place]) if place < len(node.input) and node.input[0] in images else None
        sizes = numpy_helper.to_array(weight).ravel().tolist() if weight and weight.data_type else []
        if sizes[:1] == [1] and len(sizes) > 1:
            before = len(emitter.nodes)
            node.input[place] = _with_images(emitter, node.input[0], sizes)
            nodes.extend(emitter.nodes[before:])
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(emitter.initializers)


def _of_images(graph: onnx.GraphProto) -> set[str]:
    """The values that are made of the images, not of their sizes."""
    found = {source.name for source in graph.input}
    for node in graph.node:
        if node.op_type != "Shape" and found.intersection(node.input):
            found.update(node.output)
    return found


def _with_images(emitter: Emitter, values: str, sizes: Sequence[int]) -> str:
    """Emit sizes whose first is the number of images in `values`."""
    first = emitter.node("Slice", [emitter.node("Shape", [values]), *(emitter.integers([one]) for one in (0, 1, 0))])
    return emitter.node("Concat", [first, emitter.integers(sizes[1:])], axis=0)


def _emit_labels(emitter: Emitter, logits: str, side: int) -> None:
    first = emitter.node("Slice", [emitter.node("Shape", [logits]), *(emitter.integers([one]) for one in (0, 2, 0))])
    sizes = emitter.node("Concat", [first, emitter.integers([side, side])], axis=0)
    enlarged = emitter.node(
        "Resize", [logits, "", "", sizes], mode="linear", coordinate_transformation_mode="align_corners"
    )
    best = emitter.node("ArgMax", [enlarged], axis=1, keepdims=0)
    emitter.node("Cast", [best], name=LABELS, to=TensorProto.UINT8)


def _prune(graph: onnx.GraphProto) -> None:
    """Drop the nodes and weights that no output needs."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    weights = [weight for weight in graph.initializer if weight.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(weights)
