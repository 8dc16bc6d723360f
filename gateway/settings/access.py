"""Who may send requests, and how many."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from gateway.hosts import host_pattern, origin_pattern
from gateway.settings.fields import CommaSeparated, SettingsGroup
from gateway.settings.names import SCOPE_PATTERN, TENANT_PATTERN

_MANY_CALLERS = 10
"""So many of a tenant's callers at once may take all that each of them may."""


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
        None, description="File of public keys (JWKS) of whoever signs tokens; read again when it changes."
    )
    jwt_jwks_url: str = Field(
        "",
        pattern=r"^$|^https?://\S+$",
        examples=["a URL such as https://login.example.com/.well-known/jwks.json"],
        description="The same at the issuer's address; asked each hour, and when a token names a new key.",
    )
    jwt_issuer: str = Field("", description="Issuer (`iss`) that tokens must have; needed for tokens.")
    jwt_audience: str = Field("", description="Audience (`aud`) that tokens must have; needed for tokens.")
    jwt_required_claims: CommaSeparated[tuple[Annotated[str, Field(pattern="^[^=]+=.+$")], ...]] = Field(
        (),
        examples=["name=value, such as repository_owner=acme"],
        description="Claims that tokens must have, as name=value, comma-separated; needed for issuers that serve "
        "others too, such as repository_owner=acme.",
    )
    jwt_tenant_claim: str = Field("tenant", min_length=1, description="Claim of a token that names its tenant.")
    jwt_default_tenant: str = Field(
        "", pattern=f"^$|^{TENANT_PATTERN}$", examples=["acme"], description="Tenant of tokens that name none."
    )
    jwt_scopes_claim: CommaSeparated[tuple[str, ...]] = Field(
        ("scope", "scp"),
        description="Claims of a token that hold its scopes, comma-separated; a dot leads into one, as in "
        "realm_access.roles.",
    )
    jwt_scopes_prefix: str = Field("", description="What stands before our scopes there, such as maskwright/.")
    jwt_default_scopes: CommaSeparated[tuple[Annotated[str, Field(pattern=f"^(?:{SCOPE_PATTERN})$")], ...]] = Field(
        (),
        examples=["run:*, jobs:* and operate"],
        description="Scopes of tokens that have none of these claims, comma-separated.",
    )
    caller_requests_per_minute: int = Field(
        0,
        ge=0,
        description="Requests that one caller, a key or a token's `sub`, may send a minute, and at once; 0: any "
        "number. Where nobody is asked a caller is an address.",
    )
    caller_bytes_per_minute: int = Field(
        0, ge=0, description="Bytes of bodies that one caller may send a minute, and at once; 0: any number."
    )
    tenant_requests_per_minute: int = Field(
        default_factory=lambda values: _MANY_CALLERS * values.get("caller_requests_per_minute", 0),
        ge=0,
        description="Requests that all tokens of a tenant may send a minute together; 0: any number. When not set ten "
        "times CALLER_REQUESTS_PER_MINUTE.",
    )
    tenant_bytes_per_minute: int = Field(
        default_factory=lambda values: _MANY_CALLERS * values.get("caller_bytes_per_minute", 0),
        ge=0,
        description="Bytes of bodies that all tokens of a tenant may send a minute together; 0: any number. When not "
        "set ten times CALLER_BYTES_PER_MINUTE.",
    )
    allowed_hosts: CommaSeparated[tuple[Annotated[str, AfterValidator(host_pattern)], ...]] = Field(
        (),
        description="Hosts that requests may name beside this machine's own names, comma-separated, such as "
        "masks.example.com or *.example.com; `*` for any. Not set: with ACCESS=off none, else any.",
    )
    allowed_origins: CommaSeparated[tuple[Annotated[str, AfterValidator(origin_pattern)], ...]] = Field(
        (),
        description="Web pages that may use the gateway from a browser (CORS), comma-separated, such as "
        "https://shop.example.com or https://*.example.com; `*` for every page.",
    )
    audit_retention_days: int = Field(
        365, ge=0, le=36_500, description="Days after which entries of the audit log in the database go; 0: never."
    )
    metrics_open: bool = Field(
        default=True,
        description="false: with ACCESS=required, /metrics needs the scope `operate`; PROMETHEUS_PORT asks nobody.",
    )
