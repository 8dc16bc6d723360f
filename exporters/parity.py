"""How far an exported model is from its checkpoint, on photos.

Outputs are compared in the units in which they are used (`usage.py`); `raw` keeps the difference of the numbers
themselves. Float32 does not define the outputs of these networks to any fixed number of digits: LiteRT's own two sets
of kernels (XNNPACK, and the plain reference ones) differ by 1 on mask logits that reach -1850, and by 2e-3 on the
probabilities that they become. So each output is held against the checkpoint's default way of computing, and where
that is above the bar, against the distance between its two ways.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from exporters.errors import ParityError
from exporters.recipe import Outputs, Recipe
from exporters.runners import run_onnx
from exporters.usage import Values, as_used

# Two float32 evaluations with independent rounding may each be one spread away from the exact value.
SPREAD_FACTOR = 2.0


class Difference(BaseModel):
    """Between two evaluations of one output over all inputs."""

    model_config = ConfigDict(frozen=True)

    largest: float
    mean: float


class OutputParity(BaseModel):
    """One output: against the checkpoint, the checkpoint against itself, and a batch against single runs."""

    model_config = ConfigDict(frozen=True)

    name: str
    raw: Difference
    checkpoint: Difference
    spread: Difference
    batch: Difference
    bar: float
    magnitude: float
    """The largest absolute value of the raw output, for scale."""

    @property
    def verdict(self) -> Literal["within bar", "within spread", "failed"]:
        """`within bar`: differs by at most `bar`; `within spread`: is as near as the checkpoint is to itself."""
        if max(self.checkpoint.largest, self.batch.largest) <= self.bar:
            return "within bar"
        near = self.checkpoint.largest <= SPREAD_FACTOR * self.spread.largest
        near_on_average = self.checkpoint.mean <= max(self.bar, SPREAD_FACTOR * self.spread.mean)
        steady = self.batch.largest <= max(self.bar, self.spread.largest)
        return "within spread" if near and near_on_average and steady else "failed"


def compare(recipe: Recipe, files: Sequence[Path], model: bytes, images: NDArray[np.uint8]) -> tuple[OutputParity, ...]:
    """Run `images`, uint8 N×H×W×3, through the checkpoint `files` and through the model."""
    reference, other = recipe.references(files, images)
    batch = recipe.aligned(run_onnx(model, images), reference)
    singles = recipe.aligned(_join(run_onnx(model, image[np.newaxis]) for image in images), reference)
    default, second = recipe.aligned(reference, reference), recipe.aligned(other, reference)
    side = max(images.shape[1:3])

    def used(outputs: Outputs, name: str) -> Values:
        return as_used(name, _flat(outputs[name]), side)

    return tuple(
        OutputParity(
            name=name,
            raw=_difference(_flat(batch[name]), _flat(default[name])),
            checkpoint=_difference(used(batch, name), used(default, name)),
            spread=_difference(used(second, name), used(default, name)),
            batch=_difference(used(batch, name), used(singles, name)),
            bar=recipe.bar,
            magnitude=float(np.abs(default[name]).max()),
        )
        for name in default
    )


def require(outputs: Iterable[OutputParity], model: str) -> None:
    """Raise ParityError naming the outputs that failed."""
    failed = [_described(output) for output in outputs if output.verdict == "failed"]
    if failed:
        raise ParityError(f"{model} differs from its checkpoint: {', '.join(failed)}")


def _described(output: OutputParity) -> str:
    gap = output.checkpoint
    return f"{output.name} (largest {gap.largest:.1e}, mean {gap.mean:.1e}, bar {output.bar:.0e})"


def _flat(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.reshape(len(values), -1)


def _join(runs: Iterable[Outputs]) -> Outputs:
    outputs = list(runs)
    return {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}


def _difference(one: Values, other: Values) -> Difference:
    """NaN counts as infinitely far: it compares as failed."""
    gap = np.nan_to_num(np.abs(one - other), nan=np.inf)
    return Difference(largest=float(gap.max()), mean=float(gap.mean()))
