from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from gateway.jobs.objects import artifact_key
from gateway.s3.buckets import artifact_links, warn_of_short_links
from gateway.s3.client import Identity, S3Client
from gateway.settings import Settings

KEY = artifact_key("_", "a/b", "ä.png")
ACCOUNT = {"minio_endpoint": "s3.example.com", "minio_access_key": "app", "minio_secret_key": "secret"}


def link(**changes: object) -> str:
    settings = Settings(**ACCOUNT, **changes)
    return artifact_links(S3Client(settings).signer, settings)(KEY)


@pytest.mark.parametrize("base", ["https://masks.example.com/m", "https://masks.example.com/m//"])
async def test_a_link_is_the_base_url_and_the_quoted_key(base):
    url = link(base_url=base)
    assert url == "https://masks.example.com/m/" + quote(KEY)
    assert unquote(urlsplit(url).path) == f"/m/{KEY}"


async def test_an_old_services_links_stay_as_they_were():
    settings = Settings(**ACCOUNT, base_url="http://127.0.0.1:9000/masks")
    url = artifact_links(S3Client(settings).signer, settings)(artifact_key("123", "req-123-001", "upper_body_mask.png"))
    assert url == "http://127.0.0.1:9000/masks/123/req-123-001/upper_body_mask.png"


@pytest.mark.parametrize(("wanted", "life"), [(60, "60"), (604_800, "604800"), (31_536_000, "604800")])
async def test_without_a_base_url_a_link_is_signed_for_as_long_as_s3_allows(wanted, life):
    url = urlsplit(link(presigned_url_expiry=wanted, minio_region="eu-west-1"))
    query = parse_qs(url.query)
    assert (url.scheme, url.netloc, unquote(url.path)) == ("http", "s3.example.com", f"/masks/{KEY}")
    assert query["X-Amz-Expires"] == [life]
    assert "/eu-west-1/s3/" in query["X-Amz-Credential"][0]
    assert link(minio_secure=True).startswith("https://")


@pytest.mark.parametrize(
    ("endpoint", "start"),
    [
        ("https://s3.example.org", "https://s3.example.org/masks/"),
        ("https://S3.example.org:443/", "https://s3.example.org/masks/"),
        ("http://s3.example.org:8443", "http://s3.example.org:8443/masks/"),
        ("https://example.org/files/s3/", "https://example.org/files/s3/masks/"),
        ("http://[2001:db8::1]:9000", "http://[2001:db8::1]:9000/masks/"),
    ],
)
async def test_links_are_signed_for_the_public_host(endpoint, start):
    url = link(s3_public_endpoint=endpoint)
    assert url.startswith(start + quote(KEY))
    assert "X-Amz-SignedHeaders=host" in url


async def test_buckets_may_be_named_in_the_public_host():
    url = link(s3_public_endpoint="https://s3.example.org", s3_addressing_style="virtual")
    assert url.startswith("https://masks.s3.example.org/" + quote(KEY))


@pytest.mark.parametrize(
    "endpoint", ["s3.example.org", "ftp://s3.example.org", "https://a@b", "https://a?b", "https://a/../b", "https://"]
)
def test_an_invalid_public_endpoint_is_refused(endpoint):
    with pytest.raises(ValidationError, match="would be right"):
        Settings(s3_public_endpoint=endpoint)


@pytest.mark.parametrize(
    ("changes", "warnings"),
    [({}, 0), ({"presigned_url_expiry": 604_801}, 1), ({"presigned_url_expiry": 604_801, "base_url": "https://x"}, 0)],
)
def test_links_that_expire_early_are_reported(changes, warnings):
    with capture_logs() as lines:
        warn_of_short_links(Settings(**changes), Identity(None, ""))
    assert [line["log_level"] for line in lines] == ["warning"] * warnings
