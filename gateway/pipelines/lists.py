"""Lists given as JSON arrays or as comma-separated text."""

from typing import TypeVar

T = TypeVar("T")

MAX_ITEMS = 64


def split_list(value: object) -> object:
    """Items of comma-separated text, or of a list of such texts; anything else is passed on to validation.

    Raises ValueError past MAX_ITEMS items, so that a hostile list costs nothing.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        return value
    if len(texts) > MAX_ITEMS:
        raise ValueError(f"at most {MAX_ITEMS} items are accepted")
    items = [part for text in texts for part in _parts(text)]
    if len(items) > MAX_ITEMS:
        raise ValueError(f"at most {MAX_ITEMS} items are accepted")
    return items


def without_repeats(items: tuple[T, ...]) -> tuple[T, ...]:
    """The items in their first order, each once."""
    return tuple(dict.fromkeys(items))


def not_empty(items: tuple[T, ...]) -> tuple[T, ...]:
    """The items. Raises ValueError where there are none."""
    if not items:
        raise ValueError("at least one item is needed")
    return items


def _parts(text: object) -> list[object]:
    if not isinstance(text, str):
        return [text]
    return [part.strip() for part in text.split(",") if part.strip()]
