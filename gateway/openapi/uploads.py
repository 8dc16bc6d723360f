"""The blur pipeline's addresses, as the API's description has them."""

from collections.abc import Mapping

from gateway.intake.requests import FILE, FILES
from gateway.intake.submissions import MULTIPART
from gateway.jobs.objects import UPLOAD_PIPELINE
from gateway.openapi.photos import BINARY, parameters_schema, styles
from gateway.openapi.run_examples import EXAMPLES
from gateway.pipelines.registry import Pipeline

_JOB_ID, _BATCH_ID = "6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11", "0b6c6cc1-40f6-4d53-9e5b-7d3f0a1c2e4b"
_NAMED: dict[str, object] = {"job_id": _JOB_ID, "filename": "image.jpg"}
_OBJECTS = "s3://masks"
_FOUND = EXAMPLES[UPLOAD_PIPELINE].found
_ORIGINAL, _PROCESSED = f"original/{_JOB_ID}_7b2e20e7f913b879.jpg", f"processed/{_JOB_ID}.jpg"

UPLOADED: dict[str, object] = {
    **_NAMED,
    "file_size": 1_024_000,
    "status": "submitted",
    "message": "Image submitted for processing",
}
BATCH_SUBMITTED: dict[str, object] = {
    "batch_id": _BATCH_ID,
    "status": "submitted",
    "total": 2,
    "submitted": 1,
    "failed": 1,
    "message": "1 of 2 images submitted for processing",
    "results": [
        {**UPLOADED, "error": None},
        {
            **UPLOADED,
            "job_id": "de1c824a-e3a2-491e-8f2b-1d53b6c6cc14",
            "filename": "notes.txt",
            "file_size": 212,
            "status": "failed",
            "message": "Image not accepted",
            "error": {
                "code": "image_unsupported",
                "detail": "the image is of no known type; JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF and BMP are accepted",
            },
        },
    ],
}
PROCESSED: dict[str, object] = {
    **_NAMED,
    "status": "completed",
    "updated_at": 1_640_995_200,
    "results": {
        "original_image_path": f"{_OBJECTS}/{_ORIGINAL}",
        "processed_image_path": f"{_OBJECTS}/{_PROCESSED}",
        "processed_image_url": f"http://127.0.0.1:9000/masks/{_PROCESSED}",
        "processing_time": 0.061,
        "blur_metadata": _FOUND["blur"],
        "detection_metadata": {"detections": _FOUND["detections"]},
    },
    "error": None,
}
BATCH: dict[str, object] = {
    "batch_id": _BATCH_ID,
    "status": "completed",
    "progress": 100,
    "total": 1,
    "submitted": 0,
    "processing": 0,
    "completed": 1,
    "failed": 0,
    "updated_at": 1_640_995_200,
    "results": [PROCESSED],
}


def upload_operation(registry: Mapping[str, Pipeline]) -> dict[str, object]:
    """The form of one file."""
    return _form(registry, FILE, {**BINARY, "description": "The photo."})


def batch_upload_operation(registry: Mapping[str, Pipeline], most: int) -> dict[str, object]:
    """The form of many files."""
    return _form(registry, FILES, {"type": "array", "items": BINARY, "maxItems": most, "description": "The photos."})


def _form(registry: Mapping[str, Pipeline], name: str, file: Mapping[str, object]) -> dict[str, object]:
    """A file field, and the pipeline's parameters."""
    fields = parameters_schema(registry[UPLOAD_PIPELINE])["properties"] if UPLOAD_PIPELINE in registry else {}
    schema = {"type": "object", "properties": {name: file, **fields}, "required": [name]}
    content = {MULTIPART: {"schema": schema, "encoding": styles(fields)}}
    return {"requestBody": {"required": True, "content": content}}
