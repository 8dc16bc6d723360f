"""What the check of a URL lets through can be sent to: no other host is asked, and documented codes alone come."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.fetching.fetcher import Fetcher, open_fetcher
from gateway.fetching.guard import check_url, host_of, literal, parse_url
from gateway.hosts import IPAddress
from gateway.settings import Settings
from tests.web import Web, reply, serving

LOOPBACK = ip_network("127.0.0.0/8")
LABELS = [
    "a", "A", "a_b", "_", "-a", "a-", "", "xn--", "xn--a", "xn--0", "xn--ls8h", "xn--bcher-kva", "xn--a-b-", "XN--A",
    "xn--\u00fc", "a" * 63, "a" * 64, "0x7f", "0177", "127", "1", "bücher", "ß", "ﬃ", "💩", "\u200d", "א", "\u0660",
    "%2e", "%00", "%61", "a%2fb", "com", "localhost", "a!b", "a{b", "a;b", "a'b", "[", "]", "*",
]  # fmt: skip
DOTS = [".", ".", ".", "..", "\u3002", "\uff0e", "\uff61", "%2e"]
WHOLE = ["127.0.0.1", "127.1", "2130706433", "[::1]", "[::1%25eth0]", "[::ffff:127.0.0.1]", "[]", "[v1.a]", "①②⑦.⓪.⓪.①"]
PORTS = [
    *[":{port}"] * 6, "", ":", ":0{port}", ":0", ":65536", ":+{port}", ":{port}_0", ":-1", "\uff1a{port}", ":\u0661",
    "{port}", ":{port}:80", ":" + "9" * 5000, ":99999999999",
]  # fmt: skip
HOSTS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(DOTS)), min_size=1, max_size=4).map(
    lambda parts: "".join(label + dot for label, dot in parts)[: -1 if len(parts) % 2 else None]
)
TARGETS = st.sampled_from(
    ["", "/", "?a=b", "#c", "/../a//b?%zz", "/\u20ac", "\\", "/{}|^`\"'<>", "/%", ";/x", "//b", "/\x7f"]
)
SCHEMES = [*["http://"] * 4, "https://", "HTTP://", "http:/", "http://a@", "http://a:b@", "http://@"]
URLS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(SCHEMES),
    HOSTS | st.sampled_from(WHOLE) | st.text(max_size=12),
    st.sampled_from(PORTS),
    TARGETS | st.text(max_size=12),
)
CODES = {"url_not_allowed", "url_unreachable", "url_failed"}


@dataclass(frozen=True)
class Desk:
    """A server on this machine, where every name leads, a fetcher, and the names that it asked for."""

    web: Web
    fetcher: Fetcher
    names: list[str]


@pytest.fixture(scope="module")
async def desk() -> AsyncIterator[Desk]:
    names = list[str]()

    async def resolve(name: str) -> Sequence[IPAddress]:
        names.append(name)
        return (IPv4Address("127.0.0.1"),)

    given = Settings(allowed_networks=(LOOPBACK,))
    async with serving(reply(200, b"here")) as web, open_fetcher(given, resolve) as fetcher:
        yield Desk(web, fetcher, names)


def passes(text: str) -> bool:
    try:
        check_url(text, (LOOPBACK,))
    except Problem as problem:
        assert problem.code == "url_not_allowed"  # noqa: PT017 that there may be none is the point
        return False
    return True


async def outcome(desk: Desk, text: str) -> str:
    """What came, or the code of what went wrong."""
    try:
        return (await desk.fetcher.fetch(text)).decode()
    except Problem as problem:
        return problem.code


@settings(suppress_health_check=[HealthCheck.filter_too_much], deadline=None, max_examples=80)
@given(template=URLS)
@example("http://xn--ls8h.la:{port}/")
@example("http://xn--bcher-kva.example:{port}/")
@example("https://xn--ls8h.la:{port}/")
@example("http://a_b.example:{port}/?")
@example("http://b\u00fccher\u3002example:{port}/#x")
@example("http://127.0.0.1:{port}")
async def test_an_accepted_url_is_requested_from_the_host_that_was_checked(desk: Desk, template: str) -> None:
    text = template.replace("{port}", str(desk.web.port))
    if not passes(text):
        return
    url = parse_url(text)
    assume(literal(url) in {None, IPv4Address("127.0.0.1")})
    desk.names.clear()
    desk.web.asked.clear()
    came = await outcome(desk, text)
    assert desk.names == ([] if literal(url) else [host_of(url)])
    if (url.scheme, url.port) == ("http", desk.web.port):
        assert came == "here"
        assert [(one.headers["host"], one.target) for one in desk.web.asked] == [
            (url.netloc.decode(), url.raw_path.decode())
        ]
    else:
        assert came in CODES
        assert desk.web.asked == []
