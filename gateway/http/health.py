"""Health, readiness and metrics."""

import asyncio
from dataclasses import replace
from typing import Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.http.middleware import services_of
from gateway.http.openapi import INTERNAL_ERRORS, Addresses, answers
from gateway.metrics.instruments import MEDIA_TYPE
from gateway.pipelines.outputs import Answer
from gateway.triton import ModelState


class Live(Answer):
    """The gateway lives."""

    status: Literal["ok"] = Field(examples=["ok"])


class StoreState(Answer):
    """What keeps jobs, photos and masks."""

    durable: bool = Field(description="false: all is in the gateway's memory, and lost when it stops.", examples=[True])
    database: bool = Field(description="Whether the database answers.", examples=[True])
    database_fault: str | None = Field(
        description="Why it did not answer the last time, for callers with the scope `operate`; else null."
    )
    buckets: bool = Field(description="Whether the object store answers.", examples=[True])
    workers: int | None = Field(ge=0, description="Inferences that the live workers can have under way.", examples=[8])


_MODEL = {"name": "body_masks", "version": "1", "state": "READY", "reason": ""}


class Health(Answer):
    """State of the gateway, its pipelines, its stores and Triton's models."""

    status: Literal["ok", "degraded"] = Field(
        description="ok: every pipeline can serve, and the stores answer.", examples=["ok"]
    )
    queue_size: int = Field(
        ge=0, description="Requests that came in and do not run yet, and jobs that wait.", examples=[0]
    )
    segmentation_ready: bool = Field(description="Whether the pipeline body_masks can serve.", examples=[True])
    live: Literal[True] = Field(examples=[True])
    ready: bool = Field(description="Whether every pipeline can serve, and the stores answer.", examples=[True])
    pipelines: dict[str, bool] = Field(
        description="Whether each pipeline can serve, by name.", examples=[{"body_masks": True}]
    )
    stores: StoreState
    models: list[ModelState] = Field(
        description="The models Triton knows, none where Triton is away; `reason` is for callers with `operate`.",
        examples=[[_MODEL]],
    )


_READY = answers(Health, "The state.")
_UNREADY = answers(
    Health,
    "Some pipeline cannot serve, or a store does not answer: `pipelines` and `stores` say which.",
    503,
    Health.example(status="degraded", ready=False, segmentation_ready=False, pipelines={"body_masks": False}),
)
HEALTH, METRICS = Addresses(), Addresses()


@HEALTH.serve("GET /health", _READY, INTERNAL_ERRORS)
async def health(request: Request) -> Response:
    """Look into the gateway: always 200 while it lives.

    State of the gateway, its stores and its models: 200 as long as the gateway lives.
    """
    return (await _state(request)).response()


@HEALTH.serve("GET /health/live", answers(Live, "It lives."), INTERNAL_ERRORS)
async def live(_request: Request) -> Response:
    """Decide whether to restart the gateway.

    200 as long as the gateway lives.
    """
    return Live.model_construct(status="ok").response()


@HEALTH.serve("GET /health/ready", {**_READY, **_UNREADY}, INTERNAL_ERRORS)
async def ready(request: Request) -> Response:
    """Decide whether to send requests here.

    200 when every pipeline can serve and the stores answer, 503 otherwise.
    """
    state = await _state(request)
    return state.response(200 if state.ready else 503)


async def _state(request: Request) -> Health:
    """States for everybody; their reasons, which name servers and addresses, for those who operate the gateway."""
    services = services_of(request)
    readiness, stores, operates = await asyncio.gather(
        services.readiness.get(), services.store_health.get(), services.access.operates(request)
    )
    ready = readiness.ready and stores.ready
    return Health.model_construct(
        status="ok" if ready else "degraded",
        queue_size=services.admission.waiting + (stores.counts.queued if stores.counts else 0),
        segmentation_ready=readiness.pipelines.get("body_masks", False),
        live=True,
        ready=ready,
        pipelines=dict(readiness.pipelines),
        stores=StoreState.model_construct(
            durable=services.stores.durable,
            database=stores.counts is not None,
            database_fault=(stores.fault or None) if operates else None,
            buckets=stores.buckets,
            workers=stores.counts.workers if stores.counts else None,
        ),
        models=[model if operates else replace(model, reason="") for model in readiness.models],
    )


_TEXT = {"text/plain": {"schema": {"type": "string"}, "example": "api_requests_total{…} 17.0\n"}}


@METRICS.serve("GET /metrics", {200: {"description": "Every figure.", "content": _TEXT}}, INTERNAL_ERRORS)
async def metrics(request: Request) -> Response:
    """Read every figure, as Prometheus does.

    This gateway's metrics, in Prometheus's text format.
    """
    return Response(await services_of(request).metrics.text(), media_type=MEDIA_TYPE)
