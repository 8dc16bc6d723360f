import pytest

from gateway.s3.buckets import open_buckets
from gateway.s3.client import S3Client
from gateway.settings import Settings, SettingsError


async def test_an_invalid_endpoint_is_named():
    with pytest.raises(SettingsError, match=r"MINIO_ENDPOINT=foo\.amazonaws\.com\.cn: invalid"):
        S3Client(Settings(minio_endpoint="foo.amazonaws.com.cn"))


async def test_photos_are_not_kept_where_masks_are():
    with pytest.raises(SettingsError, match="MINIO_PHOTO_BUCKET"):
        async with open_buckets(Settings(minio_endpoint="s3", minio_bucket="one", minio_photo_bucket="one")):
            pass
