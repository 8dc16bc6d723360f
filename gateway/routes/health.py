"""`GET /health`, `/health/live` and `/health/ready`."""

import asyncio
from dataclasses import asdict, replace

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.services import services_of


async def health(request: Request) -> JSONResponse:
    """State of the gateway, its stores and its models: 200 as long as the gateway lives."""
    return JSONResponse(await _state(request))


async def live(_request: Request) -> JSONResponse:
    """200 as long as the gateway lives."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> JSONResponse:
    """200 when every pipeline can serve and the stores answer, 503 otherwise."""
    state = await _state(request)
    return JSONResponse(state, 200 if state["ready"] else 503)


async def _state(request: Request) -> dict[str, object]:
    """States for everybody; why they are so, which names servers and addresses, for who operates the gateway."""
    services = services_of(request)
    readiness, stores, operates = await asyncio.gather(
        services.prober.readiness(), services.store_prober.health(), services.access.operates(request)
    )
    told = readiness.models if operates else [replace(model, reason="") for model in readiness.models]
    ready = readiness.ready and stores.ready
    return {
        "status": "ok" if ready else "degraded",
        "queue_size": services.admission.waiting + (stores.counts.queued if stores.counts else 0),
        "segmentation_ready": readiness.pipelines.get("body_masks", False),
        "live": True,
        "ready": ready,
        "pipelines": readiness.pipelines,
        "stores": {
            "durable": services.stores.durable,
            "database": stores.counts is not None,
            "database_fault": (stores.fault or None) if operates else None,
            "buckets": stores.buckets,
            "workers": stores.counts.workers if stores.counts else None,
        },
        "models": [asdict(model) for model in told],
    }
