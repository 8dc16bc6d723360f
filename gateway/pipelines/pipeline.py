"""What a pipeline is."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

Profile = Literal["lite", "full"]


@dataclass(frozen=True)
class Variant:
    """A model that serves, in place of the pipeline's own, the requests whose checked parameters fit it."""

    model: str
    fits: Callable[[Mapping[str, object]], bool]


@dataclass(frozen=True)
class Pipeline:
    """One entry of the registry: Triton models and the requests they serve.

    Of the `variants` the first that fits serves a request, `model` where none does. `artifacts` maps the artifacts'
    names, or patterns of them, to what they hold. `refusals` are the codes of problems that only this pipeline, or few,
    have. `defaults` are parameter values that a request's own replace.
    """

    name: str
    summary: str
    model: str
    profile: Profile
    inputs: tuple[str, ...]
    parameters: type[BaseModel]
    artifacts: Mapping[str, str]
    refusals: tuple[str, ...]
    defaults: Mapping[str, object] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that a request may need."""
        return (self.model, *(variant.model for variant in self.variants))

    def model_for(self, parameters: bytes) -> str:
        """The model for checked parameters, a JSON object."""
        if not self.variants:
            return self.model
        given = json.loads(parameters)
        return next((variant.model for variant in self.variants if variant.fits(given)), self.model)
