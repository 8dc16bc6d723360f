"""A JSON object, of a request or of a message: the photo under `image`, parameters beside it."""

from gateway.intake.images import json_image
from gateway.intake.large_json import large_json
from gateway.intake.submission import Submission
from gateway.notation import read_json
from gateway.problems import Problem


def json_submission(body: bytes) -> Submission:
    """The photo, or where it is, and the other members.

    Raises Problem `invalid_json`, `missing_image`, `invalid_base64`, `invalid_parameters`.
    """
    large = large_json(body)
    if large is not None and large.is_image((members := json_members(large.rest)).pop("image", None)):
        return Submission(large.photo, members)
    members = json_members(body)
    image = json_image(members.pop("image", None))
    return Submission(image, members)


def json_members(text: bytes) -> dict[str, object]:
    """The members of a JSON object. Raises Problem `invalid_json`."""
    try:
        value = read_json(text)
    except ValueError as error:
        raise Problem("invalid_json", f"{error}") from error
    if isinstance(value, str) and value.lstrip().startswith("{"):
        raise Problem("invalid_json", "A text that holds JSON came: it was encoded twice; send the object itself.")
    if not isinstance(value, dict):
        raise Problem("invalid_json", f"A JSON object is needed, {{…}}; this is {_KINDS[type(value)]}.")
    return value


_KINDS = {
    list: "an array",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}
