from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from gateway.access.forwarded import Forwarded, forwarded

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("::1/128"))
PROXY = "10.0.0.1"
HOSTILE = st.text(st.sampled_from('\\"=;,:[]/ @.%aZ9\0\r\n'), max_size=60)
NAMES = ("forwarded", *(f"x-forwarded-{name}" for name in ("for", "host", "proto", "port", "prefix")))


def told(peer: str = PROXY, host: str = "inside:8000", **headers: str) -> Forwarded | None:
    """Header names with `_` for `-`; X_ stands for X-Forwarded-."""
    named = {name.replace("x_", "x-forwarded-"): value for name, value in headers.items()}
    return forwarded(Headers({"host": host, **named}), peer, TRUSTED)


@pytest.mark.parametrize("peer", ["11.0.0.1", "", "unix", "127.0.0.1", "10.0.0.1.evil.test", "::2"])
def test_forwarded_headers_of_other_peers_are_ignored(peer):
    assert told(peer, x_host="evil.test", x_proto="https", forwarded="host=evil.test") is None


@pytest.mark.parametrize("peer", [PROXY, "::1", "::ffff:10.0.0.1"])
def test_a_trusted_proxy_is_believed(peer):
    said = told(peer, x_for="8.8.8.8", x_host="Masks.Example.com", x_proto="https", x_prefix="/masks/")
    assert said == Forwarded("8.8.8.8", "https", "https://masks.example.com", "/masks")


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({"x_host": "a.test:8443", "x_proto": "https"}, "https://a.test:8443"),
        ({"x_host": "a.test:443", "x_proto": "https"}, "https://a.test"),
        ({"x_host": "a.test", "x_proto": "https", "x_port": "8443"}, "https://a.test:8443"),
        ({"x_host": "a.test", "x_proto": "https", "x_port": "80"}, "https://a.test"),
        ({"x_host": "[2001:db8::1]:8080", "x_proto": "http"}, "http://[2001:db8::1]:8080"),
        ({"x_proto": "https"}, "https://inside:8000"),
        ({"x_proto": "https", "x_host": "a.test", "x_port": "99999"}, ""),
        ({"x_proto": "https", "x_host": "a.test/@evil"}, ""),
        ({"x_proto": "https", "x_host": "user@a.test"}, ""),
        ({"x_proto": "javascript", "x_host": "a.test"}, "http://a.test"),
        ({"forwarded": 'for="[2001:db8::1]:4711";proto=https;host="a.test:8443"'}, "https://a.test:8443"),
        ({"forwarded": "For=unknown; Proto=HTTPS; Host=a.test"}, "https://a.test"),
        ({"forwarded": "host=evil.test", "x_host": "a.test"}, "http://a.test"),
        ({"forwarded": 'for="\\", host=evil.test'}, "http://inside:8000"),
        ({}, ""),
    ],
)
def test_a_proxys_headers_give_the_public_origin(headers, origin):
    assert told(**headers).origin == origin


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x_for": "1.1.1.1, 8.8.8.8", "x_host": "evil.test, a.test"}, ("8.8.8.8", "http://a.test")),
        ({"x_for": "1.1.1.1, 8.8.8.8, 10.0.0.9", "x_host": "b.test, a.test"}, ("8.8.8.8", "http://b.test")),
        ({"x_for": "8.8.8.8, 10.0.0.9", "x_host": "a.test"}, ("8.8.8.8", "http://a.test")),
        ({"x_for": "10.0.0.8, 10.0.0.9", "x_host": "a.test"}, ("10.0.0.8", "http://a.test")),
        ({"forwarded": "host=evil.test;for=1.1.1.1, host=a.test;for=8.8.8.8"}, ("8.8.8.8", "http://a.test")),
        (
            {"forwarded": 'host=evil.test, host=a.test;for="8.8.8.8:99", host=b.test;for=10.0.0.9'},
            ("8.8.8.8", "http://a.test"),
        ),
    ],
)
def test_each_trusted_proxy_is_believed_about_the_one_before_it(headers, expected):
    said = told(**headers)
    assert (said.client, said.origin) == expected


@pytest.mark.parametrize("prefix", ["masks", "//evil.test", "/a//b", "/..", "/a/../b", "/a b", "/%2e", "/a?b", "/ä"])
def test_an_invalid_forwarded_prefix_is_ignored(prefix):
    assert told(x_prefix=prefix).prefix == ""


@given(st.dictionaries(st.sampled_from(NAMES), HOSTILE))
def test_any_text_is_read_and_gives_an_address_or_nothing(headers):
    said = forwarded(Headers({"host": "inside", **headers}), PROXY, TRUSTED)
    assert said is not None
    assert not set(said.origin + said.prefix) & set('\\"=;, @%\0\r\n')
    assert said.origin.startswith("http") or not said.origin


@pytest.mark.parametrize("part", ['for="', "a", '"\\', "for=a;", ",", "host=a,", "a=", '="'])
def test_the_time_grows_only_with_the_length_of_the_text(part):
    assert told(forwarded=part * (60_000 // len(part))) is not None
    assert told(x_for=part * (60_000 // len(part))) is not None
