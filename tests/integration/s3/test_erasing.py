"""Removal before servers that lack DeleteObjects, keep versions, or refuse a key."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from minio.retention import GOVERNANCE, Retention
from minio.versioningconfig import ENABLED, SUSPENDED, VersioningConfig

from gateway.errors import Problem
from gateway.jobs.objects import ObjectsKeptError
from gateway.s3.buckets import S3Buckets, open_buckets
from gateway.s3.objects import S3Bucket
from gateway.settings import Settings
from tests.integration.s3.gateways import Gateway, Refusal, Request, gateway_before, refusal
from tests.integration.s3.test_bucket import client_of
from tests.servers import S3Server

ODD = ["plain", "a b/ä&<>\"'%2F+~", "tab\tand\nline", "=?#[]@!$*(),;", "persons/0/mask.png", "ü" * 100, "\x01\x7f"]


@pytest.fixture
def gateway(s3_server: S3Server) -> Iterator[Gateway]:
    with gateway_before(s3_server.endpoint) as before:
        yield before


@pytest.fixture(scope="module")
def names() -> dict[str, str]:
    """Buckets that every test leaves empty: to make one takes the server half a second."""
    name = uuid4().hex
    return {"minio_bucket": f"masks-{name}", "minio_photo_bucket": f"photos-{name}"}


@pytest.fixture
def settings(s3_server: S3Server, gateway: Gateway, names: dict[str, str]) -> Settings:
    return Settings(**{**s3_server.settings(), "minio_endpoint": gateway.endpoint}, **names)


@pytest.fixture
def fresh(settings: Settings) -> Settings:
    """With buckets of the test's own."""
    return settings.model_copy(update={"minio_bucket": f"masks-{uuid4().hex}"})


@pytest.fixture
async def buckets(settings: Settings) -> AsyncIterator[S3Buckets]:
    async with open_buckets(settings) as opened:
        yield opened


async def fill(bucket: S3Bucket, keys: list[str]) -> list[str]:
    for start in range(0, len(keys), 16):
        await asyncio.gather(*(bucket.put(key, b"mask", "image/png") for key in keys[start : start + 16]))
    return keys


@pytest.mark.parametrize(
    "refused",
    [
        refusal(501, "NotImplemented"),
        refusal(400, "InvalidArgument"),
        refusal(403, "AccessDenied"),
        refusal(411, "MissingContentLength"),
        Refusal(501, b"<html>not here</html>", "text/html"),
        Refusal(404, b"", "text/plain"),
        Refusal(200, b"<html><p>welcome", "text/html"),
        Refusal(200, refusal(200, "MalformedXML").body),
    ],
    ids=lambda refused: f"{refused.status} {refused.body[-40:]!r}",
)
async def test_objects_are_removed_one_by_one_where_they_cannot_be_together(
    buckets: S3Buckets, gateway: Gateway, refused: Refusal
) -> None:
    gateway.rule = lambda request: refused if request.deletes_many else None
    await buckets.artifacts.remove(await fill(buckets.artifacts, ODD))
    assert await buckets.artifacts.keys("") == []
    await buckets.artifacts.remove(await fill(buckets.artifacts, ["a", "b"]))
    assert await buckets.artifacts.keys("") == []
    assert sum(request.deletes_many for request in gateway.asked) == 1, "it is asked once and remembered"


async def test_a_server_that_failed_a_batch_removal_is_asked_for_batches_again(
    buckets: S3Buckets, gateway: Gateway
) -> None:
    keys = await fill(buckets.artifacts, ["a", "b"])
    gateway.rule = lambda request: refusal(503, "SlowDown") if request.deletes_many else None
    with pytest.raises(Problem, match="S3"):
        await buckets.artifacts.remove(keys)
    assert {request.method for request in gateway.deletes()} == {"POST"}
    gateway.rule = lambda _request: None
    await buckets.artifacts.remove(keys)
    assert await buckets.artifacts.keys("") == []
    assert all(request.deletes_many for request in gateway.deletes())


async def test_a_key_that_s3_does_not_remove_does_not_stop_the_others(
    buckets: S3Buckets, gateway: Gateway, settings: Settings
) -> None:
    keys = await fill(buckets.artifacts, [f"k{number}" for number in range(30)])
    gateway.rule = _keeping("k3")
    with pytest.raises(ObjectsKeptError) as caught:
        await buckets.artifacts.remove(keys)
    assert f"S3 keeps {settings.minio_bucket}/k3 (AccessDenied" in caught.value.detail
    assert (list(caught.value.kept), await buckets.artifacts.keys("")) == ([f"{settings.minio_bucket}/k3"], ["k3"])
    gateway.rule = lambda _request: None
    await buckets.artifacts.remove(keys)
    assert await buckets.artifacts.keys("") == []


