"""How much text a request may bring, and how many values its fields may have: all of it is known before it is parsed.

A parser makes an object of some hundred bytes of every two characters of `[[],[],…]`, and holds Python's lock
meanwhile, and with it the event loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from gateway.errors import Problem

MAX_TEXT_BYTES = 1024 * 1024
"""Of everything in a body that is not the photo."""


@dataclass(frozen=True)
class Bounds:
    """What one field may have: characters in all its texts, and values in all its lists and objects.

    The defaults are those of every field whose annotation says no others.
    """

    characters: int = 16_384
    values: int = 512

    def check(self, name: str, value: object) -> None:
        """Raise Problem `invalid_parameters`."""
        characters = values = 0
        level = [value]
        while level:
            containers = [items for items in level if isinstance(items, (list, dict))]
            characters += sum(map(len, [text for text in level if isinstance(text, str)]))
            values += sum(map(len, containers))
            if characters > self.characters:
                raise _too_many(name, characters, "characters", self.characters)
            if values > self.values:
                raise _too_many(name, values, "values", self.values)
            level = [inside for items in containers for inside in items]  # of a dict its names
            level += [inside for items in containers if isinstance(items, dict) for inside in items.values()]


_USUAL = Bounds()


def check_fields(model: type[BaseModel], fields: Mapping[str, object]) -> None:
    """Raise Problem `invalid_parameters` where a field has more than the model says."""
    for name, value in fields.items():
        known = model.model_fields.get(name)
        own = (one for one in known.metadata if isinstance(one, Bounds)) if known else iter(())
        next(own, _USUAL).check(name, value)


def too_much_beside(name: str, size: int) -> Problem:
    """The problem of a body that has so many bytes beside its photo, most of them in the field `name`."""
    limit = f"at most {MAX_TEXT_BYTES} are accepted in all fields but the photo"
    return Problem("field_too_large", f"{name[:60]}: {size} bytes; {limit}")


def _too_many(name: str, count: int, of: str, limit: int) -> Problem:
    return Problem("invalid_parameters", f"{name[:60]}: {count} {of}; at most {limit} are accepted")
