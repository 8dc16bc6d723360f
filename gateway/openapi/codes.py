"""Which errors which addresses answer with."""

from gateway.errors import PROBLEMS
from gateway.pipelines import body_masks, detect, face_contours

ACCESS = (
    *("credentials_missing", "token_invalid", "token_expired", "key_unknown", "key_revoked", "key_expired"),
    *("scope_missing", "rate_limited", "store_unavailable", "keys_unavailable"),
)
"""Of every address that asks who the caller is; keys are looked up in the database."""
DOOR = ("host_invalid", "host_not_allowed", "origin_not_allowed")
"""Of every address: what a browser was made to send."""
FAILED = ("internal_error",)
STORE = ("store_unavailable", *FAILED)
BODY = (
    *("body_empty", "request_timeout", "body_too_large", "unsupported_media_type", "invalid_multipart"),
    *("encoding_unsupported", "invalid_encoding", "field_too_large"),
    *("invalid_parameters", "queue_full", "pipeline_not_found"),
)
PHOTO = (
    *("image_empty", "image_too_large", "image_unsupported", "image_truncated", "image_corrupt", "image_animated"),
    "image_too_small",
)
PROCESS = (*BODY, *PHOTO, "idempotency_conflict", "storage_unavailable", *STORE)
SUBMISSION = (*PROCESS, "missing_image", "invalid_json", "invalid_base64", "url_not_allowed")
BATCH = (*(code for code in BODY if code != "invalid_encoding"), "storage_unavailable", *STORE)
TICKET = ("ticket_invalid", "ticket_expired")
JOB = ("job_not_found", *STORE)
ARTIFACT = (*JOB, "job_unfinished", "artifact_not_found", "storage_unavailable", "queue_full")
WATCHED = (*JOB, "queue_full")
LINKED = ("artifact_not_found", "queue_full", *FAILED)
LIST = ("invalid_parameters", *STORE)
FRONTAL = (*JOB, "artifact_not_found", "storage_unavailable", "queue_full")
POISON = ("poison_not_found", *STORE)
OUTCOMES = ("cancelled", "attempts_exhausted", "url_failed", "url_unreachable", "object_missing")
"""Why a job failed; never the answer to a request."""
_OF_JOBS = {*OUTCOMES, *TICKET, *JOB, *ARTIFACT, *POISON, "idempotency_conflict", "url_not_allowed"} - {
    *FAILED,
    *ACCESS,
    "queue_full",
}
_OF_PIPELINES = {*body_masks.REFUSALS, *face_contours.REFUSALS, *detect.REFUSALS}
RUN = tuple(code for code in PROBLEMS if code not in _OF_JOBS | _OF_PIPELINES)
"""Those of every pipeline; each answers with its own refusals alone."""
