"""Who may send requests, and how many."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from gateway.settings.fields import SettingsGroup


class AccessSettings(SettingsGroup):
    """Callers: what they must show, and what each may take."""

    access: Literal["off", "required", "open"] = Field(
        "off",
        description="required: every request needs a token or an API key; off: none does, and the gateway listens on "
        "loopback alone; open: none does at any address, for those behind a proxy that asks.",
    )
    jwt_secret: SecretStr = Field(
        SecretStr(""), description="Secret of tokens that are signed with HS256, 32 bytes or more; refused without it."
    )
    jwt_jwks_file: Path | None = Field(
        None,
        description="File of public keys (JWKS) of tokens that are signed with RS256; read again when it changes.",
    )
    jwt_issuer: str = Field("", description="Issuer (`iss`) that tokens must have; needed for tokens.")
    jwt_audience: str = Field("", description="Audience (`aud`) that tokens must have; needed for tokens.")
    jwt_tenant_claim: str = Field("tenant", min_length=1, description="Claim of a token that names its tenant.")
    caller_requests_per_minute: int = Field(
        0, ge=0, description="Requests that one caller may send a minute, and at once; 0: any number."
    )
    caller_bytes_per_minute: int = Field(
        0, ge=0, description="Bytes of bodies that one caller may send a minute, and at once; 0: any number."
    )
    audit_retention_days: int = Field(
        365, ge=0, le=36_500, description="Days after which entries of the audit log in the database go; 0: never."
    )
    metrics_open: bool = Field(
        default=True,
        description="false: with ACCESS=required, /metrics needs the scope `operate`; PROMETHEUS_PORT asks nobody.",
    )
