"""Bodies that were compressed on their way, at every address that takes one, and at the one that does not."""

import base64
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest
import pytest_asyncio

from gateway.settings import Settings
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.conftest import COMMON
from tests.integration.gateway.jobs.house import PHOTO, House, open_house
from tests.integration.gateway.jobs.slow import Connection, chunk

gzipped = partial(gzip.compress, mtime=0)
"""The same bytes whenever the tests are collected: they are in their names."""

MIB = 1024 * 1024
FORM = "multipart/form-data; boundary=x"
SETTINGS = {**COMMON, "db_use_database": False, "minio_endpoint": "", "max_body_bytes": MIB, "queue_max_size": 1000}


def form(field: str, **others: str) -> bytes:
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{others[name]}\r\n' for name in others]
    head = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="a.png"\r\n\r\n'
    return "".join(parts).encode() + head.encode() + PHOTO + b"\r\n--x--\r\n"


JSON = json.dumps({"image": base64.b64encode(PHOTO).decode()}).encode()
BODIES = {
    "/v1/jobs": ("image/png", PHOTO, 202),
    "/v1/jobs?pipeline=detect": ("application/json", JSON, 202),
    "/v1/run/detect": ("application/json", JSON, 503),  # the photo was read; there is no Triton
    "/api/v1/frontal/crop/submit": ("application/json", JSON, 200),
    "/process": (FORM, form("user_image", user_id="u", job_id="j"), 200),
    "/upload": (FORM, form("file"), 200),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house() -> AsyncIterator[House]:
    async with open_house(Settings.model_validate(SETTINGS)) as house:
        yield house
        assert house.services.admission.bodies.taken == 0


async def post(house: House, path: str, body: bytes, encoding: str) -> httpx.Response:
    headers = {"Content-Type": BODIES[path][0], "Content-Encoding": encoding}
    return await house.client.post(path, content=body, headers=headers)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzipped), ("deflate", zlib.compress)])
async def test_a_compressed_body_is_read(house: House, path: str, encoding: str, compress) -> None:
    _, body, status = BODIES[path]
    assert (await post(house, path, compress(body), encoding)).status_code == status


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        (gzipped(bytes(MIB + 1)), "gzip", "body_too_large"),
        (gzipped(gzipped(bytes(64 * MIB))), "gzip", None),
        (b"no gzip", "gzip", "invalid_encoding"),
        (PHOTO, "br", "encoding_unsupported"),
        (gzipped(gzipped(PHOTO)), "gzip, gzip", "encoding_unsupported"),
    ],
    ids=["bomb", "bomb in a bomb", "garbage", "brotli", "twice"],
)
async def test_an_undecodable_body_is_refused(
    house: House, path: str, body: bytes, encoding: str, code: str | None
) -> None:
    answer = await post(house, path, body, encoding)
    if code is None:
        assert 400 <= answer.status_code < 500
    else:
        assert_problem(answer, code)
    if code == "encoding_unsupported":
        assert answer.headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("path", BODIES)
async def test_a_compressed_body_that_ends_early_is_refused(house: House, path: str) -> None:
    assert_problem(await post(house, path, gzipped(BODIES[path][1])[:-1], "gzip"), "invalid_encoding")


async def test_a_chunked_decompression_bomb_is_cut_off_at_the_limit(house: House) -> None:
    bomb = gzipped(bytes(512 * MIB), 1)
    async with await Connection.open(house) as connection:
        connection.head("/v1/jobs", "Content-Type: image/png", "Content-Encoding: gzip", "Transfer-Encoding: chunked")
        connection.send(chunk(bomb[:100_000]))
        assert_problem(await connection.answer(), "body_too_large")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, x-gzip"])
async def test_a_batch_that_was_compressed_is_refused_before_any_of_it_came(house: House, encoding: str) -> None:
    async with await Connection.open(house) as connection:
        fields = (f"Content-Type: {FORM}", f"Content-Encoding: {encoding}", "Content-Length: 1000")
        connection.head("/batch-upload", *fields)
        answer = await connection.answer(5)
    assert_problem(answer, "encoding_unsupported")
    assert answer.headers["accept-encoding"] == "identity"


async def test_a_batch_of_identity_is_read(house: House) -> None:
    headers = {"Content-Type": FORM, "Content-Encoding": "identity"}
    assert (await house.client.post("/batch-upload", content=form("files"), headers=headers)).status_code == 200
