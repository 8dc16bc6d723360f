"""The description as a whole."""

from fastapi import FastAPI
from fastapi.routing import APIRoute

from gateway.openapi.problems import COMPONENT, PROBLEM_SCHEMA
from gateway.openapi.security import SCHEMES
from gateway.routes.schemas import RunSummary


def complete(app: FastAPI) -> None:
    """Complete the application's description, which is made here and then kept."""
    document = app.openapi()
    summary = RunSummary.model_json_schema(ref_template=COMPONENT)
    document["components"]["schemas"].update({**summary.pop("$defs"), "RunSummary": summary, "Problem": PROBLEM_SCHEMA})
    document["components"]["securitySchemes"] = SCHEMES
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                _restore_examples(route, document["paths"][route.path_format][method.lower()]["responses"])


def _restore_examples(route: APIRoute, responses: dict[str, dict[str, dict[str, dict[str, object]]]]) -> None:
    """FastAPI leaves every null out of a description, also where it is a value."""
    for status, answer in route.responses.items():
        for kind, content in answer.get("content", {}).items():
            if "example" in content:
                responses[str(status)]["content"][kind]["example"] = content["example"]
