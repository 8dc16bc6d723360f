"""How one model is made of its checkpoint, and what it is held against."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

Outputs: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Values by output; the first dimension counts images."""


BAR = 1e-3
"""Of a model that computes as its checkpoint does."""


class Recipe(Protocol):
    """A model made of the catalogued files `checkpoints`; the paths that methods take are theirs, in that order."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Names in the catalogue."""

    def size(self, files: Sequence[Path]) -> tuple[int, int]:
        """(width, height) of the images that the model is tried on."""

    @property
    def bar(self) -> float:
        """The largest difference to the checkpoint, in the units of `usage.py`."""

    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The model. Raises TranslationError."""

    def references(self, files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """What the checkpoint itself answers, by two ways of computing it: how far they are apart is its spread.

        The same twice where there is but one way.
        """

    def aligned(self, outputs: Outputs, reference: Outputs) -> Outputs:
        """Outputs so ordered that values of equal meaning stand at equal places as in the reference."""
