"""The networks that steps run: in this process, or as models of the same Triton; and which of the users' are ready."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from steps.model_folder import BrokenModelError, fault_of_model, readable_config
from steps.tensors import Tensor
from vision.arrays import RGB, Float32


class Network(Protocol):
    """One model of the repository whose input is `image`, uint8 N×H×W×3 RGB."""

    def __call__(self, draws: Sequence[Callable[[], RGB]], /) -> list[Float32]:
        """A detector's rows of each input. An input is drawn when it is run."""

    def maps(self, image: RGB, outputs: Sequence[str]) -> list[Tensor]:
        """The named outputs of one image H×W×3, without the first dimension."""


Networks: TypeAlias = Callable[[str], Network]
"""The network of a model, by the model's name."""


def ready_among(model_repository: Path, names: Iterable[str]) -> list[str]:
    """Those of the models that were added and whose files are complete, in the given order."""
    return [name for name in names if _is_ready(model_repository / name)]


def _is_ready(folder: Path) -> bool:
    try:
        readable_config(folder)
    except BrokenModelError:
        return False
    return not fault_of_model(folder / "1" / "model.onnx")
