"""Keys from where AWS has them, before the embedded S3, which takes its own keys alone."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import anyio
import pytest
from minio.credentials.credentials import Credentials
from minio.credentials.providers import IamAwsProvider, Provider, StaticProvider

from gateway.errors import Problem
from gateway.s3.buckets import open_buckets
from gateway.s3.client import GivenKeys, Identity, NoCredentialsError, S3Client
from gateway.settings import Settings, SettingsError
from tests.integration.s3.gateways import gateway_before, refusal
from tests.ports import free_ports
from tests.servers import S3Server

TOKEN = "of keys that end"  # noqa: S105 nobody's
ROLE = "arn:aws:iam::123456789012:role/masks"
AMBIENT = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_REGION", "MINIO_ACCESS_KEY",
    "MINIO_SESSION_TOKEN",
)  # fmt: skip


@dataclass
class Authority:
    """STS, the metadata of a machine and of a container in one: whoever asks rightly gets the keys."""

    access_key: str
    secret_key: str
    life_s: float = 3600.0
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, headers: dict[str, str]) -> bytes | None:
        self.asked.append(f"{method} {urlsplit(path).path}")
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        if query.get("Action") == "AssumeRoleWithWebIdentity":
            return self._sts() if (query["WebIdentityToken"], query["RoleArn"]) == ("a web token", ROLE) else None
        if (method, path) == ("PUT", "/latest/api/token"):
            return b"session"
        if path.startswith("/latest/meta-data/iam/security-credentials/"):
            if headers.get("X-aws-ec2-metadata-token") != "session":
                return None
            return self._json() if path.endswith("/masks") else b"masks"
        return self._json() if path == "/container" and headers.get("Authorization") == "a pod's token" else None

    def _json(self) -> bytes:
        keys = {"AccessKeyId": self.access_key, "SecretAccessKey": self.secret_key, "Token": ""}
        return json.dumps({"Code": "Success", **keys, "Expiration": self._end()}).encode()

    def _sts(self) -> bytes:
        keys = f"<AccessKeyId>{self.access_key}</AccessKeyId><SecretAccessKey>{self.secret_key}</SecretAccessKey>"
        inner = f"<Credentials>{keys}<SessionToken></SessionToken><Expiration>{self._end()}</Expiration></Credentials>"
        result = f"<AssumeRoleWithWebIdentityResult>{inner}</AssumeRoleWithWebIdentityResult>"
        return f'<R xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{result}</R>'.encode()

    def _end(self) -> str:
        return (datetime.now(UTC) + timedelta(seconds=self.life_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def serving(authority: Authority) -> Iterator[Authority]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def serve(self) -> None:
            body = authority.answer(self.command, self.path, dict(self.headers.items()))
            self.send_response_only(200 if body is not None else 403)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        do_GET = do_PUT = do_POST = serve  # noqa: N815 the names that http.server calls

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    authority.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield authority
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def authority(s3_server: S3Server) -> Iterator[Authority]:
    with serving(Authority(s3_server.access_key, s3_server.secret_key)) as served:
        yield served


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own."""
    for name in AMBIENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def settings(minio_endpoint: str, **given: object) -> Settings:
    """With buckets of its own."""
    buckets = {"minio_bucket": f"m-{(name := uuid4().hex)}", "minio_photo_bucket": f"p-{name}"}
    return Settings(minio_endpoint=minio_endpoint, **buckets, **given)


async def works(given: Settings) -> None:
    async with open_buckets(given) as buckets:
        await buckets.artifacts.put("k", b"mask", "image/png")
        assert (await buckets.artifacts.get("k")).data == b"mask"


