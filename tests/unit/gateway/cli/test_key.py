"""Where the key goes, and where it does not."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.hosts import is_loopback
from tests.certificates import self_signed
from tests.hostile_server import hostile, http

KEY = "mw_0123456789abcdef"
PAGE = http(b'{"jobs": [], "next": null}')


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(self_signed(tmp_path_factory.mktemp("tls") / "ca.pem", "none", "DNS:none"))


@pytest.fixture(autouse=True)
def _only_this(monkeypatch: pytest.MonkeyPatch, certificate: str) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certificate)


def listed(url: str, *more: str, environ: Mapping[str, str] | None = None) -> Result:
    return CliRunner(env={"MASKWRIGHT_TOKEN": KEY, **(environ or {})}).invoke(
        app, ["jobs", "list", "--url", url, *more]
    )


LOCAL = ["127.0.0.1", "127.9.8.7", "localhost", "LOCALHOST.", "a.localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1"]
ELSEWHERE = [
    "192.0.2.1",
    "10.0.0.1",
    "gateway",
    "localhost.example.com",
    "127.0.0.1.example.com",
    "[fe80::1]",
    "0.0.0.0",  # noqa: S104 to connect to
]
ELSEWHERE += ["[::]", "localdomain", "xlocalhost", "1.127.0.0", "host.docker.internal"]


@pytest.mark.parametrize("host", LOCAL)
def test_every_name_of_the_loopback_counts_as_this_machine(host: str) -> None:
    assert is_loopback(host.strip("[]"))
    ended = listed(f"http://{host}:1")
    assert ended.exit_code == 1
    assert "No gateway answers" in ended.stderr


@pytest.mark.parametrize("host", ELSEWHERE)
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_key_is_not_sent_unencrypted_to_another_machine(host: str, scheme: str) -> None:
    ended = listed(f"{scheme}{host}:1")
    assert ended.exit_code == 2
    assert "MASKWRIGHT_TOKEN would go there unencrypted; use https, or" in ended.stderr
    assert "--plain-http" in ended.stderr
    assert KEY not in ended.output


@pytest.mark.parametrize(
    "command",
    [["run", "detect", "x.jpg", "-o", "out"], ["submit", "/dev/null"], ["poison", "list"], ["cache", "stats"]],
)
def test_no_command_sends_a_key_unencrypted_to_another_machine(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner(env={"MASKWRIGHT_TOKEN": KEY, "MASKWRIGHT_URL": "http://192.0.2.1"}).invoke(app, command)
    assert ended.exit_code == 2
    assert "unencrypted" in ended.stderr


def test_a_login_in_the_address_counts_as_a_key_and_is_not_shown() -> None:
    ended = listed("http://me:s3cret@192.0.2.1", environ={"MASKWRIGHT_TOKEN": ""})
    assert ended.exit_code == 2
    assert "http://…@192.0.2.1: " in ended.stderr
    for url in (
        "http://me:s3cret@127.0.0.1:1",
        "ftp://me:s3cret@x",
        "http://me:s3cret@",
        "http://me:s3cret@[::x",
        "//me:s3cret@x",
    ):
        assert "s3cret" not in listed(url).output


def test_plain_http_is_used_without_a_key_or_if_plain_http_is_set() -> None:
    for more, environ in (
        ([], {"MASKWRIGHT_TOKEN": ""}),
        (["--plain-http"], {}),
        ([], {"MASKWRIGHT_PLAIN_HTTP": "true"}),
    ):
        ended = listed("http://0.0.0.0:1", *more, environ=environ)
        assert ended.exit_code == 1
        assert "No gateway answers" in ended.stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://x?a=b",
        "http://x#a",
        "file:///etc/passwd",
        "unix:///x",
        "http://",
        "http:///x",
        "http://a b",
        "http://[::1",
        "http://x:99999",
    ],
)
def test_an_invalid_gateway_address_is_refused(url: str) -> None:
    assert listed(url).exit_code == 2


def test_a_key_for_this_machine_goes_through_no_proxy() -> None:
    with hostile(lambda _: [PAGE]) as proxy, hostile(lambda _: [PAGE]) as gateway:
        named = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"), proxy.url)
        port = gateway.url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "a.localhost", "127.1"):
            for exempt in ("", "[::1],*:x", "example.com"):
                listed(f"http://{host}:{port}", environ={**named, "no_proxy": exempt, "NO_PROXY": exempt})
        listed("http://[::1]:1", environ=named)
        assert proxy.heads == []
        assert gateway.heads
        assert all(f"authorization: bearer {KEY}" in head.lower() for head in gateway.heads)


def test_netrc_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("default login me password s3cret\n")
    (tmp_path / ".netrc").chmod(0o600)
    with hostile(lambda _: [PAGE]) as gateway:
        environ = {"HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc"), "MASKWRIGHT_TOKEN": ""}
        assert listed(gateway.url, environ=environ).exit_code == 0
    assert not any("authorization" in head.lower() for head in gateway.heads)


def test_no_command_has_an_option_for_the_key() -> None:
    for command in (["run", "detect"], ["submit"], ["jobs", "list"], ["keys", "list"]):
        said = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command, "--help"]).output
        assert "--key" not in said
        assert "--token" not in said
    assert "MASKWRIGHT_TOKEN" in CliRunner(env={"COLUMNS": "200"}).invoke(app, ["jobs", "list", "--help"]).output
