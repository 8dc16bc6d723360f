"""The forms of `POST /upload` and `POST /batch-upload`, as the blur pipeline takes them."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PureWindowsPath

from gateway.intake.images import check_photo
from gateway.intake.job_request import JobRequest
from gateway.intake.parts import Part, PartParser
from gateway.intake.submission import gather
from gateway.jobs.objects import UPLOAD_PIPELINE, upload_source
from gateway.pipelines.parameters import parameters_json
from gateway.pipelines.pipeline import Pipeline
from gateway.pipelines.registry import unknown_pipeline
from gateway.problems import Problem
from gateway.settings import Settings

FILE, FILES = "file", "files"
_NAME_CHARACTERS = 255
_UNNAMED = "image"


@dataclass(frozen=True)
class Upload:
    """One file, `size` in bytes, and the job that it asks for."""

    file_name: str
    size: int
    wanted: JobRequest


def upload_of(body: bytes, content_type: str, registry: Mapping[str, Pipeline], settings: Settings) -> Upload:
    """The one file of a form. Raises Problem."""
    parser = PartParser(content_type, (FILE,))
    parts = parser.feed(body)
    parser.finish()
    files = [part for part in parts if part.name == FILE]
    if len(files) != 1:
        raise Problem("invalid_parameters", f"{FILE}: send one file in this field; there are {len(files)}")
    (file,) = files
    photo = file.data
    check_photo(photo, settings.max_pixels)
    name = upload_name(file)
    wanted = JobRequest(
        pipeline=UPLOAD_PIPELINE,
        parameters=upload_parameters(parts, registry),
        image=photo,
        user_id="",
        request_id=uuid.uuid4().hex,
        source=upload_source(name),
    )
    return Upload(name, len(photo), wanted)


def upload_parameters(parts: Iterable[Part], registry: Mapping[str, Pipeline]) -> str:
    """The pipeline's parameters among the fields, as a JSON object; other fields are passed over.

    Raises Problem `invalid_parameters`, `pipeline_not_found`.
    """
    if UPLOAD_PIPELINE not in registry:
        raise unknown_pipeline(registry, UPLOAD_PIPELINE)
    pipeline = registry[UPLOAD_PIPELINE]
    known = pipeline.parameters.model_fields
    fields = gather((part.name, part.data.decode("utf-8", "replace")) for part in parts if part.name in known)
    return parameters_json(pipeline, fields).decode()


def upload_name(part: Part) -> str:
    """The name of a part's file without its folders, as any log line, column and page can hold it; never . or .."""
    name = "".join(filter(str.isprintable, PureWindowsPath(part.file_name).name))[:_NAME_CHARACTERS]
    return name if name.strip(". ") else _UNNAMED