def _keeping(key: str) -> Callable[[Request], Refusal | None]:
    """Nothing is removed together, and one key not at all."""

    def rule(request: Request) -> Refusal | None:
        if request.deletes_many:
            return refusal(501, "NotImplemented")
        return refusal(403, "AccessDenied") if (request.method, request.key) == ("DELETE", key) else None

    return rule


async def test_more_objects_than_one_request_takes_are_removed(settings: Settings, s3_server: S3Server) -> None:
    async with open_buckets(settings.model_copy(update={"minio_endpoint": s3_server.endpoint})) as buckets:
        keys = await fill(buckets.artifacts, [f"user/{number}" for number in range(1003)])
        assert len(await buckets.artifacts.keys("user/")) == 1003
        await buckets.artifacts.remove(keys)
        assert await buckets.artifacts.keys("") == []


@pytest.mark.parametrize("status", [ENABLED, SUSPENDED])
async def test_every_version_is_removed_where_a_bucket_keeps_them(fresh: Settings, status: str) -> None:
    settings, client = fresh, client_of(fresh)
    client.make_bucket(settings.minio_bucket)
    client.set_bucket_versioning(settings.minio_bucket, VersioningConfig(ENABLED))
    async with open_buckets(settings) as buckets:
        for data in (b"first", b"second"):
            await buckets.artifacts.put("a/1", data, "image/png")
        await buckets.artifacts.put("a/12", b"other", "image/png")
        await buckets.artifacts.put("a/2", b"hidden by a marker", "image/png")
        client.remove_object(settings.minio_bucket, "a/2")
        client.set_bucket_versioning(settings.minio_bucket, VersioningConfig(status))
        assert await buckets.artifacts.keys("a/") == ["a/1", "a/12", "a/2"]
        await buckets.artifacts.remove(["a/1", "a/2", "never"])
        left = list(client.list_objects(settings.minio_bucket, recursive=True, include_version=True))
        assert [item.object_name for item in left] == ["a/12"]


async def test_a_bucket_whose_versioning_may_not_be_read_is_still_used(buckets: S3Buckets, gateway: Gateway) -> None:
    gateway.rule = lambda request: refusal(403, "AccessDenied") if request.query.startswith("versioning") else None
    await buckets.artifacts.remove(await fill(buckets.artifacts, ["a", "b"]))
    assert await buckets.artifacts.keys("") == []


async def test_versions_are_removed_where_they_may_be_listed_and_not_asked_about(
    fresh: Settings, gateway: Gateway
) -> None:
    client = client_of(fresh)
    async with open_buckets(fresh) as buckets:
        client.set_bucket_versioning(fresh.minio_bucket, VersioningConfig(ENABLED))
        gateway.rule = lambda request: refusal(403, "AccessDenied") if request.query.startswith("versioning") else None
        await fill(buckets.artifacts, ["a", "a"])
        await buckets.artifacts.remove(["a"])
        left = list(client.list_objects(fresh.minio_bucket, recursive=True, include_version=True))
    client.remove_bucket(fresh.minio_bucket)
    assert left == []


async def test_nothing_is_left_of_a_bucket_that_is_gone(fresh: Settings) -> None:
    client = client_of(fresh)
    async with open_buckets(fresh) as buckets:
        client.set_bucket_versioning(fresh.minio_bucket, VersioningConfig(ENABLED))
        await buckets.artifacts.remove(["a"])
        client.remove_bucket(fresh.minio_bucket)
        await buckets.artifacts.remove(["a", "b"])


async def test_an_object_under_a_retention_is_named(fresh: Settings) -> None:
    settings, client = fresh, client_of(fresh)
    client.make_bucket(settings.minio_bucket, object_lock=True)
    async with open_buckets(settings) as buckets:
        await buckets.artifacts.put("free", b"mask", "image/png")
        lasting = Retention(GOVERNANCE, _tomorrow())
        client.put_object(settings.minio_bucket, "held", io.BytesIO(b"mask"), 4, retention=lasting)
        with pytest.raises(ObjectsKeptError, match="held"):
            await buckets.artifacts.remove(["free", "held"])
        assert await buckets.artifacts.keys("") == ["held"]


def _tomorrow() -> datetime:
    return (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
