"""`GET /v1/pipelines`: what can be run."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.pipelines.pipeline import Pipeline
from gateway.services import services_of


async def list_pipelines(request: Request) -> JSONResponse:
    """Every pipeline with its parameters' JSON schema, and whether it is ready."""
    services = services_of(request)
    readiness = await services.prober.readiness()
    described = [describe(entry, ready=readiness.pipelines[entry.name]) for entry in services.registry.values()]
    return JSONResponse({"pipelines": described})


def describe(pipeline: Pipeline, *, ready: bool) -> dict[str, object]:
    """A pipeline as JSON; the schema's defaults are those in force."""
    schema = pipeline.parameters.model_json_schema()
    for name, value in pipeline.defaults.items():
        schema["properties"][name]["default"] = value
    return {
        "name": pipeline.name,
        "summary": pipeline.summary,
        "profile": pipeline.profile,
        "inputs": pipeline.inputs,
        "parameters": schema,
        "artifacts": pipeline.artifacts,
        "ready": ready,
    }
