"""What schemathesis cannot know: photos, and what is there to be asked for. Its own process imports this."""

import base64
import json
import os
import zlib
from pathlib import Path

import schemathesis
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection

from tests.integration.gateway.described.things import Things

THINGS = Things(**json.loads(Path(os.environ["THINGS"]).read_text()))
PHOTOS = [base64.b64decode(photo) for photo in THINGS.photos]
KINDS = ("image/jpeg", "image/png")
FORM, ANY_IMAGE = "multipart/form-data", "image/*"
FILES = {"image", "file", "user_image"}

for kind in KINDS:
    schemathesis.openapi.media_type(kind, st.sampled_from(PHOTOS))


@schemathesis.hook
def before_load_schema(context, raw_schema) -> None:  # noqa: ARG001 its interface
    """Files of forms are photos, and so are bodies that are images."""
    for operation in (operation for path in raw_schema["paths"].values() for operation in path.values()):
        content = operation.get("requestBody", {}).get("content", {})
        if form := content.get(FORM):
            for name in FILES & form["schema"]["properties"].keys():
                form.setdefault("encoding", {})[name] = {"contentType": ", ".join(KINDS)}
        if image := content.pop(ANY_IMAGE, None):
            content.update(dict.fromkeys(KINDS, image))


@schemathesis.hook
def map_body(context, body):  # noqa: ARG001 its interface
    """Most base64 texts are photos, and so are most lists of files."""
    if isinstance(body, dict) and _number(body) % 4:
        if type(body.get("image")) is str:
            return {**body, "image": base64.b64encode(_photo(body)).decode()}
        if isinstance(body.get("files"), list):
            return {**body, "files": [_photo([body, index]) for index in range(len(body["files"]))]}
    return body


@schemathesis.hook
def before_call(context, case, kwargs) -> None:  # noqa: ARG001 its interface
    """Most ask for what is there."""
    there, number = THINGS.there.get(case.operation.label, []), _number([case.path_parameters, case.headers])
    if there and number % 4:
        case.path_parameters = there[number // 4 % len(there)]


@schemathesis.check
def invalid_data_is_refused(ctx, response, case) -> bool | None:
    """All is text in a form: there a number is no mistake."""
    return None if case.media_type == FORM else negative_data_rejection(ctx, response, case)


def _photo(value: object) -> bytes:
    return PHOTOS[_number(value) // 4 % len(PHOTOS)]


def _number(value: object) -> int:
    """The same for the same value in every process."""
    return zlib.crc32(repr(value).encode("utf-8", "surrogatepass"))
