"""Names of tenants."""

import re

TENANT_PATTERN = r"[a-z0-9][a-z0-9_-]{0,62}"
"""Fits into a key of the object store, a column and a log line as it is."""

_TENANT = re.compile(TENANT_PATTERN)


def is_tenant(text: str) -> bool:
    """Whether it can name a tenant; the empty name is that of all who name none."""
    return not text or _TENANT.fullmatch(text) is not None
