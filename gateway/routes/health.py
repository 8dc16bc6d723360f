"""`GET /health`, `/health/live` and `/health/ready`."""

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.readiness import Readiness
from gateway.services import Services, services_of


async def health(request: Request) -> JSONResponse:
    """State of the gateway and its models: 200 as long as the gateway lives."""
    services = services_of(request)
    return JSONResponse(_state(services, await services.prober.readiness()))


async def live(_request: Request) -> JSONResponse:
    """200 as long as the gateway lives."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> JSONResponse:
    """200 when every pipeline can serve, 503 otherwise."""
    services = services_of(request)
    readiness = await services.prober.readiness()
    return JSONResponse(_state(services, readiness), 200 if readiness.ready else 503)


def _state(services: Services, readiness: Readiness) -> dict[str, object]:
    return {
        "status": "ok" if readiness.ready else "degraded",
        "queue_size": services.admission.waiting,
        "segmentation_ready": readiness.pipelines.get("body_masks", False),
        "live": True,
        "ready": readiness.ready,
        "pipelines": readiness.pipelines,
        "models": [asdict(model) for model in readiness.models],
    }
