"""`/api/v1/cache`, as the facial region service has it; about every pipeline's results."""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.access.callers import caller_of
from gateway.cache.cache import CachedTask, CacheStats
from gateway.http.queries import CachePage, CachePeriod
from gateway.intake.submissions import query_fields
from gateway.jobs.outbox_messages import timestamp
from gateway.pipelines.fields import known, validated
from gateway.services import services_of


async def stats(request: Request) -> JSONResponse:
    """What the cache did lately."""
    query = validated(CachePeriod, known(CachePeriod, query_fields(request.url.query)))
    return JSONResponse(_stats_view(await services_of(request).stores.cache.stats(query.days)))


async def recent(request: Request) -> JSONResponse:
    """The newest entries of the caller's tenant."""
    query = validated(CachePage, known(CachePage, query_fields(request.url.query)))
    found = await services_of(request).stores.cache.recent(query.limit, caller_of(request).tenant)
    return JSONResponse([_task_view(task) for task in found])


async def cleanup(request: Request) -> JSONResponse:
    """Remove what is too old or too much now, instead of soon."""
    removed = await services_of(request).stores.cache.cleanup()
    message = f"{removed} entries were removed."
    now = timestamp(datetime.now(UTC))
    return JSONResponse({"deleted_entries": removed, "message": message, "timestamp": now})


def _stats_view(stats: CacheStats) -> dict[str, object]:
    """Ratios are told in percent."""
    return {
        "period_days": stats.days,
        "total_requests": stats.requests,
        "cache_hits": stats.hits,
        "cache_hit_ratio": round(100 * stats.hit_ratio, 2),
        "successful_tasks": stats.successes,
        "failed_tasks": stats.failures,
        "avg_processing_time_ms": round(stats.average_ms, 1),
        "total_cached_entries": stats.entries,
        "cached_bytes": stats.bytes,
        "cache_efficiency": round(100 * stats.efficiency, 2),
    }


def _task_view(task: CachedTask) -> dict[str, object]:
    return {
        "task_id": task.task_id,
        "pipeline": task.pipeline,
        "status": task.status,
        "submitted_at": timestamp(task.submitted_at),
        "processing_time_ms": round(task.processing_ms, 1),
        "regions_detected": task.regions,
        "cache_hits": task.hits,
        "error_type": task.error_type,
    }
