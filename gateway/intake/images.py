"""The photo of a request: its bytes, or where it is; and what a body is that should be a photo and is not."""

import re
from typing import TypeAlias

from gateway.errors import Problem
from gateway.jobs.job import ImageKind, ImageReference
from gateway.text import read_base64
from vision.photo import PhotoError, inspect

Image: TypeAlias = bytes | ImageReference
MAX_URL_CHARACTERS = 2048

_WHERE = '"image", as {"type": "base64", "data": "…"}, as {"base64": "…"} or as base64 text'

HINT_BYTES = 512
"""Of a body's beginning: enough to tell what it is."""
_SIGNS = (
    (rb"--[\w'()+,./:=?-]{1,256}\r?\nContent-", "a multipart form; send it with its header `Content-Type: {form}`"),
    (rb"data:[\w/+.-]*[;,]", 'a data: URL; JSON takes it as "image", or send the file\'s bytes'),
    (rb"(https?|s3)://", 'a URL; send it as "url" or "s3"'),
    (rb"[{\[]\s*[\"\]{}\d\[-]", "JSON; send it with `Content-Type: application/json`"),
    (rb"<(!doctype|html|head|body)", "a web page, as a server sends that wants a login"),
    (rb"<\?xml|<Error>|<svg", "XML"),
    (
        rb"(/9j/|iVBORw0KGgo|UklGR|R0lGOD|Qk[0-9])[\w+/\s-]*={0,2}\s*$",
        'base64; JSON takes it as "image", or send the file\'s bytes',
    ),
    (rb"b(['\"]).*", "how Python shows bytes; send the bytes themselves"),
    (
        rb"[\w.%+-]+=[^\r\n]*&|[\w.%+-]+=[\w.%+-]*$",
        "a form of `name=value` pairs; send {form} (curl: -F in the place of -d)",
    ),
    (
        rb"@?[\w ./~-]+\.(jpe?g|png|webp|heic|avif|tiff?|gif|bmp)\s*$",
        "a file's name; send its bytes (curl: -F image=@FILE)",
    ),
    (rb"version https://git-lfs", "a pointer of Git LFS"),
)
_FORM = "multipart/form-data; boundary=…"
_PATTERNS = tuple((re.compile(rb"\s*" + sign, re.IGNORECASE | re.DOTALL), said) for sign, said in _SIGNS)
_PHOTO = "a photo ({}); send it with its own Content-Type"
_BINARY = (
    (b"\xff\xd8\xff", _PHOTO.format("JPEG")),
    (b"\x89PNG", _PHOTO.format("PNG")),
    (b"RIFF", _PHOTO.format("WebP")),
    (b"GIF8", _PHOTO.format("GIF")),
    (b"\x1f\x8b", "gzip; say so by `Content-Encoding: gzip`"),
)


def missing_image(where: str) -> Problem:
    """The problem of a request without a photo."""
    return Problem("missing_image", f"Send the photo in {where}.")


def json_image(value: object) -> Image:
    """The photo that the JSON member `image` holds or names; a location is not checked yet.

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
    """The media type of a photo that the pipelines take. Raises Problem with a PhotoError's code."""
    try:
        return f"image/{inspect(data, max_pixels=max_pixels).format}"
    except PhotoError as error:
        raise Problem(error.code, error.detail + content_hint(data)) from error


def url_image(location: str) -> Image:
    """The photo in a `data:` URL, or the place that another URL names."""
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


def content_hint(data: bytes) -> str:
    """`; it is …` and what would be right, for an error's text, where data that should be a photo are well known."""
    start = data[:HINT_BYTES]
    said = next((said for sign, said in _PATTERNS if sign.match(start)), "")
    return f"; it is {said.format(form=_FORM)}" if said else ""


def photo_hint(data: bytes) -> str:
    """The same where data that should be text are a photo, or compressed."""
    said = next((said for magic, said in _BINARY if data.startswith(magic)), "")
    return f"; it is {said}" if said else ""
