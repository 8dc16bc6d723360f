"""What addresses ask of their callers, as the API's description has it."""

from gateway.http.guard import Rule
from gateway.openapi.codes import ACCESS

_WHERE = "Asked for with ACCESS=required."
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": f"A JSON Web Token or an API key. {_WHERE}"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": f"An API key. {_WHERE}"},
}


def security(rule: Rule) -> dict[str, object]:
    """Either scheme, and the scope (OpenAPI 3.1: a list of roles); nothing for all to see."""
    return {"security": [] if rule.scope is None else [{name: [rule.scope]} for name in SCHEMES]}


def refusals(rule: Rule) -> tuple[str, ...]:
    """Codes of those whom the rule does not let in."""
    return () if rule.scope is None else ACCESS
