"""What a pipeline is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

Profile = Literal["lite", "full"]


@dataclass(frozen=True)
class Pipeline:
    """One entry of the registry: Triton models and the requests they serve.

    `given_models` maps a parameter's name to the model that serves requests which give it, in place of `model`.
    `artifacts` maps the artifacts' names, or patterns of them, to what they hold. `refusals` are the codes of problems
    that only this pipeline has. `defaults` are parameter values that a request's own replace.
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
    given_models: Mapping[str, str] = field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that a request may need."""
        return (self.model, *self.given_models.values())

    def model_for(self, parameters: bytes) -> str:
        """The model for checked parameters, a JSON object."""
        if not self.given_models:
            return self.model
        given = json.loads(parameters)
        return next((model for name, model in self.given_models.items() if given.get(name)), self.model)
