"""What a body is instead of what it should be, from its first bytes; so that a message can name the mistake."""

import re

from python_multipart.multipart import parse_options_header

from gateway.errors import Problem

KEPT = 512
"""Bytes of a body's beginning that tell."""
_SHOWN = 70
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


def disguise(data: bytes) -> str:
    """`; it is …, and what would be right`, where the data are something well known that is no photo; else nothing."""
    start = data[:KEPT]
    said = next((said for sign, said in _PATTERNS if sign.match(start)), "")
    return f"; it is {said.format(form=_FORM)}" if said else ""


def disguised_photo(data: bytes) -> str:
    """The same of what should be text, but is a photo or compressed."""
    said = next((said for magic, said in _BINARY if data.startswith(magic)), "")
    return f"; it is {said}" if said else ""


def boundary_of(content_type: str) -> bytes:
    """What stands between the parts of a form. Raises Problem `invalid_multipart` where the header does not say it."""
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise Problem(
            "invalid_multipart",
            f"The header Content-Type names no boundary, as in `{_FORM}`; do not set this header: the client that "
            "writes the form does it.",
        )
    return boundary


def broken_form(start: bytes, boundary: bytes, error: str) -> Problem:
    """The problem of a form that cannot be read, from its first bytes and what its parser says."""
    opening = b"--" + boundary
    found = re.match(rb"\s*(--[^\r\n]{1,256})\r?\n", start)
    if start.lstrip().startswith(opening + b"\n"):
        detail = "Its lines end in LF; CR and LF (\\r\\n) are needed."
    elif start.lstrip().startswith(opening):
        detail = f"{error[:200]}."
    elif found:
        detail = f"It begins with {_shown(found[1])}, and the header Content-Type says --{_shown(boundary)}."
    else:
        said = disguised_photo(start) or disguise(start)
        detail = f"It does not begin with --{_shown(boundary)}, as the header Content-Type says{said}."
    return Problem("invalid_multipart", detail)


def _shown(text: bytes) -> str:
    return ascii(text[:_SHOWN].decode("latin-1"))[1:-1]
