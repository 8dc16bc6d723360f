"""`GET /v1/pipelines`: what can be run."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.openapi.photos import parameters_schema
from gateway.pipelines.registry import Pipeline
from gateway.services import services_of


async def list_pipelines(request: Request) -> JSONResponse:
    """Every pipeline with its parameters' JSON schema, and whether it is ready."""
    services = services_of(request)
    readiness = await services.prober.readiness()
    described = [describe(entry, ready=readiness.pipelines[entry.name]) for entry in services.registry.values()]
    return JSONResponse({"pipelines": described})


def describe(pipeline: Pipeline, *, ready: bool) -> dict[str, object]:
    """A pipeline as JSON."""
    return {
        "name": pipeline.name,
        "summary": pipeline.summary,
        "profile": pipeline.profile,
        "inputs": pipeline.inputs,
        "parameters": parameters_schema(pipeline),
        "artifacts": pipeline.artifacts,
        "ready": ready,
    }
