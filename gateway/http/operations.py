"""What operators ask: health, readiness, metrics, the pipelines that can be run, and what was given up."""

import asyncio
import re
from dataclasses import replace
from typing import Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.callers import caller_of
from gateway.errors import Problem
from gateway.http.openapi import (
    INTERNAL_ERRORS,
    LIST_ERRORS,
    MOST_LISTED,
    STORE_ERRORS,
    Addresses,
    Cursor,
    Query,
    answers,
    answers_nothing,
    in_path,
    in_query,
    parameters_schema,
)
from gateway.http.schemas import Count, Id, JobError, Timestamp, error_of
from gateway.jobs.store import DeadLetter
from gateway.metrics.instruments import MEDIA_TYPE
from gateway.pipelines.outputs import Answer
from gateway.pipelines.registry import Pipeline, Profile
from gateway.services import services_of
from gateway.timing import timestamp
from gateway.triton import ModelState

_ID = re.compile(r"[0-9]{1,18}")


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
HEALTH, METRICS, PIPELINES, POISON = Addresses(), Addresses(), Addresses(), Addresses()


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
        services.prober.readiness(), services.store_prober.health(), services.access.operates(request)
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


class PipelineDescription(Answer):
    """One pipeline: what it takes and what it makes."""

    name: str = Field(description="Its address is /v1/run/{name}.", examples=["body_masks"])
    summary: str = Field(examples=["Make masks of the bodies in a photo."])
    profile: Profile = Field(examples=["lite"])
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


class PipelineList(Answer):
    """Every pipeline that can be run."""

    pipelines: list[PipelineDescription]


@PIPELINES.serve("GET /v1/pipelines", answers(PipelineList, "The pipelines."), INTERNAL_ERRORS)
async def list_pipelines(request: Request) -> Response:
    """Find out what can be run, and with what.

    Every pipeline with its parameters' JSON schema, and whether it is ready.
    """
    services = services_of(request)
    readiness = await services.prober.readiness()
    described = [_described(entry, ready=readiness.pipelines[entry.name]) for entry in services.registry.values()]
    return PipelineList.model_construct(pipelines=described).response()


def _described(pipeline: Pipeline, *, ready: bool) -> PipelineDescription:
    return PipelineDescription.model_construct(
        name=pipeline.name,
        summary=pipeline.summary,
        profile=pipeline.profile,
        inputs=list(pipeline.inputs),
        parameters=dict(parameters_schema(pipeline)),
        artifacts=dict(pipeline.artifacts),
        ready=ready,
    )


class PoisonView(Answer):
    """A message or a job that was given up."""

    id: int = Field(examples=[17])
    job_id: Id | None = Field(description="Null for a message that no job could be made of.")
    origin: str = Field(description="topic/partition/offset of the message.", examples=["mask_input/0/1234"])
    error: JobError
    attempts: Count = Field(examples=[0])
    bytes: Count = Field(description="The message's size.", examples=[212])
    created_at: Timestamp


class PoisonPage(Answer):
    """Open entries, the newest first."""

    entries: list[PoisonView]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class PoisonQuery(Query):
    """Which page of the entries."""

    limit: int = Field(50, ge=1, le=MOST_LISTED, description="Entries a page.")
    cursor: Cursor = None


_ENTRY_ID, _CLOSED = in_path(id="The entry's id."), answers_nothing("The entry is closed.")
_ENTRY_ERRORS = ("poison_not_found", *STORE_ERRORS)


@POISON.serve("GET /v1/poison", answers(PoisonPage, "One page."), LIST_ERRORS, in_query(PoisonQuery))
async def find(request: Request) -> Response:
    """List what was given up.

    Open entries, the newest first, in pages.
    """
    query = PoisonQuery.of(request)
    entries = services_of(request).stores.dead_letters
    found = await entries.entries(query.limit + 1, query.cursor) if _is_theirs(request) else []
    page = found[: query.limit]
    following = str(page[-1].id) if len(found) > len(page) else None
    return PoisonPage.model_construct(entries=[_view(entry) for entry in page], next=following).response()


@POISON.serve("POST /v1/poison/{id}/replay", _CLOSED, _ENTRY_ERRORS, _ENTRY_ID)
async def replay(request: Request) -> Response:
    """Work on it again.

    204: the entry is closed, and its job or message is worked on again.
    """
    entry_id = _entry_id_of(request)
    return _closed(entry_id, was_open=await services_of(request).stores.dead_letters.replay(entry_id))


@POISON.serve("DELETE /v1/poison/{id}", _CLOSED, _ENTRY_ERRORS, _ENTRY_ID)
async def drop(request: Request) -> Response:
    """Give it up for good.

    204: the entry is closed for good.
    """
    entry_id = _entry_id_of(request)
    return _closed(entry_id, was_open=await services_of(request).stores.dead_letters.drop(entry_id))


def _view(entry: DeadLetter) -> PoisonView:
    return PoisonView.model_construct(
        id=entry.id,
        job_id=str(entry.job_id) if entry.job_id else None,
        origin=entry.origin,
        error=error_of(entry.failure),
        attempts=entry.attempts,
        bytes=entry.size,
        created_at=timestamp(entry.created_at),
    )


def _entry_id_of(request: Request) -> int:
    text = request.path_params["id"]
    if not (_ID.fullmatch(text) and _is_theirs(request)):
        raise _not_found(text[:60])
    return int(text)


def _is_theirs(request: Request) -> bool:
    """Whether the entries are of the caller's tenant: they came as messages, which all are of one."""
    return caller_of(request).tenant == services_of(request).settings.kafka_tenant


def _closed(entry_id: int, *, was_open: bool) -> Response:
    if not was_open:
        raise _not_found(entry_id)
    return Response(status_code=204)


def _not_found(entry_id: int | str) -> Problem:
    return Problem("poison_not_found", f"No open entry {entry_id} in the poison book.")
