"""`GET /v1/pipelines`: what can be run, with what, and which models make it."""

from collections.abc import Mapping

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.http.middleware import services_of
from gateway.http.openapi import INTERNAL_ERRORS, Addresses, answers, parameters_schema
from gateway.inference import made_by
from gateway.pipelines.outputs import Answer, MadeBy
from gateway.pipelines.registry import Pipeline, Profile

PIPELINES = Addresses()


class PipelineDescription(Answer):
    """One pipeline: what it takes and what it makes."""

    name: str = Field(description="Its address is /v1/run/{name}.", examples=["body_masks"])
    summary: str = Field(examples=["Make masks of the bodies in a photo."])
    profile: Profile = Field(description="That of `made_by`.", examples=["lite"])
    inputs: list[str] = Field(examples=[["image"]])
    parameters: dict[str, object] = Field(
        description="JSON schema of the parameters, with the defaults in force.",
        examples=[{"type": "object", "properties": {}}],
    )
    artifacts: dict[str, str] = Field(
        description="What each artifact holds, by its name or a pattern of names.",
        examples=[{"upper_body_mask.png": "The upper body."}],
    )
    ready: bool = Field(description="Whether it can serve.", examples=[True])
    made_by: MadeBy = Field(description="What makes its results now.", examples=[MadeBy.example()])


class PipelineList(Answer):
    """Every pipeline that can be run."""

    pipelines: list[PipelineDescription]


@PIPELINES.serve("GET /v1/pipelines", answers(PipelineList, "The pipelines."), INTERNAL_ERRORS)
async def list_pipelines(request: Request) -> Response:
    """Find out what can be run, and with what.

    Every pipeline with its parameters' JSON schema, and whether it is ready.
    """
    services = services_of(request)
    readiness = await services.readiness.get()
    served = await services.versions.served()
    described = [
        _described(entry, served, ready=readiness.pipelines[entry.name]) for entry in services.registry.values()
    ]
    return PipelineList.model_construct(pipelines=described).response()


def _described(pipeline: Pipeline, served: Mapping[str, str], *, ready: bool) -> PipelineDescription:
    maker = made_by(pipeline, pipeline.usual(served), served)
    return PipelineDescription.model_construct(
        name=pipeline.name,
        summary=pipeline.summary,
        profile=maker.profile,
        inputs=list(pipeline.inputs),
        parameters=dict(parameters_schema(pipeline)),
        artifacts=dict(pipeline.artifacts),
        ready=ready,
        made_by=maker,
    )