async def test_a_web_identity_is_exchanged_for_keys(
    authority: Authority, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("a web token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", authority.url)
    await works(settings(s3_server.endpoint))


async def test_a_machines_role_gives_keys(
    authority: Authority, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{authority.url}/")
    await works(settings(s3_server.endpoint))


async def test_a_containers_role_gives_keys(
    authority: Authority, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{authority.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a pod's token")
    await works(settings(s3_server.endpoint))


async def test_a_profile_gives_keys(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".aws" / "credentials"
    file.parent.mkdir()
    keys = f"aws_access_key_id = {s3_server.access_key}\naws_secret_access_key = {s3_server.secret_key}\n"
    file.write_text(f"[default]\naws_access_key_id = a\naws_secret_access_key = b\n[work]\n{keys}")
    monkeypatch.setenv("AWS_PROFILE", "work")
    await works(settings(s3_server.endpoint))


async def test_keys_of_the_settings_are_used_and_nobody_is_asked(
    authority: Authority, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", authority.url)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere")
    await works(settings(**s3_server.settings()))
    assert authority.asked == []


async def test_missing_credentials_are_reported_with_every_source_tried(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (silent,) = free_ports(1)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{silent}")
    began = time.monotonic()
    with pytest.raises(SettingsError) as caught:
        await works(settings(s3_server.endpoint))
    assert time.monotonic() - began < 5
    told = str(caught.value)
    for part in (
        "no keys found (MINIO_ACCESS_KEY, MINIO_SECRET_KEY: not set",
        "profile default",
        "instance role",
        "Acces",
    ):
        assert part in told


async def test_a_metadata_service_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So it is in a container that is one hop too far from its machine's metadata."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        origin = S3Client(settings("s3.example.com")).identity.origin
    assert "timed out" in origin
    assert time.monotonic() - began < 6


async def test_a_machine_without_a_metadata_service_causes_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """192.0.2.1 (RFC 5737) is nobody's: packets to it are lost, or refused on the way."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://192.0.2.1")
    began = time.monotonic()
    assert S3Client(settings("s3.example.com")).identity.provider is None
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("lacking", ["minio_access_key", "minio_secret_key"])
async def test_half_a_pair_of_keys_is_refused(s3_server: S3Server, lacking: str) -> None:
    with pytest.raises(SettingsError, match="one without the other"):
        await works(settings(**{**s3_server.settings(), lacking: ""}))


async def test_keys_are_renewed_before_their_end_and_serve_until_then(authority: Authority) -> None:
    keys = GivenKeys([("a role", lambda: _role(authority))])
    authority.life_s = 60.0
    first = keys.retrieve()
    assert keys.temporary
    authority.life_s = 3600.0
    assert keys.retrieve() is first
    with anyio.fail_after(10):
        while keys.retrieve() is first:
            await anyio.sleep(0.01)
    asked = len(authority.asked)
    keys.retrieve()
    assert len(authority.asked) == asked
    keys.forget()
    keys.retrieve()
    assert len(authority.asked) > asked


async def test_keys_that_ended_and_are_not_renewed_are_missed(authority: Authority) -> None:
    keys = GivenKeys([("a role", lambda: _role(authority))])
    authority.life_s = -1.0
    keys.retrieve()
    authority.access_key = ""
    with pytest.raises(NoCredentialsError, match="a role: Access key must not be empty"):
        keys.retrieve()


async def test_a_link_is_signed_at_once_with_the_last_keys_while_new_ones_are_waited_for() -> None:
    asked, answered = threading.Event(), threading.Event()

    class Slow(Provider):
        def retrieve(self) -> Credentials:
            asked.set()
            assert answered.wait(10)
            return Credentials("new", "secret")

    ways = iter([StaticProvider("old", "secret"), Slow()])
    keys = GivenKeys([("a role", lambda: next(ways))])
    old = keys.retrieve()
    keys.forget()
    fetching = asyncio.create_task(asyncio.to_thread(keys.retrieve))
    await asyncio.to_thread(asked.wait, 10)
    keys._tried_at = time.monotonic()
    assert Identity(keys, "").signer.retrieve() is old
    keys.forget()
    answered.set()
    assert (await fetching).access_key == "new"


async def test_keys_that_s3_calls_expired_are_fetched_again(
    authority: Authority, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", authority.url)
    with gateway_before(s3_server.endpoint) as gateway:
        async with open_buckets(settings(gateway.endpoint)) as buckets:
            asked = len(authority.asked)
            gateway.rule = lambda _request: refusal(400, "ExpiredToken")
            with pytest.raises(Problem, match="ExpiredToken"):
                await buckets.artifacts.put("k", b"mask", "image/png")
            gateway.rule = lambda _request: None
            await buckets.artifacts.put("k", b"mask", "image/png")
            assert len(authority.asked) > asked


async def test_a_session_token_goes_with_every_request(s3_server: S3Server) -> None:
    with gateway_before(s3_server.endpoint) as gateway:
        given = settings(**{**s3_server.settings(), "minio_endpoint": gateway.endpoint}, minio_session_token=TOKEN)
        with suppress(SettingsError):  # the embedded server knows no such token
            await works(given)
        assert gateway.asked
        assert all(request.headers["x-amz-security-token"] == TOKEN for request in gateway.asked)


@pytest.mark.parametrize(
    ("variables", "token"),
    [
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SESSION_TOKEN": "t"}, "t"),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SESSION_TOKEN": "t", "MINIO_ACCESS_KEY": "m"}, ""),
        ({"AWS_SESSION_TOKEN": "t"}, ""),
        ({"MINIO_ACCESS_KEY": "m", "MINIO_SESSION_TOKEN": "t"}, "t"),
    ],
)
def test_a_persons_own_token_is_not_taken_for_another_keys(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], token: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment().minio_session_token.get_secret_value() == token


def _role(authority: Authority) -> IamAwsProvider:
    return IamAwsProvider(custom_endpoint=authority.url)
