import gzip
import io
import math
import os
from uuid import uuid4

import httpx
import pytest
from minio import Minio

from gateway.errors import Problem
from gateway.jobs.objects import ObjectMissingError, StoredObject, artifact_key
from gateway.s3.buckets import open_buckets
from gateway.s3.objects import Timed, write
from gateway.settings import Settings, SettingsError

AWKWARD = [
    ("", "r", "a.png"),
    ("_", "..", "x"),
    ("a/b", "%2F?&+ #", "n.png"),
    ("ä", "ö" * 128, "persons/0/mask.png"),
    ("u@x:1~", "'\"*()!=", "n"),
]


@pytest.fixture
def settings(s3_server):
    name = uuid4().hex
    buckets = {"minio_bucket": f"masks-{name}", "minio_photo_bucket": f"photos-{name}"}
    return Settings(**s3_server.settings(), **buckets, base_url="", image_buckets="")


@pytest.fixture
async def buckets(settings):
    async with open_buckets(settings) as opened:
        yield opened


def client_of(settings: Settings) -> Minio:
    """Whoever else uses the server."""
    secret = settings.minio_secret_key.get_secret_value()
    return Minio(settings.minio_endpoint, settings.minio_access_key, secret, secure=False, region="us-east-1")


@pytest.mark.parametrize("parts", AWKWARD)
async def test_an_object_is_read_as_it_was_written_whatever_its_key(buckets, parts):
    key = artifact_key(*parts)
    await buckets.artifacts.put(key, key.encode(), "image/png")
    assert await buckets.artifacts.get(key) == StoredObject(key.encode(), "image/png")
    await buckets.artifacts.put(key, b"other", "text/plain")
    assert await buckets.artifacts.get(key) == StoredObject(b"other", "text/plain")


@pytest.mark.parametrize("parts", AWKWARD)
async def test_a_link_reads_without_credentials_as_long_as_it_is_whole(buckets, parts):
    key = artifact_key(*parts)
    await buckets.artifacts.put(key, b"mask", "image/png")
    url = buckets.link(key)
    changed = url[:-1] + ("0" if url[-1] != "0" else "1")
    async with httpx.AsyncClient() as anybody:
        answer = await anybody.get(url)
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"mask", "image/png")
        assert (await anybody.get(changed)).status_code == 403
        assert (await anybody.get(url.partition("?")[0])).status_code == 403


async def test_a_photo_uploaded_in_parts_is_complete(buckets):
    photo = os.urandom(20 * 1024 * 1024)
    await buckets.photos.put("photo", photo, "image/jpeg")
    assert (await buckets.photos.get("photo")).data == photo


async def test_buckets_do_not_share_objects(buckets):
    await buckets.photos.put("k", b"photo", "image/jpeg")
    with pytest.raises(ObjectMissingError):
        await buckets.artifacts.get("k")


async def test_an_empty_object_exists(buckets):
    await buckets.artifacts.put("k", b"", "image/png")
    assert (await buckets.artifacts.get("k")).data == b""


async def test_a_removed_object_is_missing_and_may_be_removed_again(buckets):
    for key in ("a/1", "a/b/2", "a/3", "ab/4"):
        await buckets.artifacts.put(key, b"mask", "image/png")
    await buckets.artifacts.remove(["a/1", "never"])
    await buckets.artifacts.remove(["a/1"])
    await buckets.artifacts.remove([])
    with pytest.raises(ObjectMissingError):
        await buckets.artifacts.get("a/1")
    assert await buckets.artifacts.keys("a/") == ["a/3", "a/b/2"]
    assert await buckets.artifacts.keys("c/") == []


async def test_existing_buckets_are_kept(settings, buckets):
    await buckets.artifacts.put("k", b"mask", "image/png")
    async with open_buckets(settings) as again:
        assert (await again.artifacts.get("k")).data == b"mask"


async def test_a_lost_bucket_is_made_again(settings, buckets):
    client_of(settings).remove_bucket(settings.minio_bucket)
    with pytest.raises(ObjectMissingError):
        await buckets.artifacts.get("k")
    assert await buckets.artifacts.keys("") == []
    await buckets.artifacts.remove(["k"])
    await buckets.artifacts.check()
    await buckets.artifacts.put("k", b"mask", "image/png")
    assert (await buckets.artifacts.get("k")).data == b"mask"


