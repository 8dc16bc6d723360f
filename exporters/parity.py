"""How far a translated model is from its checkpoint, on photos.

Outputs are compared in the units in which they are used (`usage.py`); `raw` keeps the difference of the numbers
themselves. Float32 does not define the outputs of these networks to any fixed number of digits: LiteRT's own two sets
of kernels (XNNPACK, and the plain reference ones) differ by 1 on mask logits that reach -1850, and by 2e-3 on the
probabilities that they become. So each output is held against LiteRT's default, and where that is above the bar,
against the distance between those two sets of kernels.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from ai_edge_litert.interpreter import OpResolverType
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from exporters.errors import ParityError
from exporters.recipes import Recipe
from exporters.runners import Outputs, run_litert, run_onnx
from exporters.usage import Values, as_used

BAR = 1e-3
# Two float32 evaluations with independent rounding may each be one spread away from the exact value.
SPREAD_FACTOR = 2.0


class Difference(BaseModel):
    """Between two evaluations of one output over all inputs."""

    model_config = ConfigDict(frozen=True)

    largest: float
    mean: float


class OutputParity(BaseModel):
    """One output: against LiteRT, LiteRT against itself, and a batch against single runs."""

    model_config = ConfigDict(frozen=True)

    name: str
    raw: Difference
    litert: Difference
    litert_spread: Difference
    batch: Difference
    magnitude: float
    """The largest absolute value of the raw output, for scale."""

    @property
    def verdict(self) -> Literal["within bar", "within spread", "failed"]:
        """`within bar`: the largest difference is at most BAR; `within spread`: as near as LiteRT is to itself."""
        if max(self.litert.largest, self.batch.largest) <= BAR:
            return "within bar"
        near = self.litert.largest <= SPREAD_FACTOR * self.litert_spread.largest
        near_on_average = self.litert.mean <= max(BAR, SPREAD_FACTOR * self.litert_spread.mean)
        steady = self.batch.largest <= max(BAR, self.litert_spread.largest)
        return "within spread" if near and near_on_average and steady else "failed"


def compare(checkpoint: Path, model: bytes, recipe: Recipe, images: NDArray[np.uint8]) -> tuple[OutputParity, ...]:
    """Run `images`, uint8 N×H×W×3, through checkpoint and model."""
    default = run_litert(checkpoint, recipe, images, OpResolverType.AUTO)
    reference = run_litert(checkpoint, recipe, images, OpResolverType.BUILTIN_REF)
    batch = run_onnx(model, recipe, images)
    singles = _join(run_onnx(model, recipe, image[np.newaxis]) for image in images)
    side = images.shape[1]

    def used(outputs: Outputs, name: str) -> Values:
        return as_used(name, outputs[name], side)

    return tuple(
        OutputParity(
            name=name,
            raw=_difference(batch[name], default[name]),
            litert=_difference(used(batch, name), used(default, name)),
            litert_spread=_difference(used(reference, name), used(default, name)),
            batch=_difference(used(batch, name), used(singles, name)),
            magnitude=float(np.abs(default[name]).max()),
        )
        for name in recipe.outputs.values()
    )


def require(outputs: Iterable[OutputParity], model: str) -> None:
    """Raise ParityError naming the outputs that failed."""
    failed = [
        f"{output.name} (largest {output.litert.largest:.1e}, mean {output.litert.mean:.1e})"
        for output in outputs
        if output.verdict == "failed"
    ]
    if failed:
        raise ParityError(f"{model} differs from its checkpoint: {', '.join(failed)}; the bar is {BAR:.0e}")


def _join(runs: Iterable[Outputs]) -> Outputs:
    outputs = list(runs)
    return {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}


def _difference(one: Values, other: Values) -> Difference:
    """NaN counts as infinitely far: it compares as failed."""
    gap = np.nan_to_num(np.abs(one - other), nan=np.inf)
    return Difference(largest=float(gap.max()), mean=float(gap.mean()))
