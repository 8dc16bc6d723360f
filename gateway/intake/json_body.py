"""A JSON body: the photo under `image`, parameters beside it."""

import json

from gateway.intake.images import json_image
from gateway.intake.large_json import large_json
from gateway.intake.submission import Submission
from gateway.problems import Problem


def json_submission(body: bytes) -> Submission:
    """The photo, or where it is, and the other members.

    Raises Problem `invalid_json`, `missing_image`, `invalid_base64`, `invalid_parameters`.
    """
    large = large_json(body)
    if large is not None and large.is_image((members := _members(large.rest)).pop("image", None)):
        return Submission(large.photo, members)
    members = _members(body)
    image = json_image(members.pop("image", None))
    return Submission(image, members)


def _members(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem("invalid_json", f"{error}") from error
    if not isinstance(value, dict):
        raise Problem("invalid_json", "The body must be a JSON object.")
    return value
