"""The photo of a request: its bytes, or where it is."""

from typing import TypeAlias

from gateway.errors import Problem
from gateway.intake.disguises import disguise
from gateway.intake.job_fields import MAX_URL_CHARACTERS
from gateway.jobs.job import ImageKind, ImageReference
from gateway.text import read_base64
from vision.photo import PhotoError, inspect

Image: TypeAlias = bytes | ImageReference

_WHERE = '"image", as {"type": "base64", "data": "…"}, as {"base64": "…"} or as base64 text'


def missing_image(where: str) -> Problem:
    """The problem of a request without a photo."""
    return Problem("missing_image", f"Send the photo in {where}.")


def json_image(value: object) -> Image:
    """The photo that a JSON member `image` holds or names; a location is not checked yet.

    Raises Problem `missing_image`, `invalid_base64`, `invalid_parameters`.
    """
    match value:
        case str(text) | {"base64": str(text)} | {"type": "base64", "data": str(text)}:
            return _decode(text)
        case {"url": str(location)} | {"type": "url", "data": str(location)}:
            return url_image(location)
        case {"s3": str(location)} | {"type": "s3", "data": str(location)}:
            return s3_image(location)
        case {"type": str(kind)} if kind not in ("base64", "url", "s3"):
            raise Problem("invalid_parameters", f"image: type {kind[:20]!r} is not accepted; accepted: base64, url, s3")
    raise missing_image(_WHERE)


def inline_photo(image: Image) -> bytes:
    """The photo itself. Raises Problem `invalid_parameters` where only its location was given."""
    if isinstance(image, ImageReference):
        raise Problem("invalid_parameters", f"image: type {image.kind!r} is not accepted here; accepted: base64")
    return image


def check_photo(data: bytes, max_pixels: int) -> str:
    """The media type of a photo that can be worked on. Raises Problem with a PhotoError's code."""
    try:
        return f"image/{inspect(data, max_pixels=max_pixels).format}"
    except PhotoError as error:
        raise Problem(error.code, error.detail + disguise(data)) from error


def url_image(location: str) -> Image:
    """A `data:` URL holds the photo itself."""
    return _decode(location) if location.lstrip()[:5].lower() == "data:" else _reference("url", location)


def s3_image(location: str) -> ImageReference:
    """A place in S3, which is not checked yet. Raises Problem `invalid_parameters`."""
    return _reference("s3", location)


def _reference(kind: ImageKind, location: str) -> ImageReference:
    if len(location) > MAX_URL_CHARACTERS:
        wrong = f"image: a location of {len(location)} characters; at most {MAX_URL_CHARACTERS} are accepted"
        raise Problem("invalid_parameters", wrong)
    return ImageReference(kind, location)


def _decode(text: str) -> bytes:
    try:
        return read_base64(text)
    except ValueError as error:
        raise Problem("invalid_base64", f"{error}") from error
