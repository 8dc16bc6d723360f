"""Who may do what: one rule for every address."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.access.scopes import OPERATE, READ, RUN_ANY, WRITE, run
from gateway.settings import Settings


@dataclass(frozen=True)
class Rule:
    """The scope that an address needs, None where nobody is asked; and its name in the audit log, if it is told there.

    `tickets`: whether one for the job in the address is enough. Where the scope is RUN_ANY, the pipeline's own is asked
    for once the body is read.
    """

    scope: str | None
    action: str | None = None
    tickets: bool = False


OPEN = Rule(None)
"""For probes."""

_JOB = "/v1/jobs/{id}"
_FRONTAL = "/api/v1/frontal/crop"

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "GET /health": OPEN,
        "GET /health/live": OPEN,
        "GET /health/ready": OPEN,
        "GET /metrics": OPEN,
        "GET /v1/pipelines": Rule(RUN_ANY),
        "POST /v1/run/{pipeline}": Rule(RUN_ANY),
        "POST /v1/jobs": Rule(RUN_ANY, "submit"),
        "POST /process": Rule(run("body_masks"), "submit"),
        f"POST {_FRONTAL}/submit": Rule(run("face_contours"), "submit"),
        "POST /upload": Rule(run("privacy_blur"), "submit"),
        "POST /batch-upload": Rule(run("privacy_blur"), "submit"),
        "GET /v1/jobs": Rule(READ),
        f"GET {_JOB}": Rule(READ),
        f"GET {_JOB}/events": Rule(READ, tickets=True),
        f"POST {_JOB}/events/ticket": Rule(READ),
        f"GET {_JOB}/artifacts/{{name:path}}": Rule(READ, "read"),
        "GET /v1/artifacts/{key:path}": Rule(READ, "read"),
        f"GET {_FRONTAL}/status/{{id}}": Rule(READ, "read"),
        f"DELETE {_JOB}": Rule(WRITE, "delete"),
        f"POST {_JOB}/cancel": Rule(WRITE, "cancel"),
        f"POST {_JOB}/callbacks/resend": Rule(WRITE, "resend"),
        "GET /status/{id}": Rule(READ),
        "GET /batch/{id}": Rule(READ),
        "GET /stats": Rule(READ),
        "GET /queue-status": Rule(READ),
        "GET /api/v1/cache/recent": Rule(READ),
        "GET /api/v1/cache/stats": Rule(OPERATE),
        "POST /api/v1/cache/cleanup": Rule(OPERATE, "cleanup"),
        "GET /v1/poison": Rule(OPERATE),
        "POST /v1/poison/{id}/replay": Rule(OPERATE, "replay"),
        "DELETE /v1/poison/{id}": Rule(OPERATE, "drop"),
    }
)
"""By method and path; an address that is not here is not served."""


def run_rule(pipeline: str) -> Rule:
    """The rule of a pipeline's own address."""
    return Rule(run(pipeline), "run")


def rules_of(settings: Settings) -> Mapping[str, Rule]:
    """The rules that are in force."""
    return RULES if settings.metrics_open else {**RULES, "GET /metrics": Rule(OPERATE)}
