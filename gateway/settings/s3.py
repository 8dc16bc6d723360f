"""Where photos and masks are kept."""

from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr

from gateway.settings.fields import CommaSeparated, SettingsGroup


class S3Settings(SettingsGroup):
    """Any S3: MinIO, AWS, SeaweedFS."""

    minio_endpoint: str = Field(
        "",
        pattern=r"^$|^[^\s/]+$",
        description="host:port of the S3 server; the embedded one, where `maskwright up` runs, when not set.",
    )
    minio_access_key: str = Field(
        "",
        validation_alias=AliasChoices("MINIO_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        description="Access key; made by the embedded stack when not set.",
    )
    minio_secret_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("MINIO_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"),
        description="Its secret; made by the embedded stack when not set.",
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
    minio_secure: bool = Field(default=False, description="Whether the S3 server speaks TLS.")
    minio_region: str = Field(
        "us-east-1",
        validation_alias=AliasChoices("MINIO_REGION", "AWS_REGION"),
        description="Region of the S3 server; links are signed for it.",
    )
    image_buckets: CommaSeparated[tuple[str, ...]] = Field(
        (),
        description="Buckets a job's image of type s3 may come from, comma-separated; MINIO_BUCKET alone when not set.",
    )
    base_url: str = Field(
        "", pattern=r"^$|^https?://\S+$", description="Links to masks are this + key; presigned links when not set."
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
