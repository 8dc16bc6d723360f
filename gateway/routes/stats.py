"""`GET /stats`, as the HTTP mask service has it."""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.services import services_of


async def stats(request: Request) -> JSONResponse:
    """The queue of jobs in figures. Raises Problem `store_unavailable`."""
    services = services_of(request)
    counts = await services.stores.jobs.counts()
    figures = {
        "queue_max": services.settings.queue_max_size,
        "queue_current": counts.queued,
        "workers": counts.workers,
        "jobs_processed": await services.stores.jobs.finished(),
        "uptime_sec": int(time.monotonic() - services.started_at),
    }
    return JSONResponse(figures)
