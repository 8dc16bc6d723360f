import pytest

from gateway.s3.bucket import open_buckets
from gateway.s3.client import S3Client
from gateway.settings import Settings, SettingsError


@pytest.mark.parametrize("endpoint", ["a:b:c", "s3.example.com:99999", "user@host"])
async def test_an_endpoint_that_is_none_is_named(endpoint):
    with pytest.raises(SettingsError, match=f"MINIO_ENDPOINT={endpoint}: "):
        S3Client(Settings(minio_endpoint=endpoint))


async def test_photos_are_not_kept_where_masks_are():
    with pytest.raises(SettingsError, match="MINIO_PHOTO_BUCKET"):
        async with open_buckets(Settings(minio_endpoint="s3", minio_bucket="one", minio_photo_bucket="one")):
            pass
