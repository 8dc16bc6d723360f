"""`POST /process` and `GET /stats`, as the HTTP mask service has them."""

import time
from functools import partial
from typing import Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.http.middleware import services_of
from gateway.http.new_jobs import read_wanted, submit_job
from gateway.http.openapi import BINARY, FORM_ERRORS, STORE_ERRORS, Address, Addresses, answers, fields_of, form
from gateway.intake.requests import PROCESS_PHOTO, ProcessFields, process_request
from gateway.pipelines.outputs import Answer, Count

WORKERS = "Inferences that the live workers can have under way."


class ProcessAnswer(Answer):
    """The job is queued."""

    status: Literal["accepted"] = Field(examples=["accepted"])
    queued: Literal[True] = Field(examples=[True])
    job_id: str = Field(examples=["job456"])
    message: Literal["Job added to Qwen mask queue"] = Field(examples=["Job added to Qwen mask queue"])


class Stats(Answer):
    """The queue of jobs in figures."""

    queue_max: int = Field(ge=1, description="QUEUE_MAX_SIZE.", examples=[1000])
    queue_current: Count = Field(description="Jobs that wait.", examples=[3])
    workers: Count = Field(description=WORKERS, examples=[8])
    jobs_processed: Count = Field(description="Jobs that ended and are still kept.", examples=[412])
    uptime_sec: Count = Field(examples=[86400])
    processing: Count = Field(description="Jobs that are worked on.", examples=[2])
    throughput_per_sec: float = Field(
        ge=0, description="Jobs, still kept, that ended in the last minute, a second.", examples=[1.217]
    )
    success_rate: float | None = Field(
        ge=0, le=1, description="Share of them that completed; null where none ended.", examples=[0.98]
    )
    avg_latency_sec: float | None = Field(
        ge=0, description="Of the completed ones, from coming to end.", examples=[0.31]
    )


_FIELDS = fields_of(ProcessFields)
_REQUIRED = [PROCESS_PHOTO, *(name for name, field in ProcessFields.model_fields.items() if field.is_required())]


async def process(request: Request) -> Response:
    """Queue a photo for its upper and lower body masks.

    Queue a photo for its two masks; the same job again changes nothing.
    """
    services = services_of(request)
    asked = partial(process_request, registry=services.registry, settings=services.settings)
    wanted = await read_wanted(request, asked, (PROCESS_PHOTO,))
    await submit_job(request, wanted)
    return ProcessAnswer.model_construct(
        status="accepted", queued=True, job_id=wanted.request_id, message="Job added to Qwen mask queue"
    ).response()


MASK_SERVICE = Addresses()
MASK_SERVICE.append(
    Address(
        "POST /process",
        process,
        answers(ProcessAnswer, "The job waits, or was known before."),
        FORM_ERRORS,
        body=form({PROCESS_PHOTO: {**BINARY, "description": "The photo."}}, _FIELDS, _REQUIRED),
    )
)


@MASK_SERVICE.serve("GET /stats", answers(Stats, "Figures."), STORE_ERRORS)
async def stats(request: Request) -> Response:
    """See how busy the queue is.

    The queue of jobs in figures. Raises Problem `store_unavailable`.
    """
    services = services_of(request)
    counts, recent = await services.stores.jobs.counts(), await services.stores.jobs.recent()
    return Stats.model_construct(
        queue_max=services.settings.queue_max_size,
        queue_current=counts.queued,
        workers=counts.workers,
        jobs_processed=await services.stores.jobs.finished(),
        uptime_sec=int(time.monotonic() - services.started_at),
        processing=counts.running,
        throughput_per_sec=round(recent.per_second, 3),
        success_rate=recent.success_rate,
        avg_latency_sec=recent.latency_s,
    ).response()
