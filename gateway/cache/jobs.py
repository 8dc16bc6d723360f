"""Jobs whose results come from the cache."""

from collections.abc import Mapping

from gateway.cache.cache import UNCOUNTED, CachedResult, CacheHit
from gateway.jobs.job import NewJob, Outcome, StoredArtifact


def counted(job: NewJob) -> bool:
    """Whether the figures know of the job."""
    return job.source != UNCOUNTED


def outcome_of(
    value: CachedResult, stored: tuple[StoredArtifact, ...], timings_ms: Mapping[str, float], *, hit: CacheHit | None
) -> Outcome:
    """The outcome of a job with this result; one that came from the cache says so."""
    result = {**value.result, "cached": True} if hit else value.result
    return Outcome(result, stored, value.failure, timings_ms)
