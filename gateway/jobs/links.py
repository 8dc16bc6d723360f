"""Links to artifacts."""

from collections.abc import Callable
from urllib.parse import quote
from uuid import UUID

from gateway.jobs.job import StoredArtifact

Link = Callable[[UUID, StoredArtifact], str]
"""The URL of a job's artifact."""
Links = Callable[[str], Link]
"""The links of an answer, or of a message, by what addresses of the gateway begin with there."""


def by_job(base: str) -> Link:
    """Links through the gateway, which asks who reads."""
    return lambda job_id, artifact: f"{base}/v1/jobs/{job_id}/artifacts/{quote(artifact.name)}"


def by_key(base: str) -> Link:
    """The same, where jobs are in memory."""
    return lambda _, artifact: f"{base}/v1/artifacts/{quote(artifact.key)}"
