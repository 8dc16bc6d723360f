"""How far an exported model is from its checkpoint, on photos. The report lies beside the model.

Outputs are compared in the units in which the pipelines use them (`as_used`), because only there a difference has a
meaning. `raw` keeps the difference of the numbers themselves. Float32 does not define the outputs of these networks to
any fixed number of digits: LiteRT's own two sets of kernels (XNNPACK, and the plain reference ones) differ by 1 on mask
logits that reach -1850, and by 2e-3 on the probabilities that they become. So each output is compared with the
checkpoint's default computation. If the difference is above the bar, it is compared with the distance between the
checkpoint's two computations.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from exporters.catalogue import sha256
from exporters.errors import ParityError
from exporters.recipe import Outputs, Recipe, run_in_both_ways
from exporters.usage import Values

# Two float32 evaluations with independent rounding may each be one spread away from the exact value.
SPREAD_FACTOR = 2.0
_DECIDING = ("onnx_model.py", "parity.py", "recipe.py", "recipes.py", "usage.py")


class Difference(BaseModel):
    """Difference between two evaluations of one output over all inputs."""

    model_config = ConfigDict(frozen=True)

    largest: float
    mean: float


class OutputParity(BaseModel):
    """One output: compared with the checkpoint, the checkpoint with itself, and a batch with single runs."""

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
        """`within bar`: differs by at most `bar`. `within spread`: as near to the checkpoint as that is to itself."""
        if max(self.checkpoint.largest, self.batch.largest) <= self.bar:
            return "within bar"
        near = self.checkpoint.largest <= SPREAD_FACTOR * self.spread.largest
        near_on_average = self.checkpoint.mean <= max(self.bar, SPREAD_FACTOR * self.spread.mean)
        steady = self.batch.largest <= max(self.bar, self.spread.largest)
        return "within spread" if near and near_on_average and steady else "failed"


def compare(recipe: Recipe, files: Sequence[Path], model: bytes, images: NDArray[np.uint8]) -> tuple[OutputParity, ...]:
    """Run `images`, uint8 N×H×W×3, through the checkpoint `files` and through the model."""
    reference, other = recipe.references(files, images)
    batch, singles = (recipe.aligned(outputs, reference) for outputs in run_in_both_ways(model, images))
    default, second = recipe.aligned(reference, reference), recipe.aligned(other, reference)
    side = max(images.shape[1:3])

    def used(outputs: Outputs, name: str) -> Values:
        return recipe.as_used(name, _flat(outputs[name]), reference, side)

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
    """Raise ParityError with the names of the outputs that failed."""
    failed = [_described(output) for output in outputs if output.verdict == "failed"]
    if failed:
        raise ParityError(f"{model} differs from its checkpoint: {', '.join(failed)}")


def _described(output: OutputParity) -> str:
    gap = output.checkpoint
    return f"{output.name} (largest {gap.largest:.1e}, mean {gap.mean:.1e}, bar {output.bar:.0e})"


def _flat(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.reshape(len(values), -1)


def _difference(one: Values, other: Values) -> Difference:
    """NaN counts as infinitely far, so that the comparison fails."""
    gap = np.nan_to_num(np.abs(one - other), nan=np.inf)
    return Difference(largest=float(gap.max()), mean=float(gap.mean()))


class ParityReport(BaseModel):
    """What a model was made from and by, and how near it came."""

    model_config = ConfigDict(frozen=True)

    model: str
    checkpoints: Mapping[str, str]
    """SHA-256 by file name."""
    model_sha256: str
    exporter: str
    inputs: tuple[str, ...]
    outputs: tuple[OutputParity, ...]


def read_report(path: Path) -> ParityReport | None:
    """The report at `path`. None if there is none or it cannot be read."""
    try:
        return ParityReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def exporter_fingerprint() -> str:
    """A hash of the code that decides what an export contains. If it changes, exports are stale."""
    package = Path(__file__).parent
    digest = new_sha256()
    for module in sorted({*(package / name for name in _DECIDING), *_modules(package)}):
        digest.update(sha256(module).encode())
    return digest.hexdigest()[:16]


def _modules(package: Path) -> Iterator[Path]:
    for folder in ("detectors", "networks", "tflite", "tfjs"):
        yield from (package / folder).rglob("*.py")
