"""How objects are encrypted on their way and where they lie."""

import os
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.errors import Problem
from gateway.s3.buckets import open_buckets
from gateway.settings import Settings, SettingsError
from tests.certificates import OPENSSL, self_signed
from tests.integration.s3.gateways import Gateway, gateway_before
from tests.servers import S3Server

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl is not here")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of 127.0.0.1, which vouches for itself, beside its key."""
    return self_signed(tmp_path_factory.mktemp("tls") / "s3.pem", "s3", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def tls(s3_server: S3Server, authority: Path) -> Iterator[Gateway]:
    """An S3 server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, authority.with_suffix(".key"))
    with gateway_before(s3_server.endpoint, tls=context) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def names() -> dict[str, str]:
    name = uuid4().hex
    return {"minio_bucket": f"masks-{name}", "minio_photo_bucket": f"photos-{name}"}


@pytest.fixture
def settings(s3_server: S3Server, tls: Gateway, names: dict[str, str]) -> Settings:
    given = {**s3_server.settings(), **names, "minio_endpoint": tls.endpoint}
    return Settings(**given, minio_secure=True)


def changed(settings: Settings, **update: object) -> Settings:
    return settings.model_copy(update=update)


async def works(settings: Settings) -> None:
    async with open_buckets(settings) as buckets:
        await buckets.artifacts.put("k", b"mask", "image/png")
        assert (await buckets.artifacts.get("k")).data == b"mask"


async def test_a_private_authority_is_trusted_where_a_setting_names_it(settings: Settings, authority: Path) -> None:
    await works(changed(settings, minio_ca_file=authority))


async def test_a_private_authority_is_trusted_as_one_of_the_systems(
    settings: Settings, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    await works(settings)


@pytest.mark.parametrize(
    ("update", "told"),
    [
        ({}, "no TLS with it: .*certificate verify failed.*MINIO_CA_FILE"),
        ({"minio_secure": False}, "it speaks TLS; set MINIO_SECURE=true"),
        ({"minio_ca_file": Path("/nowhere")}, "MINIO_CA_FILE=/nowhere: No such file"),
        ({"minio_ca_file": Path("/dev/null")}, "MINIO_CA_FILE=/dev/null: holds no certificates"),
        ({"s3_sse": "aws:kms"}, "S3_SSE_KMS_KEY_ID: needed"),
    ],
)
async def test_settings_that_cannot_work_are_refused_at_once(
    settings: Settings, update: dict[str, object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)  # its other name, which a machine may have set
    began = time.monotonic()
    with pytest.raises(SettingsError, match=told):
        await works(changed(settings, **update))
    assert time.monotonic() - began < 6


async def test_tls_with_a_server_that_has_none_is_told_at_once(settings: Settings, s3_server: S3Server) -> None:
    with pytest.raises(SettingsError, match=r"no TLS with it: .*unset MINIO_SECURE"):
        await works(changed(settings, minio_endpoint=s3_server.endpoint))


async def test_kms_without_tls_is_told_at_once(s3_server: S3Server, names: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="S3_SSE=aws:kms: needs an S3 server that speaks TLS"):
        await works(Settings(**s3_server.settings(), **names, s3_sse="sse-kms", s3_sse_kms_key_id="k"))


@pytest.mark.parametrize(
    ("given", "headers"),
    [
        ({"s3_sse": "sse-s3"}, {"x-amz-server-side-encryption": "AES256"}),
        (
            {"s3_sse": "aws:kms", "s3_sse_kms_key_id": "alias/masks", "s3_sse_kms_context": '{"team": "masks"}'},
            {
                "x-amz-server-side-encryption": "aws:kms",
                "x-amz-server-side-encryption-aws-kms-key-id": "alias/masks",
                "x-amz-server-side-encryption-context": "eyJ0ZWFtIjogIm1hc2tzIn0=",
            },
        ),
    ],
)
async def test_every_object_is_written_encrypted(
    settings: Settings, tls: Gateway, authority: Path, given: dict[str, object], headers: dict[str, str]
) -> None:
    encrypted = Settings(**{**settings.model_dump(), "minio_ca_file": authority, **given})
    async with open_buckets(encrypted) as buckets:
        del tls.asked[:]
        for size in (10, 9 * 1024 * 1024):
            with suppress(Problem):  # the embedded server has no key management
                await buckets.artifacts.put("k", os.urandom(size), "image/png")
    begun = [one for one in tls.asked if one.method in {"PUT", "POST"} and "uploadId" not in one.query]
    assert {one.method for one in begun} == {"PUT", "POST"}, "in one part and in several"
    for request in begun:
        assert headers.items() <= request.headers.items()
