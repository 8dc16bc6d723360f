"""What becomes of a request's fields."""

import json
from collections.abc import Mapping

from gateway.errors import Problem
from gateway.pipelines.registry import Pipeline, parameters_json


def code_of(pipeline: Pipeline, fields: Mapping[str, object]) -> str | None:
    """The code of the problem; None where they make parameters."""
    try:
        json.loads(parameters_json(pipeline, fields))
    except Problem as problem:
        return problem.code
    return None
