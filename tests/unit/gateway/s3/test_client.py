import pytest

from gateway.s3.client import S3Client
from gateway.settings import Settings, SettingsError


@pytest.mark.parametrize("endpoint", ["a:b:c", "s3.example.com:99999", "user@host"])
async def test_an_endpoint_that_is_none_is_named(endpoint):
    with pytest.raises(SettingsError, match=f"MINIO_ENDPOINT={endpoint}: "):
        S3Client(Settings(minio_endpoint=endpoint))
