"""What the gateway and the command line know of `grey`."""

from pathlib import Path

from pydantic import Field

from gateway.pipelines.registry import Pipeline
from gateway.pipelines.validation import Parameters


class GreyParameters(Parameters):
    """What a request for a grey photo may say."""

    brightness: float = Field(1.0, ge=0, le=4, description="Times as bright as the photo.")


PIPELINE = Pipeline(
    name="grey",
    summary="A grey copy of the photo.",
    model="grey_lite",
    profile="lite",
    inputs=("image",),
    parameters=GreyParameters,
    artifacts={"grey.png": "the photo without its colours"},
    folder=Path(__file__).parent,
)
