"""What two readers could take for two things is refused; a body is never a request."""

import json

import pytest

from tests.echo import echoing, statuses

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OFFERS = {
    "java": b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    b"Upgrade: h2c\r\n",
    "curl": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n",
    "tls": b"Connection: upgrade\r\nUpgrade: TLS/1.0\r\n",
    "several": b"Upgrade: foo/2, h2c\r\nConnection: keep-alive, UPGRADE\r\nUpgrade: bar\r\n",
    "unannounced": b"Upgrade: websocket\r\n",
    "empty": b"Connection: Upgrade\r\nUpgrade:\r\n",
}


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


FRAMINGS = {
    "length": b"Content-Length: %d\r\n\r\n%s" % (len(HIDDEN), HIDDEN),
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n" + chunked(HIDDEN[:5], HIDDEN[5:]),
    "chunked, asked first": b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(HIDDEN),
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
async def test_an_offer_to_upgrade_is_passed_over_and_the_body_is_read(offer: bytes, framing: bytes) -> None:
    request = b"POST /first HTTP/1.1\r\nHost: x\r\n" + offer + framing
    cut = request.index(b"\r\n\r\n") + 4
    for parts in ((request + NEXT,), (request[:cut], request[cut:] + NEXT), (request, NEXT)):
        async with echoing() as served:
            received = await served.send(*parts)
        assert served.echo.seen == ["POST /first", "GET /next"]
        assert served.echo.bodies == [HIDDEN, b""]
        assert [status for status in statuses(received) if status != 100] == [200, 200]


REFUSED = {
    "a length and chunks": (400, b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    "chunks and a length": (400, b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    "two lengths": (400, b"Content-Length: 5\r\nContent-Length: 6\r\n"),
    "a signed length": (400, b"Content-Length: +5\r\n"),
    "a negative length": (400, b"Content-Length: -5\r\n"),
    "a length in hexadecimal": (400, b"Content-Length: 0x5\r\n"),
    "a length with a point": (400, b"Content-Length: 5.0\r\n"),
    "a length with underscores": (400, b"Content-Length: 1_0\r\n"),
    "a length in other digits": (400, "Content-Length: \N{ARABIC-INDIC DIGIT FIVE}\r\n".encode()),
    "an empty length": (400, b"Content-Length:\r\n"),
    "chunks twice": (501, b"Transfer-Encoding: chunked, chunked\r\n"),
    "chunks on two lines": (501, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    "chunks and identity": (501, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
    "compressed chunks": (501, b"Transfer-Encoding: gzip, chunked\r\n"),
    "chunks before another coding": (501, b"Transfer-Encoding: chunked, gzip\r\n"),
    "identity alone": (501, b"Transfer-Encoding: identity\r\n"),
    "no coding": (501, b"Transfer-Encoding:\r\n"),
    "quoted chunks": (501, b'Transfer-Encoding: "chunked"\r\n'),
    "chunks with a parameter": (501, b"Transfer-Encoding: chunked;q=1\r\n"),
    "chunks after a vertical tab": (400, b"Transfer-Encoding: \x0bchunked\r\n"),
    "a space before the colon": (400, b"Transfer-Encoding : chunked\r\n"),
    "a tab before the colon": (400, b"Content-Length\t: 5\r\n"),
    "a line without a colon": (400, b"Transfer-Encoding chunked\r\n"),
    "a line without a name": (400, b": chunked\r\n"),
    "a name that is no token": (400, b"Content(Length): 5\r\n"),
    "a name beyond ASCII": (400, "Content-Lengtħ: 5\r\n".encode()),
    "a NUL": (400, b"X: a\0b\r\n"),
    "a bare CR": (400, b"X: a\rTransfer-Encoding: chunked\r\n"),
    "CR before CR LF": (400, b"Content-Length: 5\r\r\n"),
    "two hosts": (400, b"Host: y\r\n"),
}


@pytest.mark.parametrize(("status", "lines"), REFUSED.values(), ids=REFUSED)
async def test_a_head_that_may_be_read_in_two_ways_is_refused_and_ends_the_connection(
    status: int, lines: bytes
) -> None:
    async with echoing() as served:
        received = await served.send(b"POST /first HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n" + HIDDEN)
    assert statuses(received) == [status]
    assert served.echo.seen == []


ONE_WAY = {
    "two equal lengths": b"Content-Length: %d\r\n" % len(HIDDEN),
    "a folded line": b"X: a\r\n Transfer-Encoding: chunked\r\n",
    "a line that ends with LF": b"X: a\n",
}
"""What RFC 9112 lets a server read leniently: what it says of these, nobody reads in another way."""


@pytest.mark.parametrize("lines", ONE_WAY.values(), ids=ONE_WAY)
async def test_lenient_header_parsing_hides_no_request(lines: bytes) -> None:
    head = b"POST /first HTTP/1.1\r\nHost: x\r\n" + lines + b"Content-Length: %d\r\n\r\n" % len(HIDDEN)
    async with echoing() as served:
        received = await served.send(head + HIDDEN + NEXT)
    assert statuses(received) == [200, 200]
    assert served.echo.bodies == [HIDDEN, b""]


STARTS = {
    "two spaces": (400, b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a tab": (400, b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a space at the end": (400, b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n"),
    "a space in the address": (400, b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"),
    "an address beyond ASCII": (400, "GET /ä HTTP/1.1\r\nHost: x\r\n\r\n".encode()),
    "no version": (400, b"GET /\r\nHost: x\r\n\r\n"),
    "a version of three digits": (400, b"GET / HTTP/1.10\r\nHost: x\r\n\r\n"),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/0.9": (505, b"GET / HTTP/0.9\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "a tunnel": (501, b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n"),
    "a tunnel to a path": (501, b"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "another host's address": (400, b"GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "an address with a user": (400, b"GET http://a@x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "an address of another scheme": (400, b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "an asterisk": (400, b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
    "no slash": (400, b"GET hidden HTTP/1.1\r\nHost: x\r\n\r\n"),
    "chunks in HTTP/1.0": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "a method that is no token": (400, b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\n\x01\xfc\x03\x03"),
}


@pytest.mark.parametrize(("status", "head"), STARTS.values(), ids=STARTS)
async def test_an_invalid_request_line_is_refused_and_ends_the_connection(status: int, head: bytes) -> None:
    async with echoing() as served:
        received = await served.send(head + HIDDEN)
    assert statuses(received) == [status]
    assert served.echo.seen == []


CHUNKS = {
    "no size": b"\r\n",
    "a size in other letters": b"g\r\nx",
    "a size with a prefix": b"0x1\r\nx\r\n",
    "a signed size": b"+1\r\nx\r\n",
    "a space before the size": b" 1\r\nx\r\n",
    "a size ended by LF": b"1\nx\r\n",
    "a size ended by CR": b"1\rx\r\n",
    "a LF in an extension": b"1;a=\nb\r\nx\r\n",
    "a chunk that is longer": b"1\r\nxy\r\n",
    "a chunk that is ended by LF": b"1\r\nx\n",
    "a chunk without its end": b"1\r\nx0\r\n\r\n",
    "a long extension": b"1;" + b"a" * 2000,
    "many trailers": b"0\r\n" + b"X: abc\r\n" * 4000,
    "a trailer that is no header": b"0\r\nX : y\r\n\r\n",
}


@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS)
async def test_chunks_that_may_be_read_in_two_ways_are_refused_and_end_the_connection(body: bytes) -> None:
    async with echoing() as served:
        head = b"POST /first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        received = await served.send(head + body + b"0\r\n\r\n" + HIDDEN)
    assert statuses(received) == [400]
    assert served.echo.seen == ["POST /first"]
    assert served.echo.gone.is_set()


async def test_trailers_are_dropped_and_extensions_passed_over() -> None:
    chunks = b'2;a;b="c d";e=f\r\nhe\r\n3 \r\nllo\r\n0;last\r\n'
    body = chunks + b"Host: other\r\nAuthorization: y\r\n\r\n"
    async with echoing() as served:
        received = await served.send(
            b"POST /first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n" + body + NEXT
        )
    told = json.loads(received.split(b"\r\n\r\n")[1].split(b"HTTP/1.1 ")[0])
    assert told["body"] == "hello"
    assert told["headers"] == {"host": "x", "transfer-encoding": "chunked"}
    assert served.echo.seen == ["POST /first", "GET /next"]


@pytest.mark.parametrize("target", [b"http://x/a?b", b"HTTP://X/a?b", b"https://x/a?b", b"/a?b"])
async def test_an_absolute_address_of_the_host_itself_is_a_path(target: bytes) -> None:
    async with echoing() as served:
        received = await served.send(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target)
    told = json.loads(received.split(b"\r\n\r\n")[1])
    assert (told["path"], told["query"]) == ("/a", "b")


async def test_an_unread_body_is_never_parsed_as_a_request() -> None:
    async with echoing() as served:
        request = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        received = await served.send(request % (2 * len(HIDDEN)), HIDDEN, HIDDEN, NEXT)
    assert statuses(received) == [413, 200]
    assert served.echo.seen == ["POST /early", "GET /next"]


async def test_bytes_after_a_connections_last_request_are_not_answered() -> None:
    async with echoing() as served:
        received = await served.send(NEXT + HIDDEN)
    assert statuses(received) == [200]
    assert served.echo.seen == ["GET /next"]
