"""What a caller may be allowed to do.

- `run:PIPELINE`: run it, at once or as a job; `run:*` for every pipeline
- `jobs:read`: look at the tenant's jobs and their artifacts
- `jobs:write`: cancel and delete them, send their callbacks again; `jobs:*` for both
- `operate`: the poison book and the cache, whose figures are everybody's; the metrics, where they are closed
"""

import re
from collections.abc import Collection

READ, WRITE, OPERATE = "jobs:read", "jobs:write", "operate"
RUN_ANY = "run"
"""What an address asks for whose pipeline only the request's body names: any pipeline at all."""
EVERYTHING = frozenset({"run:*", "jobs:*", OPERATE})

SCOPE_PATTERN = r"run:(?:\*|[a-z0-9_]{1,64})|jobs:(?:read|write|\*)|operate"
_SCOPE = re.compile(SCOPE_PATTERN)


def is_scope(text: str) -> bool:
    """Whether there is such a scope."""
    return _SCOPE.fullmatch(text) is not None


def run(pipeline: str) -> str:
    """The scope that a pipeline needs."""
    return f"run:{pipeline}"


def allowed(granted: Collection[str], needed: str) -> bool:
    """Whether one of the granted scopes is the needed one, or the `*` of its kind."""
    if needed == RUN_ANY:
        return any(scope.startswith("run:") for scope in granted)
    kind, colon, _ = needed.partition(":")
    return needed in granted or (bool(colon) and f"{kind}:*" in granted)
