"""Objects given as JSON or as `name=value` pairs."""

from gateway.notation import read_json


def split_pairs(value: object) -> object:
    """`name=value` pairs, comma-separated, or the text of a JSON object, as an object. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        try:
            return read_json(value)
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from error
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    return {name.strip(): said.strip() for name, _, said in pairs}
