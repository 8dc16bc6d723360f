"""The fetcher against real servers, good, broken and hostile."""

import asyncio
import gzip
import zlib
from collections.abc import Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from gateway.errors import Problem
from gateway.fetching.fetcher import open_fetcher
from gateway.settings import Settings
from tests.names import Names
from tests.stack import free_ports
from tests.web import Answer, Asked, Web, raw, reply, serving, silence

gzipped = partial(gzip.compress, mtime=0)
"""The same bytes whenever the tests are collected: they are in their names."""

LOOPBACK = (ip_network("127.0.0.0/8"),)
PHOTO = bytes(range(256)) * 8
AT_MOST = 4096
PATIENT_S, IMPATIENT_S = 30.0, 0.3


def settings(timeout_s: float = PATIENT_S) -> Settings:
    return Settings(allowed_networks=LOOPBACK, max_body_bytes=AT_MOST, fetch_timeout_s=timeout_s)


async def fetched(url: str, names: Names | None = None) -> bytes:
    async with open_fetcher(settings(), (names or Names()).resolve) as fetcher:
        return await fetcher.fetch(url)


async def problem_of(answer: Answer, timeout_s: float = PATIENT_S) -> Problem:
    async with serving(answer) as web, open_fetcher(settings(timeout_s), Names().resolve) as fetcher:
        with pytest.raises(Problem) as caught:
            await fetcher.fetch(web.url("/a.jpg?secret=1"))
    assert "127.0.0.1" in caught.value.detail
    assert "secret" not in caught.value.detail
    return caught.value


async def endless(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"100\r\n" + bytes(256) + b"\r\n")
        await writer.drain()


