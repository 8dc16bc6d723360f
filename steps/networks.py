"""The networks that steps run: in this process, or as models of the same Triton; and which of the users' are ready."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from steps.model_folder import BrokenModelError, fault_of_model, readable_config
from steps.tensors import Tensor
from vision.arrays import RGB, Float32

FORMS = ("int8", "fp16")
"""What follows a network's name in the name of a smaller or faster form of its model."""
IN_USE = "in_use"
"""A file in the folder of the model that a user chose (`maskwright models use`)."""


class Network(Protocol):
    """One model of the repository whose input is `image`, uint8 N×H×W×3 RGB."""

    def __call__(self, draws: Sequence[Callable[[], RGB]], /) -> list[Float32]:
        """A detector's rows of each input. An input is drawn when it is run."""

    def maps(self, image: RGB, outputs: Sequence[str]) -> list[Tensor]:
        """The named outputs of one image H×W×3, without the first dimension."""


Networks: TypeAlias = Callable[[str], Network]
"""The network of a model, by the model's name."""


def ready_models(model_repository: Path, networks: Iterable[str]) -> Mapping[str, str]:
    """The model that runs each of the users' networks, in the given order, without those that have none.

    It is the form that a user chose, if that is complete, else the network's own.
    """
    found = {network: _model(model_repository, network) for network in networks}
    return {network: model for network, model in found.items() if model}


def _model(model_repository: Path, network: str) -> str:
    """Empty if there is none."""
    forms = [f"{network}_{form}" for form in FORMS]
    chosen = [form for form in forms if (model_repository / form / IN_USE).is_file()]
    return next((model for model in (*chosen, network) if _is_ready(model_repository / model)), "")


def _is_ready(folder: Path) -> bool:
    try:
        readable_config(folder)
    except BrokenModelError:
        return False
    return not fault_of_model(folder / "1" / "model.onnx")