@pytest.mark.parametrize(
    "wrong", [{"minio_access_key": "nobody"}, {"minio_secret_key": "wrong"}, {"minio_access_key": ""}]
)
async def test_wrong_credentials_are_named_at_once(settings, wrong):
    refused = Settings(**{**settings.model_dump(), **wrong})
    with pytest.raises(SettingsError, match=r"MINIO_ACCESS_KEY, MINIO_SECRET_KEY: .*refused") as caught:
        async with open_buckets(refused):
            pass
    assert settings.minio_secret_key.get_secret_value() not in str(caught.value)


async def test_a_photo_in_an_allowed_bucket_is_read(settings, buckets):
    await buckets.artifacts.put("a b/ä%2F.jpg", b"photo", "image/jpeg")
    assert await buckets.images.get(f"{settings.minio_bucket}/a b/ä%2F.jpg") == b"photo"


@pytest.mark.parametrize(
    ("location", "code"),
    [("{masks}/never.jpg", "object_missing"), ("{photos}/k", "invalid_parameters"), ("{masks}/", "invalid_parameters")],
)
async def test_an_unreadable_photo_gets_a_problem_answer(settings, buckets, location, code):
    await buckets.photos.put("k", b"photo", "image/jpeg")
    names = {"masks": settings.minio_bucket, "photos": settings.minio_photo_bucket}
    with pytest.raises(Problem) as caught:
        await buckets.images.get(location.format(**names))
    assert caught.value.code == code


async def test_a_photo_that_is_too_large_is_not_read(settings):
    limited = Settings(**{**settings.model_dump(), "max_body_bytes": 1024})
    async with open_buckets(limited) as buckets:
        await buckets.artifacts.put("fits", bytes(1024), "image/jpeg")
        await buckets.artifacts.put("large", bytes(1025), "image/jpeg")
        assert len(await buckets.images.get(f"{settings.minio_bucket}/fits")) == 1024
        with pytest.raises(Problem, match=r"body_too_large: .*/large: at most 1024 bytes"):
            await buckets.images.get(f"{settings.minio_bucket}/large")


@pytest.mark.parametrize(
    ("body", "coding", "said"),
    [
        (gzip.compress(b"photo", mtime=0), "gzip", None),
        *((b"photo", coding, None) for coding in ("aws-chunked", "base64", "utf-8", "none")),
        (b"photo", "gzip", "image_corrupt: .*says gzip. The gzip stream is damaged"),
        (b"photo", "br", "image_corrupt: .*br-encoded; accepted are gzip, deflate and none"),
        (gzip.compress(bytes(10_000_000), mtime=0), "gzip", "body_too_large"),
    ],
)
async def test_a_compressed_photo_is_decoded_or_its_error_named(settings, body, coding, said):
    limited = Settings(**{**settings.model_dump(), "max_body_bytes": 100_000})
    async with open_buckets(limited) as buckets:
        headers = {"Content-Encoding": coding}
        client_of(settings).put_object(settings.minio_bucket, "k", io.BytesIO(body), len(body), metadata=headers)
        reading = buckets.images.get(f"{settings.minio_bucket}/k")
        if said is None:
            assert await reading == b"photo"
        else:
            with pytest.raises(Problem, match=said):
                await reading


def test_an_abandoned_upload_sends_no_further_part(settings):
    class Slow(Timed):
        """Its time is over after the first part."""

        def read(self, size: int | None = -1, /) -> bytes:
            part = super().read(size)
            self._ends_at = 0.0
            return part

    sdk = client_of(settings)
    sdk.make_bucket(settings.minio_bucket)
    slow = Slow(StoredObject(bytes(24 * 2**20), "image/png"), math.inf)
    with pytest.raises(TimeoutError):
        write(sdk, settings.minio_bucket, "k", slow, None)
    assert list(sdk.list_objects(settings.minio_bucket)) == []


async def test_a_missing_bucket_has_no_keys(settings):
    elsewhere = Settings(**{**settings.model_dump(), "image_buckets": ("nowhere-at-all",)})
    async with open_buckets(elsewhere) as buckets:
        with pytest.raises(Problem, match="object_missing: s3://nowhere-at-all/k does not exist"):
            await buckets.images.get("nowhere-at-all/k")