async def trickle(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(IMPATIENT_S / 10)


async def announcing(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    """A length, and never the body: only a client that reads the length can say what is wrong."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {AT_MOST + 1}\r\n\r\n".encode())
    await asyncio.Event().wait()


async def test_a_photo_is_fetched_with_only_the_needed_headers() -> None:
    names = Names(photos_test="127.0.0.1")
    async with serving(reply(200, PHOTO)) as web:
        assert await fetched(web.url("/a%20b.jpg?c=%2F#d", "photos.test"), names) == PHOTO
    (asked,) = web.asked
    assert (asked.method, asked.target) == ("GET", "/a%20b.jpg?c=%2F")
    assert asked.headers["host"] == f"photos.test:{web.port}"
    assert asked.headers["accept-encoding"] == "identity, gzip;q=0.5, deflate;q=0.5"
    assert not {"cookie", "authorization", "referer"} & set(asked.headers)
    assert names.asked == ["photos.test"]


@pytest.mark.parametrize("framing", ["chunked", "closed"])
async def test_a_body_without_a_length_is_read_to_its_end(framing: str) -> None:
    head = {"chunked": b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "closed": b"\r\nabcde"}
    async with serving(raw(b"HTTP/1.1 200 OK\r\n" + head[framing])) as web:
        assert await fetched(web.url()) == b"abcde"


async def test_a_body_of_just_the_limit_is_accepted() -> None:
    async with serving(reply(200, bytes(AT_MOST))) as web:
        assert len(await fetched(web.url())) == AT_MOST


@pytest.mark.parametrize("answer", [announcing, endless, raw(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(AT_MOST + 1))])
async def test_a_larger_body_is_refused(answer: Answer) -> None:
    problem = await problem_of(answer)
    assert problem.code == "body_too_large"
    assert str(AT_MOST) in problem.detail


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        *((gzipped(PHOTO), coding) for coding in ("gzip", "x-gzip", "GZIP", "identity, gzip", "gzip,")),
        (gzipped(PHOTO[:7]) + gzipped(PHOTO[7:]) + bytes(512), "gzip"),
        (zlib.compress(PHOTO), "deflate"),
        (zlib.compress(PHOTO, wbits=-15), "deflate"),
        *((PHOTO, coding) for coding in ("identity", "", "aws-chunked", "base64", "utf-8", "none, binary")),
    ],
)
async def test_an_accepted_content_coding_is_decoded(body: bytes, coding: str) -> None:
    async with serving(reply(200, body, Content_Encoding=coding)) as web:
        assert await fetched(web.url()) == PHOTO


@pytest.mark.parametrize(
    ("body", "coding", "code", "said"),
    [
        (gzipped(bytes(10_000_000))[:AT_MOST], "gzip", "body_too_large", str(AT_MOST)),
        (zlib.compress(bytes(AT_MOST + 1)), "deflate", "body_too_large", str(AT_MOST)),
        (gzipped(bytes(3000)) + gzipped(bytes(3000)), "gzip", "body_too_large", str(AT_MOST)),
        (b"x", "br", "url_failed", "br-encoded; accepted are gzip, deflate and none"),
        (b"x", "zstd", "url_failed", "zstd-encoded"),
        (gzipped(gzipped(PHOTO)), "gzip, gzip", "url_failed", "encoded 2 times (gzip, gzip)"),
        (PHOTO, "gzip", "url_failed", "says gzip. The gzip stream is damaged"),
        (zlib.compress(PHOTO), "gzip", "url_failed", "says gzip. The gzip stream is damaged"),
        (PHOTO, "deflate", "url_failed", "says deflate. The deflate stream is damaged"),
        (gzipped(PHOTO)[:-9], "gzip", "url_failed", "ends early"),
        (gzipped(PHOTO) + b"more", "gzip", "url_failed", "says gzip. The gzip stream is damaged"),
    ],
)
async def test_a_content_coding_that_cannot_be_decoded_is_named(body: bytes, coding: str, code: str, said: str) -> None:
    problem = await problem_of(reply(200, body, Content_Encoding=coding))
    assert problem.code == code
    assert said in problem.detail
    assert not problem.transient


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416, 304, 300])
async def test_a_lasting_refusal_is_not_tried_again(status: int) -> None:
    problem = await problem_of(reply(status))
    assert problem.code == "url_failed"
    assert not problem.transient
    assert str(status) in problem.detail


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_server_error_is_a_transient_failure(status: int) -> None:
    problem = await problem_of(reply(status))
    assert problem.code == "url_unreachable"
    assert problem.transient


@pytest.mark.parametrize(
    "answer",
    [
        raw(b"220 ftp.example ready\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nX: " + bytes(200_000)),
    ],
    ids=["ftp", "length", "chunk", "head"],
)
async def test_an_answer_that_is_not_plain_http_fails(answer: Answer) -> None:
    assert (await problem_of(answer)).code == "url_failed"


@pytest.mark.parametrize(
    "answer",
    [raw(b""), raw(b"HTTP/1.1 200"), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_connection_that_ends_early_is_retried(answer: Answer) -> None:
    assert (await problem_of(answer)).code == "url_unreachable"


@pytest.mark.parametrize("answer", [silence, trickle])
async def test_the_time_limit_covers_the_whole_request(answer: Answer) -> None:
    problem = await problem_of(answer, IMPATIENT_S)
    assert problem.code == "url_unreachable"
    assert f"{IMPATIENT_S:g} s" in problem.detail


async def test_the_time_limit_holds_for_looking_up_the_name() -> None:
    async def never(_name: str) -> Sequence[IPv4Address | IPv6Address]:
        await asyncio.Event().wait()
        return ()

    async with open_fetcher(settings(IMPATIENT_S), never) as fetcher:
        with pytest.raises(Problem) as caught:
            await fetcher.fetch("http://photos.test/")
    assert caught.value.code == "url_unreachable"


async def test_a_refused_connection_is_a_transient_failure() -> None:
    (port,) = free_ports(1)
    with pytest.raises(Problem) as caught:
        await fetched(f"http://127.0.0.1:{port}/")
    assert caught.value.code == "url_unreachable"


async def redirecting(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """/3 redirects to 2, and so on until /0, the photo; /ever to itself."""
    left = asked.target.removeprefix("/")
    if left == "0":
        await reply(200, PHOTO)(asked, writer)
    else:
        location = "/ever" if left == "ever" else str(int(left) - 1)
        await reply(302, b"not the photo", Location=location, Set_Cookie="a=b; Path=/")(asked, writer)


async def test_five_redirects_are_followed_and_no_cookies_kept() -> None:
    async with serving(redirecting) as web:
        assert await fetched(web.url("/5")) == PHOTO
    assert [asked.target for asked in web.asked] == ["/5", "/4", "/3", "/2", "/1", "/0"]
    assert not any("cookie" in asked.headers for asked in web.asked)


@pytest.mark.parametrize("path", ["/6", "/ever"])
async def test_a_sixth_redirect_is_not_followed(path: str) -> None:
    async with serving(redirecting) as web:
        with pytest.raises(Problem) as caught:
            await fetched(web.url(path))
    assert caught.value.code == "url_failed"
    assert len(web.asked) == 6


async def test_a_failure_behind_a_redirect_names_both_ends() -> None:
    async with serving(reply(404)) as end, serving(reply(301, Location=end.url("/gone.jpg"))) as start:
        with pytest.raises(Problem) as caught:
            await fetched(start.url("/short"))
    assert start.url("/short") in caught.value.detail
    assert end.url("/gone.jpg") in caught.value.detail


async def test_the_host_of_each_redirect_is_looked_up_once() -> None:
    names = Names(one_test="127.0.0.1", two_test="127.0.0.1")

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        host = asked.headers["host"]
        here = reply(200, PHOTO) if host.startswith("two") else reply(307, Location=f"//{host.replace('one', 'two')}/")
        await here(asked, writer)

    async with serving(answer) as web:
        assert await fetched(web.url("/", "one.test"), names) == PHOTO
    assert names.asked == ["one.test", "two.test"]


async def test_a_name_that_changes_its_address_after_the_check_gains_nothing() -> None:
    names = Names(rebinding_test=["127.0.0.2", "127.0.0.1"])
    only = Settings(allowed_networks=(ip_network("127.0.0.2/32"),))
    async with (
        serving(reply(200, b"secret")) as inside,
        serving(reply(200, PHOTO), "127.0.0.2", inside.port),
        open_fetcher(only, names.resolve) as fetcher,
    ):
        assert await fetcher.fetch(inside.url("/", "rebinding.test")) == PHOTO
        assert names.asked == ["rebinding.test"]
        with pytest.raises(Problem) as caught:
            await fetcher.fetch(inside.url("/", "rebinding.test"))
        assert caught.value.code == "url_not_allowed"
    assert inside.connections == 0


async def test_an_address_that_does_not_answer_is_passed_over() -> None:
    async with serving(reply(200, PHOTO), "127.0.0.2") as web:
        assert await fetched(web.url("/", "two.test"), Names(two_test="127.0.0.4 127.0.0.3 127.0.0.2")) == PHOTO


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(reply(200, b"by proxy")) as proxy, serving(reply(200, PHOTO)) as web:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url())
        assert await fetched(web.url("/", "photos.test"), Names(photos_test="127.0.0.1")) == PHOTO
    assert proxy.connections == 0


async def test_the_systems_resolver_is_the_default() -> None:
    both = (*LOOPBACK, ip_network("::1/128"))
    async with serving(reply(200, PHOTO)) as web, open_fetcher(Settings(allowed_networks=both)) as fetcher:
        assert await fetcher.fetch(web.url("/", "localhost")) == PHOTO
        with pytest.raises(Problem) as caught:
            await fetcher.fetch("http://no-such-name.invalid/")
    assert caught.value.code == "url_unreachable"


async def test_many_photos_at_once_do_not_wait_for_each_other() -> None:
    together = asyncio.Event()
    waiting: list[Web] = []

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        waiting.append(web)
        if len(waiting) == 120:
            together.set()
        await together.wait()
        await reply(200, PHOTO)(asked, writer)

    async with serving(answer) as web, open_fetcher(settings(), Names().resolve) as fetcher:
        photos = await asyncio.gather(*(fetcher.fetch(web.url(f"/{number}")) for number in range(120)))
    assert set(photos) == {PHOTO}
