"""A checkpoint in PyTorch's format as a recipe: its weights in our network, and both as a graph."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import nn
from typing_extensions import override

from exporters.errors import TranslationError, WrongFileError
from exporters.networks.bisenet import BiSeNet
from exporters.networks.graph import Parser, Pose, exported, run_module
from exporters.networks.known import COUNTER, MULTIPLE, Kind, Network, require_tensors
from exporters.networks.maps import MapsRecipe
from exporters.networks.openpose import OpenPose
from exporters.networks.schp import Schp
from exporters.recipe import Outputs
from exporters.weights.container import Contents
from exporters.weights.nesting import weights_of
from exporters.weights.pickle_outline import TensorOutline
from exporters.weights.safetensors import is_safetensors, stored_tensors

_TRIED = 184
"""Side, in pixels, on which a network with free sides is tried. OpenPose makes photos so high."""


@dataclass(frozen=True, eq=False)
class CheckpointRecipe(MapsRecipe):
    """A recipe of a network and its weights."""

    module: nn.Module

    @override
    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Export the module. Raises TranslationError."""
        side, multiple = (self.network.side, None) if self.network.side else (_TRIED, MULTIPLE)
        model = exported(self.module, side, self.network.outputs, multiple)
        helper.set_model_props(model, dict(metadata))
        try:
            onnx.checker.check_model(model, full_check=True)
        except onnx.checker.ValidationError as error:
            raise TranslationError(f"{self.name} cannot be made a model: {error}") from error
        return model

    @override
    def size(self, files: Sequence[Path]) -> tuple[int, int]:
        side = self.network.side or _TRIED
        return side, side

    @override
    def references(self, files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """The module's own outputs, computed by torch."""
        outputs = dict(zip(self.network.outputs, run_module(self.module, images), strict=True))
        return outputs, outputs


def read_checkpoint(path: Path, contents: Contents, network: Network) -> CheckpointRecipe:
    """A recipe of the file, whose tensors are those of the network, each of them. Raises WrongFileError."""
    with torch.device("meta"):
        blank = _module(network)
    expected = blank.state_dict()
    require_tensors(contents, {key: _outline(tensor) for key, tensor in expected.items()}, network)
    counters = {key: torch.zeros_like(expected[key], device="cpu") for key in expected if key.endswith(COUNTER)}
    blank.load_state_dict({**counters, **_weights(path)}, strict=True, assign=True)
    module = blank.to(torch.float32)
    wrapped = (Pose if network.kind is Kind.POSE else Parser)(module, network.pixels)
    return CheckpointRecipe(network.model, (), network, wrapped.eval())


def _outline(tensor: torch.Tensor) -> TensorOutline:
    return TensorOutline(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


def _module(network: Network) -> nn.Module:
    match network.kind:
        case Kind.PARSER:
            return Schp(network.classes)
        case Kind.FACE_PARSER:
            return BiSeNet()
        case Kind.POSE:
            return OpenPose()


def _weights(path: Path) -> Mapping[str, torch.Tensor]:
    """The tensors by key, without what torch adds to those that are trained. Raises WrongFileError."""
    found = weights_of(_stored(path) if is_safetensors(path) else _loaded(path), torch.Tensor) or {}
    weights = {key: value.detach() for key, value in found.items() if isinstance(value, torch.Tensor)}
    strange = [key for key, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if strange:
        raise WrongFileError(f"a checkpoint with values that are not numbers, in {', '.join(strange[:3])}")
    return MappingProxyType(weights)


def _loaded(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        said = str(error).rpartition("WeightsUnpickler error: ")[2]  # before it stands how to run what is in the file
        raise WrongFileError(f"a checkpoint that torch cannot read ({said.splitlines()[0]})") from error
    except (RuntimeError, ValueError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise WrongFileError(f"a checkpoint that torch cannot read ({error})") from error


def _stored(path: Path) -> dict[str, torch.Tensor]:
    content = path.read_bytes()
    return {key: _tensor(content[one.start : one.end], one) for key, one in stored_tensors(path).items()}


def _tensor(values: bytes, outline: TensorOutline) -> torch.Tensor:
    return torch.frombuffer(bytearray(values), dtype=getattr(torch, outline.dtype)).reshape(outline.shape)
