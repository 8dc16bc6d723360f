"""Every address but those of the pipelines: who serves it, and how it is described."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.http.guard import Rule, guarded
from gateway.http.queries import CachePage, CachePeriod, JobQuery, PoisonQuery
from gateway.openapi import codes
from gateway.openapi.frontal import figures_responses, frontal_operation, listed_response
from gateway.openapi.frontal_examples import CLEANED, DRAWN, FIGURES, SUBMITTED
from gateway.openapi.job_examples import PAGE, POISON_PAGE, PROCESSED, TICKET
from gateway.openapi.jobs import (
    answer_response,
    deletion_responses,
    file_responses,
    job_response,
    nothing_response,
    path_operation,
    process_operation,
    query_operation,
    stream_operation,
    stream_responses,
    submit_operation,
    submit_responses,
)
from gateway.openapi.problems import Responses, problem_responses
from gateway.openapi.security import refusals, security
from gateway.openapi.uploads import (
    BATCH,
    BATCH_SUBMITTED,
    UPLOADED,
    batch_upload_operation,
    upload_operation,
)
from gateway.openapi.uploads import PROCESSED as BLURRED
from gateway.pipelines.registry import Pipeline
from gateway.routes import (
    artifacts,
    cache,
    events,
    frontal,
    health,
    jobs,
    metrics,
    pipelines,
    poison,
    process,
    stats,
    uploads,
)
from gateway.routes.batches import MAX_FILES
from gateway.routes.frontal_schemas import CacheCleanup, CacheEntry, CacheFigures, FrontalStatus, FrontalSubmission
from gateway.routes.job_schemas import EventTicket, JobPage, PoisonPage, ProcessAnswer, QueueStatus, Resent, Stats
from gateway.routes.schemas import Health, Live, PipelineList
from gateway.routes.upload_schemas import BatchAnswer, BatchStatus, UploadAnswer, UploadStatus
from gateway.settings import Settings

Operation = Mapping[str, object]

_PAGE = "One page."
_UNREADY = "Some pipeline cannot serve, or a store does not answer: `pipelines` and `stores` say which."


@dataclass(frozen=True)
class Address:
    """`route` is a method and a path; `responses` holds the good answers, the usual one first."""

    route: str
    handler: Callable[[Request], Awaitable[Response]]
    summary: str
    responses: Responses
    codes: tuple[str, ...]
    operation: Operation = field(default_factory=dict)

    def add_to(self, app: FastAPI, tag: str, rule: Rule) -> None:
        """Serve it to those whom the rule lets in, and describe it."""
        method, path = self.route.split()
        errors = dict.fromkeys((*codes.DOOR, *refusals(rule), *self.codes))
        app.add_api_route(
            path,
            guarded(rule, self.handler),
            methods=[method],
            summary=self.summary,
            status_code=int(next(iter(self.responses))),
            response_class=Response,
            responses={**self.responses, **problem_responses(errors, path.replace(":path", ""))},
            openapi_extra={**self.operation, **security(rule)},
            tags=[tag],
        )


def addresses(registry: Mapping[str, Pipeline], settings: Settings) -> Mapping[str, tuple[Address, ...]]:
    """All of them, by what they are about."""
    return {
        "pipelines": (_pipelines(),),
        "jobs": (_submit(registry), _list(), *_one_job(), *_artifacts()),
        "poison": _poison(),
        "mask service": _mask_service(),
        "facial services": (*_frontal(registry), *_cache()),
        "blur pipeline": (*_uploads(registry), *_uploaded()),
        "health": (*_health(), *_metrics(settings)),
    }


def _pipelines() -> Address:
    listed = answer_response(PipelineList, "The pipelines.")
    return Address(
        "GET /v1/pipelines", pipelines.list_pipelines, "Find out what can be run, and with what.", listed, codes.FAILED
    )


def _submit(registry: Mapping[str, Pipeline]) -> Address:
    operation = submit_operation(registry)
    summary = "Queue a photo for a pipeline."
    return Address("POST /v1/jobs", jobs.submit, summary, submit_responses(), codes.SUBMISSION, operation)


def _list() -> Address:
    page, operation = answer_response(JobPage, _PAGE, PAGE), query_operation(JobQuery)
    return Address("GET /v1/jobs", jobs.find, "List jobs, the newest first.", page, codes.LIST, operation)


def _one_job() -> tuple[Address, ...]:
    job, with_id = "/v1/jobs/{id}", path_operation(id="The job's id.")
    shown, ended = job_response("The job."), job_response("The job; it is finished now, or was before.")
    gone = deletion_responses()
    resent = answer_response(Resent, "How many callbacks had failed.", {"resent": 1})
    watched = stream_operation(with_id)
    seen, taken = (*codes.TICKET, *codes.WATCHED), answer_response(EventTicket, "A ticket, for a minute.", TICKET)
    again = "Send the callbacks again that failed."
    return (
        Address(f"GET {job}", jobs.show, "Look at a job.", shown, codes.JOB, with_id),
        Address(f"DELETE {job}", jobs.delete, "Delete a job, cancelling it first.", gone, codes.JOB, with_id),
        Address(f"POST {job}/cancel", jobs.cancel, "Cancel an unfinished job.", ended, codes.JOB, with_id),
        Address(f"GET {job}/events", events.events, "Watch a job.", stream_responses(), seen, watched),
        Address(f"POST {job}/events/ticket", events.ticket, "Let a browser watch a job.", taken, codes.JOB, with_id),
        Address(f"POST {job}/callbacks/resend", jobs.resend_callbacks, again, resent, codes.JOB, with_id),
    )


def _artifacts() -> tuple[Address, ...]:
    named = path_operation(id="The job's id.", name="The artifact's name, such as upper_body_mask.png.")
    keyed = path_operation(key="The artifact's key.")
    of_job, by_key = "/v1/jobs/{id}/artifacts/{name:path}", "/v1/artifacts/{key:path}"
    summary, linked = "Get a file that a job made.", "Get a file by its link, where there is no object store."
    return (
        Address(f"GET {of_job}", artifacts.artifact, summary, file_responses(), codes.ARTIFACT, named),
        Address(f"GET {by_key}", artifacts.linked, linked, file_responses(), codes.LINKED, keyed),
    )


def _poison() -> tuple[Address, ...]:
    entry, with_id = "/v1/poison/{id}", path_operation(id="The entry's id.")
    page, operation = answer_response(PoisonPage, _PAGE, POISON_PAGE), query_operation(PoisonQuery)
    closed = nothing_response("The entry is closed.")
    return (
        Address("GET /v1/poison", poison.find, "List what was given up.", page, codes.LIST, operation),
        Address(f"POST {entry}/replay", poison.replay, "Work on it again.", closed, codes.POISON, with_id),
        Address(f"DELETE {entry}", poison.drop, "Give it up for good.", closed, codes.POISON, with_id),
    )


def _mask_service() -> tuple[Address, ...]:
    queued = answer_response(ProcessAnswer, "The job waits, or was known before.", PROCESSED)
    summary, figures = "Queue a photo for its upper and lower body masks.", "See how busy the queue is."
    return (
        Address("POST /process", process.process, summary, queued, codes.PROCESS, process_operation()),
        Address("GET /stats", stats.stats, figures, answer_response(Stats, "Figures."), codes.STORE),
    )


def _uploads(registry: Mapping[str, Pipeline]) -> tuple[Address, ...]:
    taken = answer_response(UploadAnswer, "The photo waits.", UPLOADED)
    batch = answer_response(BatchAnswer, "What became of each file; those that were accepted wait.", BATCH_SUBMITTED)
    one, many = "Queue a photo to be blurred.", "Queue many photos to be blurred."
    form, forms = upload_operation(registry), batch_upload_operation(registry, MAX_FILES)
    return (
        Address("POST /upload", uploads.upload, one, taken, codes.PROCESS, form),
        Address("POST /batch-upload", uploads.batch_upload, many, batch, codes.BATCH, forms),
    )


def _uploaded() -> tuple[Address, ...]:
    shown, far = answer_response(UploadStatus, "The photo.", BLURRED), answer_response(BatchStatus, "The batch.", BATCH)
    with_id, with_batch = path_operation(id="The job's id."), path_operation(id="The batch's id.")
    ask, look = "Ask what became of a photo.", "Ask how far a batch is."
    queue = answer_response(QueueStatus, "The queue.")
    return (
        Address("GET /status/{id}", uploads.status, ask, shown, codes.JOB, with_id),
        Address("GET /batch/{id}", uploads.batch, look, far, codes.JOB, with_batch),
        Address("GET /queue-status", stats.queue_status, "See how full the queue is.", queue, codes.STORE),
    )


def _frontal(registry: Mapping[str, Pipeline]) -> tuple[Address, ...]:
    crop, with_id = "/api/v1/frontal/crop", path_operation(id="The task's id.")
    taken = answer_response(FrontalSubmission, "The task waits, or its result was in the cache.", SUBMITTED)
    shown = answer_response(FrontalStatus, "The task.", DRAWN)
    summary, ask = "Queue a photo for its facial contours.", "Ask what became of a task."
    described, errors = frontal_operation(registry), (*codes.SUBMISSION,)
    return (
        Address(f"POST {crop}/submit", frontal.submit, summary, taken, errors, described),
        Address(f"GET {crop}/status/{{id}}", frontal.status, ask, shown, codes.FRONTAL, with_id),
    )


def _cache() -> tuple[Address, ...]:
    figures = answer_response(CacheFigures, "Figures.", FIGURES)
    entries = listed_response(CacheEntry, "The newest entries.")
    removed = answer_response(CacheCleanup, "How many there were.", CLEANED)
    look, tidy = "See what the cache holds and saves.", "Remove what is too old or too much."
    period, page = query_operation(CachePeriod), query_operation(CachePage)
    return (
        Address("GET /api/v1/cache/stats", cache.stats, look, figures, codes.LIST, period),
        Address("GET /api/v1/cache/recent", cache.recent, "List the newest entries.", entries, codes.LIST, page),
        Address("POST /api/v1/cache/cleanup", cache.cleanup, tidy, removed, codes.STORE),
    )


def _metrics(settings: Settings) -> tuple[Address, ...]:
    if not settings.prometheus_enabled:
        return ()
    summary = "Read every figure, as Prometheus does."
    return (Address("GET /metrics", metrics.metrics, summary, figures_responses(), codes.FAILED),)


def _health() -> tuple[Address, ...]:
    look, restart = "Look into the gateway: always 200 while it lives.", "Decide whether to restart the gateway."
    state, unready = answer_response(Health, "The state."), answer_response(Health, _UNREADY, status=503)
    lives, send = answer_response(Live, "It lives."), "Decide whether to send requests here."
    return (
        Address("GET /health", health.health, look, state, codes.FAILED),
        Address("GET /health/live", health.live, restart, lives, codes.FAILED),
        Address("GET /health/ready", health.ready, send, {**state, **unready}, codes.FAILED),
    )
