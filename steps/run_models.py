"""The models that steps run themselves: which these are depends on what is in the model repository.

This loads neither onnxruntime nor the steps: the launcher asks it too.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from steps.networks import ready_models
from steps.object_detectors import FINDER, networks_of

BODY_PARSE, FACE_PARSE = "body_parse", "face_parse"
"""The steps that ask users' networks."""
ATR, LIP, PASCAL, OPENPOSE = "schp_atr", "schp_lip", "schp_pascal", "openpose_body"
"""Models of users' checkpoints, as `maskwright models add` names them."""
BISENET = "bisenet_face"
"""The face parser's, likewise."""
SIDES = {ATR: 512, LIP: 473, PASCAL: 512}
"""Of each parser's input, in pixels."""


@dataclass(frozen=True)
class BodyNetworks:
    """The models that serve: one parser's, LIP's beside ATR's if both are ready, and OpenPose's if it is."""

    parsers: Mapping[str, str]
    """The model of each parser, by the parser's name."""
    pose: str | None

    @classmethod
    def of(cls, model_repository: Path) -> "BodyNetworks":
        """Those that are ready. ATR's labels are the mask rules' own; LIP's are nearer to them than Pascal's."""
        parsers = ready_models(model_repository, SIDES)
        chosen = [ATR, LIP] if {ATR, LIP} <= parsers.keys() else list(parsers)[:1]
        pose = ready_models(model_repository, [OPENPOSE]).get(OPENPOSE)
        return cls({parser: parsers[parser] for parser in chosen}, pose)

    @property
    def models(self) -> list[str]:
        """All of them."""
        return [*self.parsers.values(), *([self.pose] if self.pose else [])]


def body_networks(model_repository: Path) -> list[str]:
    """The models that the step runs. Empty if there is no parser: OpenPose alone makes no masks."""
    chosen = BodyNetworks.of(model_repository)
    return chosen.models if chosen.parsers else []


def face_networks(model_repository: Path) -> list[str]:
    """The models that the step runs. Empty if the face parser is not ready."""
    return list(ready_models(model_repository, [BISENET]).values())


RUN_BY: Mapping[str, Callable[[Path], list[str]]] = {
    FINDER: networks_of,
    BODY_PARSE: body_networks,
    FACE_PARSE: face_networks,
}
"""The models that a step runs itself, by the step: which these are depends on what is in the model repository."""

NEEDS: Mapping[str, str] = {
    BODY_PARSE: "a parser: `maskwright models add parser FILE`, such as exp-schp-201908301523-atr.pth",
    FACE_PARSE: "a face parser: `maskwright models add face-parser FILE`, such as 79999_iter.pth",
}
"""What a step cannot do without, by the step, and the command that adds it."""


def run_by(steps: Iterable[str], model_repository: Path) -> list[str]:
    """The models that these steps run themselves, each once, the largest of a step first: loading takes it twice."""
    return list(dict.fromkeys(model for step in steps if step in RUN_BY for model in RUN_BY[step](model_repository)))
