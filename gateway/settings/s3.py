"""Where photos and masks are kept."""

import json
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from gateway.settings.fields import CommaSeparated, SettingsGroup
from gateway.settings.places import place_check
from gateway.settings.public import public_endpoint

Encryption = Literal["none", "AES256", "aws:kms"]
_ENCRYPTIONS: dict[str, Encryption] = {
    "none": "none",
    "aes256": "AES256",
    "sse-s3": "AES256",
    "aws:kms": "aws:kms",
    "sse-kms": "aws:kms",
}


def _own_token(token: SecretStr) -> SecretStr:
    """No token where it is a person's own, in an environment whose key is another."""
    given = os.environ
    ambient = token.get_secret_value() == given.get("AWS_SESSION_TOKEN") and not given.get("MINIO_SESSION_TOKEN")
    other_key = given.get("MINIO_ACCESS_KEY") or not given.get("AWS_ACCESS_KEY_ID")
    return SecretStr("") if ambient and other_key else token


def _object(value: object) -> object:
    """What JSON text says. Raises ValueError where it is none."""
    return json.loads(value) if isinstance(value, str) else value


def _encryption(value: object) -> object:
    """The header's word, for any of its names."""
    return _ENCRYPTIONS.get(value.strip().lower(), value) if isinstance(value, str) else value


class S3Settings(SettingsGroup):
    """Any S3: MinIO, AWS, SeaweedFS."""

    minio_endpoint: Annotated[
        str, AfterValidator(place_check("host:port, or a URL such as https://s3.example.com without a path,"))
    ] = Field(
        "",
        description="host:port, or URL, of the S3 server; the embedded one, where `maskwright up` runs, when not set.",
    )
    minio_access_key: str = Field(
        "",
        validation_alias=AliasChoices("MINIO_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        description="Access key; made by the embedded stack when not set. For another server without key and secret "
        "AWS's ways to find them are tried: web identity, AWS_PROFILE, container and instance roles.",
    )
    minio_secret_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("MINIO_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"),
        description="Its secret; made by the embedded stack when not set.",
    )
    minio_session_token: Annotated[SecretStr, AfterValidator(_own_token)] = Field(
        SecretStr(""),
        validation_alias=AliasChoices("MINIO_SESSION_TOKEN", "AWS_SESSION_TOKEN"),
        description="Token of keys that end; AWS_SESSION_TOKEN counts where the key is AWS_ACCESS_KEY_ID.",
    )
    minio_bucket: str = Field(
        "masks",
        min_length=3,
        max_length=63,
        validation_alias=AliasChoices("MINIO_BUCKET", "S3_BUCKET"),
        description="Bucket of the masks, and of uploads and their blurred copies.",
    )
    minio_photo_bucket: str = Field(
        "mask-photos",
        min_length=3,
        max_length=63,
        description="Bucket of the photos that jobs wait with; keep it private.",
    )
    minio_secure: bool = Field(
        default=False, description="Whether the S3 server speaks TLS; when not set, as the URL in MINIO_ENDPOINT says."
    )
    minio_region: str = Field(
        "us-east-1",
        validation_alias=AliasChoices("MINIO_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
        description="Region of the S3 server; links are signed for it.",
    )
    minio_ca_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("MINIO_CA_FILE", "AWS_CA_BUNDLE"),
        description="Certificate authorities of the S3 server, beside the system's.",
    )
    s3_addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto",
        description="Whether buckets are named in the path or in the host name; auto: the latter on Amazon's hosts.",
    )
    s3_sse: Annotated[Encryption, BeforeValidator(_encryption)] = Field(
        "none", description="How S3 is told to encrypt photos and masks: AES256 (SSE-S3) or aws:kms (SSE-KMS)."
    )
    s3_sse_kms_key_id: str = Field("", description="Key of SSE-KMS: an id, ARN or alias; needed with aws:kms.")
    s3_sse_kms_context: Annotated[dict[str, str], NoDecode, BeforeValidator(_object)] = Field(
        {}, description="Encryption context of SSE-KMS, as a JSON object of texts."
    )
    image_buckets: CommaSeparated[tuple[str, ...]] = Field(
        (),
        description="Buckets a job's image of type s3 may come from, comma-separated; MINIO_BUCKET alone when not set.",
    )
    base_url: str = Field(
        "",
        pattern=r"^$|^https?://\S+$",
        examples=["a URL such as https://masks.example.com"],
        description="Links to masks are this + key; presigned links when not set.",
    )
    s3_public_endpoint: Annotated[str, AfterValidator(public_endpoint)] = Field(
        "",
        description="Where others reach the S3 server, such as https://s3.example.com: presigned links are for it; "
        "MINIO_ENDPOINT when not set. A path, such as https://example.com/s3, is one that the proxy there strips.",
    )
    artifact_links: Literal["presigned", "gateway"] = Field(
        "presigned",
        description="presigned: links to artifacts lead into S3; gateway: to the gateway, which asks who reads, for "
        "buckets that others do not reach.",
    )
    presigned_url_expiry: int = Field(
        604_800,
        ge=60,
        le=31_536_000,
        description="Life of a presigned link in seconds; S3 itself allows no more than 604800, seven days.",
    )
    s3_port: Annotated[int, Field(ge=1, le=55_000)] = Field(
        9000, description="Port of the embedded S3; the four after it, and each + 10000, are used too."
    )
