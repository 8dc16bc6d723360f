"""From a network in PyTorch to an ONNX graph that takes photos: pixels in, labels or maps out."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, nn
from torch.nn import functional

from exporters.detectors.network import Pixels
from exporters.errors import TranslationError
from exporters.onnx_model import BATCH, INPUT, IR_VERSION

OPSET = 18
"""The first that torch's exporter writes. NVIDIA's 24.10 container, with onnxruntime 1.19, can load it."""
_DOMAINS = {"", "ai.onnx"}


class Parser(nn.Module):
    """A network with one map of logits: `labels` uint8 N×H×W and `logits` float32 N×C×h×w of `image`."""

    def __init__(self, network: nn.Module, pixels: Pixels) -> None:
        super().__init__()
        self.network, self.pixels = network, Input(pixels)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image uint8 N×H×W×3 RGB. The logits are enlarged to its size before the best label is taken."""
        logits: Tensor = self.network(self.pixels(image))
        enlarged = functional.interpolate(logits, size=image.shape[1:3], mode="bilinear", align_corners=True)
        return enlarged.argmax(dim=1).to(torch.uint8), logits


class Pose(nn.Module):
    """A network with heatmaps and fields: `heatmap` float32 N×h×w×19 and `paf` N×h×w×38 of `image`."""

    def __init__(self, network: nn.Module, pixels: Pixels) -> None:
        super().__init__()
        self.network, self.pixels = network, Input(pixels)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image uint8 N×H×W×3 RGB, with sides in multiples of 8."""
        heatmaps, fields = self.network(self.pixels(image))
        return heatmaps.permute(0, 2, 3, 1), fields.permute(0, 2, 3, 1)


class Input(nn.Module):
    """The pixels that a network expects, from `image`."""

    def __init__(self, pixels: Pixels) -> None:
        super().__init__()
        scale, offset = pixels.factors
        self.register_buffer("order", torch.tensor(pixels.order), persistent=False)
        self.register_buffer("scale", torch.tensor(scale).reshape(3, 1, 1), persistent=False)
        self.register_buffer("offset", torch.tensor(offset).reshape(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Image uint8 N×H×W×3 RGB to float32 N×3×H×W."""
        scale, offset = cast("Tensor", self.scale), cast("Tensor", self.offset)
        ordered = image.permute(0, 3, 1, 2).index_select(1, cast("Tensor", self.order))
        return ordered.to(torch.float32) * scale + offset


def exported(
    module: nn.Module, side: int, outputs: Mapping[str, Sequence[int | str]], multiple: int | None = None
) -> onnx.ModelProto:
    """The graph of a module with the input `image` and `outputs`, dimensions by name. Any number of images at a time.

    Images are square with `side`; with `multiple` their sides are free, in multiples of that number. Raises
    TranslationError.
    """
    module.eval()  # the outermost: a module left in training mode would keep its dropout
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    free: dict[int, object] = {0: torch.export.Dim(BATCH)}
    if multiple:
        free |= {1: multiple * torch.export.Dim("h"), 2: multiple * torch.export.Dim("w")}
    sides: list[int | str] = ["H", "W"] if multiple else [side, side]
    return _cleaned(_translated(module, example, free, outputs), {INPUT: [BATCH, *sides, 3], **outputs})


def _translated(
    module: nn.Module, example: Tensor, free: Mapping[int, object], outputs: Iterable[str]
) -> onnx.ModelProto:
    """The graph as torch writes it. Raises TranslationError with the first line of what torch says."""
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                input_names=[INPUT],
                output_names=list(outputs),
                dynamic_shapes=(dict(free),),
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise TranslationError(f"torch cannot export this network: {str(error).splitlines()[0]}") from error
    if program is None:
        raise TranslationError("torch exported nothing")
    model: onnx.ModelProto = program.model_proto
    return model


def run_module(module: nn.Module, image: NDArray[np.uint8]) -> Sequence[NDArray[np.float32]]:
    """What a module answers to images uint8 N×H×W×3, one at a time, as float32."""
    with torch.inference_mode():
        answers = [module(torch.from_numpy(one[np.newaxis].copy())) for one in image]
    return [torch.cat(values).to(torch.float32).numpy() for values in zip(*answers, strict=True)]


def _cleaned(model: onnx.ModelProto, dimensions: Mapping[str, Sequence[int | str]]) -> onnx.ModelProto:
    """Operators of ONNX alone, without torch's notes, with named dimensions."""
    strange = {node.domain for node in model.graph.node} - _DOMAINS
    if strange or model.functions:
        raise TranslationError(
            f"torch wrote operators that are not ONNX's: {', '.join(sorted(strange)) or 'functions'}"
        )
    for place, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{place}"
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        sizes = [size if isinstance(size, int) else str(size) for size in dimensions[value.name]]
        value.CopyFrom(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, sizes))
    for weight in model.graph.initializer:
        weight.doc_string = ""
        del weight.metadata_props[:]
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:], model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.graph.name, model.graph.doc_string, model.doc_string = "network", "", ""
    model.ir_version, model.producer_name, model.producer_version = IR_VERSION, "maskwright", ""
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch's exporter tells its developers from the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
