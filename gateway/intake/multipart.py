"""multipart/form-data, parsed in memory."""

from collections.abc import Container, Iterable

from gateway.errors import Problem
from gateway.intake.images import Image, missing_image, s3_image, url_image
from gateway.intake.parts import PartParser
from gateway.intake.submission import FILE_FIELDS, IMAGE_FIELDS, Submission, gather, text_or_base64

IMAGE_PARTS = frozenset({*IMAGE_FIELDS, "url", "s3"})


def parse_multipart(chunks: Iterable[bytes], content_type: str, photos: Container[str]) -> list[tuple[str, bytes]]:
    """Names and contents of the parts, in order; where the body is cut into chunks makes no difference.

    `photos` are the names of those that may be large. Raises Problem `invalid_multipart`, `field_too_large`.
    """
    parser = PartParser(content_type, photos)
    parts = [part for chunk in chunks for part in parser.feed(chunk)]
    parser.finish()
    return [(part.name, part.data) for part in parts]


def glance_at_form(content_type: str, photos: Container[str], start: bytes) -> None:
    """Raise Problem `field_too_large`, `invalid_multipart` for what a form's beginning shows already."""
    PartParser(content_type, photos).feed(start)


def multipart_submission(body: bytes, content_type: str) -> Submission:
    """The photo of the one image field, or where the fields `url` or `s3` say it is, and the rest as text.

    Files of FILE_FIELDS that are no text come as base64.
    Raises Problem `invalid_multipart`, `field_too_large`, `missing_image`, `invalid_parameters`.
    """
    parts = parse_multipart((body,), content_type, IMAGE_PARTS)
    images = [image for name, content in parts if (image := _image(name, content)) is not None]
    if not images:
        raise missing_image("the form field 'image'")
    if len(images) > 1:
        raise Problem("invalid_parameters", f"image: {len(images)} photos; send one in a request")
    texts = ((name, _text(name, value)) for name, value in parts if name not in IMAGE_PARTS)
    return Submission(images[0], gather(texts))


def _image(name: str, content: bytes) -> Image | None:
    """None for a field that is not about the photo, and for a location that was left empty."""
    if name in IMAGE_FIELDS:
        return content
    if name == "url" and content:
        return url_image(_text(name, content))
    if name == "s3" and content:
        return s3_image(_text(name, content))
    return None


def _text(name: str, value: bytes) -> str:
    if name in FILE_FIELDS:
        return text_or_base64(value)
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Problem("invalid_parameters", f"{name[:60]!r}: not UTF-8 text") from error
