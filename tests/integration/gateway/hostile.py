"""Inputs that nobody means well with, and the code that answers each."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.integration.gateway import photos

BOUNDARY = "hostile-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
GOOD = photos.encode(photos.gradient(), "JPEG")
TEXTS = ("mask_types", "style", "frame", "person", "include")


@dataclass(frozen=True)
class Case:
    """A request to `POST /v1/run/body_masks` and the code it must be answered with."""

    name: str
    content: bytes
    content_type: str
    code: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def form(*parts: tuple[str, bytes], filename: str | None = None) -> bytes:
    """A multipart body."""
    named = f'; filename="{filename}"' if filename else ""
    encoded = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in parts
    )
    return b"".join(encoded) + f"--{BOUNDARY}--\r\n".encode()


def everywhere(name: str, photo: bytes, code: str) -> Iterator[Case]:
    """The same photo raw, in a form and in JSON."""
    text = base64.b64encode(photo).decode()
    yield Case(f"{name}-form", form(("image", photo), filename="photo.jpg"), FORM, code)
    yield Case(f"{name}-json", json.dumps({"image": {"base64": text}}).encode(), "application/json", code)
    if photo:
        yield Case(f"{name}-raw", photo, "image/jpeg", code)


def broken_files() -> Iterator[Case]:
    """Files cut off, of other kinds, of impossible sizes, animated."""
    yield from everywhere("empty", b"", "image_empty")
    for kind in photos.FORMATS:
        whole = photos.encode(photos.gradient(), kind)
        for tenth in range(1, 10):
            yield from everywhere(f"{kind}-{tenth}0%", whole[: len(whole) * tenth // 10], "image_truncated")
    for kind in ("PNG", "WEBP", "GIF"):
        yield from everywhere(f"animated-{kind}", photos.animation(kind), "image_animated")
    yield from everywhere("tiff", b"II*\0\x08\0\0\0" + b"\0" * 60, "image_corrupt")
    yield from everywhere("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 60, "image_corrupt")
    torn = photos.encode(photos.noise(), "JPEG")
    yield from everywhere("torn", torn[: len(torn) // 2] + b"\xff\xd9", "image_corrupt")
    for name, data in foreign_files().items():
        yield from everywhere(name, data, "image_unsupported")
    for name, make in (("png", photos.png_header), ("jpeg", photos.jpeg_header), ("bmp", photos.bmp_header)):
        yield from everywhere(f"{name}-40000x40000", make(40_000, 40_000), "image_too_large")
    yield from everywhere("webp-40000x40000", photos.webp_header(40_000, 40_000), "image_too_large")
    for kind in photos.FORMATS:
        yield from everywhere(f"{kind}-1x1", photos.encode(photos.flat(90, 1, 1), kind), "image_too_small")
    yield from everywhere("png-15x400", photos.encode(photos.flat(90, 15, 400), "PNG"), "image_too_small")


def foreign_files() -> dict[str, bytes]:
    """Beginnings of files that are no photo of an accepted kind."""
    return {
        "text": b"this is not a photo, it only says so",
        "html": b"<!doctype html><img src=x onerror=alert(1)>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>',
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "zip": b"PK\x03\x04" + b"\0" * 60,
        "gzip": b"\x1f\x8b\x08" + b"\0" * 60,
        "elf": b"\x7fELF\x02\x01\x01" + b"\0" * 60,
        "mp4": b"\0\0\0\x18ftypisom\0\0\0\0isomavc1" + b"\0" * 60,
        "zeros": b"\0" * 4096,
        "noise": photos.noise(64, 64, 7).tobytes()[1:],
    }


def empty_scenes() -> Iterator[Case]:
    """Good files with nobody on them, also under wrong names."""
    flats = {f"grey-{value}": photos.flat(value) for value in (0, 128, 255)}
    for name, pixels in {"noise": photos.noise(), "gradient": photos.gradient(), **flats}.items():
        for kind in photos.FORMATS:
            data = photos.encode(pixels, kind)
            yield Case(f"nobody-{name}-{kind}", data, photos.MEDIA_TYPES[kind], "no_person")
    png = photos.encode(photos.gradient(), "PNG")
    yield Case("png-called-jpg", form(("image", png), filename="x.jpg"), FORM, "no_person")
    yield Case("png-called-exe", form(("image", png), filename="../../x.exe"), FORM, "no_person")
    yield Case("png-as-octets", png, "application/octet-stream", "no_person")
    yield Case("png-16x16", photos.encode(photos.flat(90, 16, 16), "PNG"), "image/png", "no_person")
    yield Case("strip", photos.encode(photos.noise(3000, 16), "PNG"), "image/png", "no_person")


def wrong_parameters() -> Iterator[Case]:
    """Parameters unknown, of wrong types, too many, in both places."""
    for name in TEXTS:
        for number, value in enumerate(("bogus", "GARMENT", "' OR 1=1", "\0", "x" * 10_000)):
            parts = (("image", GOOD), (name, value.encode()))
            yield Case(f"{name}-{number}-form", form(*parts), FORM, "invalid_parameters")
        for number, member in enumerate((7, True, {"a": 1}, [["x"]], [None], 1.5)):
            yield json_case(f"{name}-{number}-json", {"image": text_of(GOOD), name: member}, "invalid_parameters")
    yield Case("unknown-form", form(("image", GOOD), ("colour", b"red")), FORM, "invalid_parameters")
    yield Case("unknown-query", GOOD, "image/jpeg", "invalid_parameters", query="colour=red")
    yield Case("both", form(("image", GOOD), ("style", b"labels")), FORM, "invalid_parameters", query="style=labels")
    yield Case("twice", form(("image", GOOD), ("style", b"labels"), ("style", b"labels")), FORM, "invalid_parameters")
    yield Case("two-photos", form(("image", GOOD), ("image", GOOD)), FORM, "invalid_parameters")
    yield Case("not-utf8", form(("image", GOOD), ("gender", b"\xff\xfe")), FORM, "invalid_parameters")
    yield Case("long-gender", form(("image", GOOD), ("gender", b"x" * 33)), FORM, "invalid_parameters")
    yield Case("many-fields", GOOD, "image/jpeg", "invalid_parameters", query="a=1&" * 80)
    yield json_case("many-types", {"image": text_of(GOOD), "mask_types": ["dress"] * 99_999}, "invalid_parameters")
    many = {"image": text_of(GOOD), **{f"field{number}": 1 for number in range(10_000)}}
    yield json_case("many-members", many, "invalid_parameters")
    yield json_case("url", {"image": {"type": "url", "data": "http://127.0.0.1/"}}, "invalid_parameters")


def wrong_json() -> Iterator[Case]:
    """JSON bodies that are not JSON, or hold no photo."""
    bodies = (
        *(b"{", b"nope", b"\xff\xfe{", b"[" * 50_000, b"[]", b"7", b'"x"', b"null", b"{'a': 1}"),
        *(b'{"image": "\\ud800"}', b'{"image": "", "image": ""}', b'{"priority": NaN}', b'{"priority": 1e999}'),
        *(b'{"priority": ' + b"9" * 5000 + b"}", b"[" + b"0," * 300_000 + b"0]", b'"{\\"image\\": 1}"', GOOD),
    )
    for number, body in enumerate(bodies):
        yield Case(f"json-{number}", body, "application/json", "invalid_json")
    for number, image in enumerate((None, 7, True, [], {}, {"data": "x"}, {"base64": 7}, {"type": "base64"}, ["x"])):
        yield json_case(f"photo-{number}", {"image": image}, "missing_image")
    yield json_case("no-photo", {"style": "labels"}, "missing_image")
    for number, text in enumerate(("a", "ab!d", "éé==", "data:image/png;base64,@", "====", text_of(GOOD)[:-3])):
        yield json_case(f"base64-{number}", {"image": text}, "invalid_base64")
    yield json_case("data-url-of-nothing", {"image": "data:image/png;base64,"}, "image_empty")


def wrong_forms() -> Iterator[Case]:
    """Multipart bodies that are broken, and bodies of other types."""
    whole = form(("image", GOOD))
    for name, body in {
        "no-boundary-inside": b"nothing of the kind",
        "not-closed": whole[:-6],
        "cut": whole[: len(whole) // 2],
        "no-name": f"--{BOUNDARY}\r\nContent-Type: image/png\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        "many-parts": form(*(("a", b"") for _ in range(1000))),
        "huge-header": f"--{BOUNDARY}\r\nX: ".encode() + b"y" * 100_000 + b"\r\n\r\nx\r\n",
        "bad-header": f"--{BOUNDARY}\r\n\0\0: x\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
    }.items():
        yield Case(f"form-{name}", body, FORM, "invalid_multipart")
    yield Case("form-no-boundary", whole, "multipart/form-data", "invalid_multipart")
    yield Case("form-long-boundary", whole, f"multipart/form-data; boundary={'b' * 300}", "invalid_multipart")
    yield Case("form-no-photo", form(("style", b"labels")), FORM, "missing_image")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/mixed", "video/mp4", "x"):
        yield Case(f"type-{kind}", GOOD, kind, "unsupported_media_type")
    for kind in (*photos.MEDIA_TYPES.values(), "application/json", FORM):
        yield Case(f"no-body-{kind[:20]}", b"", kind, "body_empty")
    for accept in ("text/html", "image/gif", "application/xml;q=1, */*;q=0"):
        yield Case(f"accept-{accept}", GOOD, "image/jpeg", "not_acceptable", headers={"Accept": accept})


def json_case(name: str, document: dict[str, object], code: str) -> Case:
    """A JSON body."""
    return Case(name, json.dumps(document).encode(), "application/json", code)


def text_of(photo: bytes) -> str:
    """Base64."""
    return base64.b64encode(photo).decode()


def all_cases() -> list[Case]:
    """The whole table."""
    tables = (broken_files, empty_scenes, wrong_parameters, wrong_json, wrong_forms)
    return [case for table in tables for case in table()]
