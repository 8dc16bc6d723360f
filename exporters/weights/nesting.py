"""Where in a checkpoint the weights are: training scripts put them beside other things, and words before their keys."""

import re
from collections.abc import Iterator, Mapping

_DEEPEST = 2
"""How many dictionaries may lie around the weights. Those of an optimiser lie deeper."""
_MOST_WORDS = 4
"""How many words may stand before all keys."""
_AVERAGED = "ema"
_PART = re.compile(r"model\d(_\d)?\.")
"""A part of OpenPose's module, such as `model1_2`. The public file names layers without it."""


def weights_of(root: object, kind: type) -> Mapping[str, object] | None:
    """The weights in what a file holds: of its dictionaries that with the most values of `kind`. None if there is none.

    Of two alike, the one under a name with `ema` in it: their average over time, with which training scripts test.
    What stands before all keys, such as `module.` of DataParallel, is left out.
    """
    found = [(_count(entries, kind), averaged, entries) for averaged, entries in _dictionaries(root)]
    most, _, entries = max(found, key=lambda one: one[:2], default=(0, False, {}))
    return _unprefixed(entries) if most else None


def _dictionaries(root: object) -> Iterator[tuple[bool, Mapping[object, object]]]:
    """Each dictionary, and whether it is under a name of averages. Once, even if it lies in itself."""
    seen: set[int] = set()
    level = [(False, root)]
    for _ in range(_DEEPEST + 1):
        here = [(averaged, one) for averaged, one in level if isinstance(one, dict) and id(one) not in seen]
        seen.update(id(one) for _, one in here)
        yield from here
        inner = [(averaged, key, one) for averaged, entries in here for key, one in entries.items()]
        level = [(averaged or _is_average(key), one) for averaged, key, one in inner]


def _is_average(key: object) -> bool:
    return isinstance(key, str) and _AVERAGED in key.lower()


def _count(entries: Mapping[object, object], kind: type) -> int:
    return sum(isinstance(value, kind) for value in entries.values())


def _unprefixed(entries: Mapping[object, object]) -> Mapping[str, object]:
    """The entries without the words that all keys start with, and without OpenPose's parts."""
    keys = [str(key) for key in entries]
    for _ in range(_MOST_WORDS):
        if all("." in key for key in keys) and len({key.partition(".")[0] for key in keys}) == 1:
            keys = [key.partition(".")[2] for key in keys]
    if all(_PART.match(key) for key in keys):
        keys = [_PART.sub("", key, count=1) for key in keys]
    return dict(zip(keys, entries.values(), strict=True))
