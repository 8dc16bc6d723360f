"""Jobs that came as uploads of the blur pipeline: the photo itself is kept, beside what was made of it."""

from collections.abc import Sequence

from gateway.jobs.job import Job, NewJob, StoredArtifact
from gateway.jobs.keys import artifact_key, segment, tenant_prefix
from gateway.results import Artifact
from vision.photo import inspect

PIPELINE = "privacy_blur"
ORIGINAL, BLURRED = "original", "blurred"
"""Names of the photo's and its copy's artifacts, without the suffixes of their formats."""
LONGEST_BATCH_S = 3600.0
"""Time in which the last photo of a batch must have come: so long the first lies there without a job."""

_SOURCE = "upload:"
_PROCESSED = "processed"
_SUFFIXES = {"jpeg": "jpg"}


def upload_source(file_name: str) -> str:
    """The source of a job that came as such a file."""
    return f"{_SOURCE}{file_name}"


def is_upload(request: NewJob) -> bool:
    """Whether a job came as a file."""
    return request.source.startswith(_SOURCE)


def file_name(request: NewJob) -> str:
    """The name of the file that an upload came as."""
    return request.source.removeprefix(_SOURCE)


def image_of(artifacts: Sequence[StoredArtifact], stem: str) -> StoredArtifact | None:
    """The photo (ORIGINAL) or its copy (BLURRED), whatever its format."""
    return next((artifact for artifact in artifacts if artifact.name.partition(".")[0] == stem), None)


def with_original(request: NewJob, photo: bytes, artifacts: Sequence[Artifact]) -> Sequence[Artifact]:
    """What is kept of a job that made these artifacts: of an upload that was not refused, its photo too.

    `photo` is one that was checked.
    """
    if not is_upload(request) or not artifacts:
        return artifacts
    return (Artifact(f"{ORIGINAL}.{_suffix(photo)}", photo), *artifacts)


def object_key(request: NewJob, name: str) -> str:
    """Under which key an artifact is kept; keys of uploads have one segment less than all others.

    Of an upload they are `processed/ID.jpg`, `processed/ID.blur.json` and `original/ID_SECRET.jpg`, so that who was
    given the copy cannot tell where the photo is, should the bucket be open.
    """
    if not is_upload(request):
        return artifact_key(request.user_id, request.request_id, name, request.tenant)
    stem, _, suffix = name.partition(".")
    if stem == ORIGINAL:
        kept = f"{ORIGINAL}/{request.id}_{segment(request.request_id)}.{segment(suffix)}"
    else:
        kept = f"{_PROCESSED}/{request.id}.{segment(suffix if stem == BLURRED else name)}"
    return tenant_prefix(request.tenant) + kept


def object_prefixes(job: Job) -> tuple[str, ...]:
    """What the keys of a job's artifacts begin with."""
    return prefixes_of(job.request)


def prefixes_of(request: NewJob) -> tuple[str, ...]:
    """What the keys of the artifacts of a request's job begin with."""
    if is_upload(request):
        own = (f"{ORIGINAL}/{request.id}_", f"{_PROCESSED}/{request.id}.")
        return tuple(tenant_prefix(request.tenant) + prefix for prefix in own)
    key = artifact_key(request.user_id, request.request_id, "any", request.tenant)
    return (key.rpartition("/")[0] + "/",)


def _suffix(photo: bytes) -> str:
    kind = inspect(photo, max_pixels=None).format
    return _SUFFIXES.get(kind, kind)
