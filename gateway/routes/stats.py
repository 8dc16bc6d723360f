"""`GET /stats` and `/queue-status`, as the HTTP mask service and the blur pipeline have them."""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.access.callers import caller_of
from gateway.limits.backlog import ends_in_s
from gateway.services import services_of


async def stats(request: Request) -> JSONResponse:
    """The queue of jobs in figures. Raises Problem `store_unavailable`."""
    services = services_of(request)
    counts, recent = await services.stores.jobs.counts(), await services.stores.jobs.recent()
    figures = {
        "queue_max": services.settings.queue_max_size,
        "queue_current": counts.queued,
        "workers": counts.workers,
        "jobs_processed": await services.stores.jobs.finished(),
        "uptime_sec": int(time.monotonic() - services.started_at),
        "processing": counts.running,
        "throughput_per_sec": round(recent.per_second, 3),
        "success_rate": recent.success_rate,
        "avg_latency_sec": recent.latency_s,
    }
    return JSONResponse(figures)


async def queue_status(request: Request) -> JSONResponse:
    """How full the queue is. Raises Problem `store_unavailable`."""
    services = services_of(request)
    counts = await services.stores.jobs.counts()
    most = services.settings.queue_max_size
    status = {
        "queue_size": counts.queued,
        "max_queue_size": most,
        "processing": counts.running,
        "workers": counts.workers,
        "full": await services.backlog.room(caller_of(request).tenant) <= 0,
        "estimated_wait_sec": round(ends_in_s(counts), 1),
    }
    return JSONResponse(status)
