"""Proxies of every form: none stands before our own servers, and no form ends in anything but a clear error."""

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli import app
from gateway.hosts import ProxyError, proxy_for, require_certificates

INSIDE = [
    "127.0.0.1", "[::1]", "10.0.0.5:8000", "192.168.1.4", "169.254.169.254", "[fd00::1]", "[::ffff:10.0.0.1]",
    "localhost", "box.localhost", "gateway", "gateway.masks.svc", "gateway.masks.svc.cluster.local.", "box.local",
    "masks.internal", "MASKS.INTERNAL", "127.1", "0x7f.1", "10.1", "gateway.masks.svc.prod.example",
]  # fmt: skip
PUBLIC = httpx.URL("https://files.example.com/model.onnx")
EVERYWHERE = dict.fromkeys(("http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://proxy:3128")
NAMES = [name for one in ("http", "https", "all", "no") for name in (f"{one}_proxy", f"{one}_proxy".upper())]
ODD = [
    "socks5://p:1", "socks5h://u:p@p:1", "socks://p:1", "socks4://p:1", "p:3128", "http://u:p%40@p:1", "://", "http://",
    "[", "http://p:abc", "http://p:99999999", "foo bar", "*", "10.0.0.0/8", "fd00::/8", "[::1]", "[::1]:80", "a:b:c",
    "http://xn--a:1", "xn--ls8h.la:3128",
]  # fmt: skip
FORMS = st.sampled_from(ODD) | st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@pytest.mark.parametrize("host", INSIDE)
def test_our_own_servers_are_reached_without_a_proxy(host: str) -> None:
    for scheme in ("http", "https"):
        assert proxy_for(httpx.URL(f"{scheme}://{host}/x"), {**EVERYWHERE, "no_proxy": ""}) is None


@given(
    st.dictionaries(st.sampled_from(NAMES), FORMS),
    st.sampled_from([*INSIDE, "files.example.com", "93.184.215.14", "xn--ls8h.la"]),
)
@example({"NO_PROXY": "[::1]", "https_proxy": "http://p:1"}, "files.example.com")
@example({"https_proxy": "http://xn--a:1"}, "xn--ls8h.la")
def test_any_form_gives_a_proxy_that_can_be_used_or_a_clear_error(environ: dict[str, str], host: str) -> None:
    try:
        proxy, told = proxy_for(httpx.URL(f"https://{host}/"), environ), ""
    except ProxyError as error:
        proxy, told = None, str(error)
    assert not told or told.split("=")[0] in environ
    assert proxy is None or httpx.Proxy(proxy)
    assert host not in INSIDE or not (proxy or told)


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": ' "http://me:pw@proxy:3128" \r'}, "http://me:pw@proxy:3128"),
        ({"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}, "http://lower:1"),
        ({"https_proxy": "", "all_proxy": "https://all:1"}, "https://all:1"),
        ({"http_proxy": "http://other-scheme:1"}, None),
        ({"https_proxy": "http://proxy:1", "ALL_PROXY": "garbage in here"}, "http://proxy:1"),
    ],
)
def test_the_first_variable_with_a_value_wins(environ: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(PUBLIC, environ) == proxy


def test_a_forwarded_header_from_a_caller_is_not_trusted() -> None:
    cgi = {"HTTP_PROXY": "http://stranger:1", "REQUEST_METHOD": "GET"}
    assert proxy_for(httpx.URL("http://files.example.com/"), cgi) is None


@pytest.mark.parametrize(
    ("entries", "url", "straight"),
    [
        ("*", "https://files.example.com/", True),
        ("example.com", "https://files.example.com/", True),
        (".example.com", "https://files.example.com/", True),
        ("*.EXAMPLE.com", "https://files.example.com/", True),
        ("ample.com", "https://files.example.com/", False),
        ("a, files.example.com:443", "https://files.example.com/", True),
        ("a b files.example.com:8443", "https://files.example.com:8443/", True),
        ("https://files.example.com", "https://files.example.com/", True),
        ("93.184.0.0/16", "http://93.184.215.14/", True),
        ("93.185.0.0/16,[", "http://93.184.215.14/", False),
        ("2606:2800::/32", "http://[2606:2800::1]/", True),
        ("[2606:2800::1]:80,fd00::/8", "http://[2606:2800::1]/", True),
        ("[2606:2800::1]", "http://[2606:2800::1]/", True),
        ("'files.example.com'", "https://files.example.com/", True),
        ("localhost|*.example.com", "https://files.example.com/", True),
        ("files.example.com:8443", "https://files.example.com/", False),
        (",, ;[::1],a:b:c,300.1.1.1/40,", "https://files.example.com/", False),
    ],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_hosts_in_no_proxy_are_reached_directly(name: str, entries: str, url: str, straight: bool) -> None:  # noqa: FBT001
    assert (proxy_for(httpx.URL(url), {**EVERYWHERE, name: entries}) is None) is straight


@pytest.mark.parametrize(
    "value", ["socks4://p:1", "ftp://p", "foo bar", "http://p:abc", "http://p:99999999", "http://"]
)
def test_an_unusable_proxy_is_refused_with_what_would_be_right(value: str) -> None:
    with pytest.raises(ProxyError, match=r"^https_proxy=.*http://host:port would be right"):
        proxy_for(PUBLIC, {"https_proxy": value})


def test_a_proxys_password_is_not_shown() -> None:
    with pytest.raises(ProxyError) as caught:
        proxy_for(PUBLIC, {"all_proxy": "socks4://me:hush@proxy:1"})
    assert "hush" not in str(caught.value)


def test_missing_certificates_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at.all")
    with pytest.raises(ProxyError, match=r"^SSL_CERT_FILE=/nowhere/at.all: "):
        require_certificates()


HOSTILE = {
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "socks4://x",
    "ALL_PROXY": "socks://p:1",
    "NO_PROXY": "[::1],*:x",
}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_the_command_line_uses_no_proxy_to_this_machine(host: str) -> None:
    ended = CliRunner(env=HOSTILE).invoke(app, ["jobs", "list", "--url", f"http://{host}:1"])
    assert ended.exit_code == 1
    assert f"No gateway answers at http://{host}:1" in ended.output


def test_the_command_line_says_which_proxy_it_cannot_use() -> None:
    ended = CliRunner(env=HOSTILE).invoke(app, ["jobs", "list", "--url", "https://masks.example.com"])
    assert ended.exit_code == 2
    assert ended.output.startswith("HTTPS_PROXY=socks4://x: ")


def test_a_token_that_cannot_be_sent_is_refused() -> None:
    ended = CliRunner(env={"MASKWRIGHT_TOKEN": "kéy"}).invoke(app, ["jobs", "list", "--url", "http://127.0.0.1:1"])
    assert (ended.exit_code, ended.output.split("=")[0]) == (2, "MASKWRIGHT_TOKEN")
