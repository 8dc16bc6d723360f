"""Objects given as JSON or as `name=value` pairs."""

from gateway.notation import read_json
from gateway.pipelines.lists import MAX_ITEMS


def split_pairs(value: object) -> object:
    """`name=value` pairs, comma-separated, or the text of a JSON object, as an object of at most MAX_ITEMS.

    Raises ValueError.
    """
    pairs = _parsed(value) if isinstance(value, str) else value
    if isinstance(pairs, dict) and len(pairs) > MAX_ITEMS:
        raise ValueError(f"at most {MAX_ITEMS} items are accepted")
    return pairs


def _parsed(value: str) -> object:
    if value.lstrip().startswith("{"):
        try:
            return read_json(value)
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from error
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    return {name.strip(): said.strip() for name, _, said in pairs}
