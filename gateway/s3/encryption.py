"""How S3 is told to encrypt what is stored."""

from minio.sse import Sse, SseKMS, SseS3

from gateway.settings import Settings, SettingsError


def encryption(settings: Settings) -> Sse | None:
    """What every object is written with; None where S3 does as its bucket says. Raises SettingsError."""
    if settings.s3_sse == "none":
        return None
    if settings.s3_sse == "AES256":
        return SseS3()
    if not settings.s3_sse_kms_key_id:
        raise SettingsError("S3_SSE_KMS_KEY_ID: needed with S3_SSE=aws:kms; Amazon's own key is alias/aws/s3")
    if not settings.minio_secure:
        raise SettingsError("S3_SSE=aws:kms: needs an S3 server that speaks TLS, and MINIO_SECURE=true")
    return SseKMS(settings.s3_sse_kms_key_id, settings.s3_sse_kms_context)
