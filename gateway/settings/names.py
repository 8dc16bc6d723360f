"""How scopes and tenants are named: in settings, tokens and keys alike."""

import re

SCOPE_PATTERN = r"run:(?:\*|[a-z0-9_]{1,64})|jobs:(?:read|write|\*)|operate"
"""What each allows stands in gateway.access.callers."""
TENANT_PATTERN = r"[a-z0-9][a-z0-9_-]{0,62}"
"""Fits into a key of the object store, a column and a log line as it is."""


def is_scope(text: str) -> bool:
    """Whether there is such a scope."""
    return re.fullmatch(SCOPE_PATTERN, text) is not None


def is_tenant(text: str) -> bool:
    """Whether a text can name a tenant; callers without a tenant have the empty name."""
    return not text or re.fullmatch(TENANT_PATTERN, text) is not None
