"""Results that are kept, so that equal requests cost nothing."""

from pydantic import Field

from gateway.settings.fields import SettingsGroup


class CacheSettings(SettingsGroup):
    """The cache."""

    cache_enabled: bool = Field(default=True, description="Whether results are kept for equal requests.")
    cache_ttl_hours: float = Field(24.0, gt=0, le=87_600, description="Hours that a result is kept.")
    cache_failure_ttl_hours: float = Field(
        1.0,
        gt=0,
        le=87_600,
        description="Hours that a refusal is kept, such as of a photo that shows nobody; CACHE_TTL_HOURS at most.",
    )
    cache_max_bytes: int = Field(
        1_048_576_000,
        ge=1024 * 1024,
        description="Bytes of results that are kept; those used least recently go first, of tenants with more than "
        "their part. Without a database a quarter of MEMORY_STORE_BYTES at most.",
    )
    cache_namespace: str = Field(
        "",
        max_length=100,
        description="Any text; a new one makes all that is kept unused, as after models were changed under an old "
        "version number.",
    )
    similarity_bits: int = Field(
        0,
        ge=0,
        le=15,
        description="Bits of 64 in which the perceptual hashes of two photos may differ to share a result, if their "
        "parameters are equal and their landmarks alike; 0: off.",
    )
    similarity_tolerance: float = Field(
        0.002,
        ge=0,
        le=0.02,
        description="Largest distance between corresponding landmarks that are alike, as a share of the diagonal of "
        "the face's box.",
    )
