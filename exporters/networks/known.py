"""The networks that users bring: by which tensors a checkpoint is known, and what its model takes and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from exporters.detectors.network import Pixels
from exporters.errors import WrongFileError
from exporters.weights.container import Contents
from exporters.weights.pickle_outline import TensorOutline


class Kind(StrEnum):
    """What a network is for. `maskwright models add` names it so."""

    PARSER = "parser"
    POSE = "pose"
    FACE_PARSER = "face-parser"


@dataclass(frozen=True)
class Network:
    """One public network. `side` is that of its square images, None where sides are free multiples of `multiple`."""

    model: str
    kind: Kind
    title: str
    classes: int
    pixels: Pixels
    reduction: int
    """How many times smaller its own maps are."""
    side: int | None = None

    @property
    def outputs(self) -> Mapping[str, Sequence[int | str]]:
        """The outputs of its model, with their dimensions."""
        if self.side is None:
            return {"heatmap": ["N", "h", "w", self.classes], "paf": ["N", "h", "w", FIELDS]}
        small = -(-self.side // self.reduction)
        return {"labels": ["N", self.side, self.side], "logits": ["N", self.classes, small, small]}


_SHOWN = 3
"""How many keys of a kind a message names."""
FIELDS = 38
COUNTER = ".num_batches_tracked"
MULTIPLE = 8
"""Sides of OpenPose's images, in pixels."""
_SCHP = Pixels(1.0, blue_first=True, mean=(0.406, 0.456, 0.485), deviation=(0.225, 0.224, 0.229))
_BISENET = Pixels(1.0, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))
_OPENPOSE = Pixels(255 / 256, blue_first=True, mean=(0.5, 0.5, 0.5))
# ImageNet's mean and deviation, as the networks' own evaluation scripts use them; OpenPose's are x / 256 - 0.5.
PARSERS = (
    Network("schp_atr", Kind.PARSER, "SCHP's parser of ATR", 18, _SCHP, 4, 512),
    Network("schp_lip", Kind.PARSER, "SCHP's parser of LIP", 20, _SCHP, 4, 473),
    Network("schp_pascal", Kind.PARSER, "SCHP's parser of Pascal's person parts", 7, _SCHP, 4, 512),
)
POSE = Network("openpose_body", Kind.POSE, "OpenPose's body network of COCO", 19, _OPENPOSE, 8)
FACE_PARSER = Network("bisenet_face", Kind.FACE_PARSER, "BiSeNet's face parser", 19, _BISENET, 8, 512)
NETWORKS = (*PARSERS, POSE, FACE_PARSER)
EXPECTED: Mapping[Kind, str] = {
    Kind.PARSER: (
        "an SCHP checkpoint (exp-schp-201908301523-atr.pth, exp-schp-201908261155-lip.pth or "
        "exp-schp-201908270938-pascal-person-part.pth), or parsing_atr.onnx or parsing_lip.onnx of OOTDiffusion or "
        "IDM-VTON"
    ),
    Kind.POSE: "OpenPose's body_pose_model.pth (COCO, 18 joints)",
    Kind.FACE_PARSER: "BiSeNet's checkpoint of 19 face classes (79999_iter.pth, also called parsing_bisenet.pth)",
}


def recognised(contents: Contents) -> Network:
    """The network that a checkpoint is of, by the tensors that tell it apart. Raises WrongFileError if none is."""
    parser = _classes(contents, "fushion.3.weight", "context_encoding.bottleneck.0.weight")
    face = _classes(contents, "conv_out.conv_out.weight", "cp.resnet.conv1.weight")
    pose = _classes(contents, "Mconv7_stage6_L2.weight", "Mconv7_stage6_L1.weight")
    if parser is not None:
        known = {network.classes: network for network in PARSERS}
        if parser in known:
            return known[parser]
        told = ", ".join(f"{count} ({network.model})" for count, network in known.items())
        raise WrongFileError(f"an SCHP parser of {parser} classes; those of {told} are known")
    for network, classes in ((FACE_PARSER, face), (POSE, pose)):
        if classes == network.classes:
            return network
        if classes is not None:
            raise WrongFileError(f"like {network.title}, but with {classes} maps where {network.classes} are known")
    raise WrongFileError(contents.described)


def _classes(contents: Contents, last: str, other: str) -> int | None:
    """The outputs of the layer `last`. None if there is no such layer, or not the other one."""
    if last not in contents.tensors or other not in contents.tensors:
        return None
    return next(iter(contents.tensors[last].shape), None)


def require_tensors(contents: Contents, expected: Mapping[str, TensorOutline], network: Network) -> None:
    """Raise WrongFileError, with the first differences, unless the tensors are those of the network.

    Floats may have another precision. What counts training steps may be missing, as before PyTorch 0.4.1.
    """
    found = contents.tensors
    other = [key for key, tensor in expected.items() if key in found and not _alike(found[key], tensor)]
    parts = {
        "missing": [key for key in expected if key not in found and not key.endswith(COUNTER)],
        "not of this network": [key for key in found if key not in expected],
        "of another shape or type": [f"{key} {list(found[key].shape)} {found[key].dtype}" for key in other],
    }
    told = "; ".join(f"{len(keys)} {what}: {', '.join(keys[:_SHOWN])}" for what, keys in parts.items() if keys)
    if told:
        raise WrongFileError(f"like {network.title}, but with other tensors ({told})")


def _alike(one: TensorOutline, other: TensorOutline) -> bool:
    return (one.shape, "float" in one.dtype) == (other.shape, "float" in other.dtype)
