"""What a pipeline is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

Profile = Literal["lite", "full"]


@dataclass(frozen=True)
class Pipeline:
    """One entry of the registry: a Triton model and the requests it serves.

    `artifacts` maps the artifacts' names, or patterns of them, to what they hold. `defaults` are parameter values that
    a request's own replace.
    """

    name: str
    summary: str
    model: str
    profile: Profile
    inputs: tuple[str, ...]
    parameters: type[BaseModel]
    artifacts: Mapping[str, str]
    defaults: Mapping[str, object] = field(default_factory=dict)
