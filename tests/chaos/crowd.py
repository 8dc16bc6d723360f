"""Who comes, and what they want: a row of visits in which nothing but the order of arrival is left to chance."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos import visits
from tests.chaos.messages import Message, garbage_messages, good_messages, hostile_messages, huge_messages
from tests.chaos.visits import Manner, Visit


@dataclass(frozen=True)
class Kind:
    """A kind of visitor: how many in a hundred, how they behave, and the tables their messages are drawn from."""

    share: int
    manner: Manner
    tables: tuple[str, ...]


MIX = (
    Kind(38, visits.in_turn, ("good",)),
    Kind(25, visits.in_turn, ("hostile",)),
    Kind(7, visits.leaves_midway, ("good",)),
    Kind(3, visits.leaves_after_upload, ("good",)),
    Kind(3, visits.leaves_after_upload, ("hostile",)),
    Kind(7, visits.leaves_waiting, ("good",)),
    Kind(3, visits.trickling, ("good",)),
    Kind(4, visits.in_turn, ("good", "hostile", "hostile", "good")),
    Kind(3, visits.pipelined, ("hostile", "good", "good")),
    Kind(5, visits.in_turn, ("garbage",)),
    Kind(2, visits.in_turn, ("huge",)),
)


class Crowd:
    """An endless row of visits; the same seed, the same row."""

    def __init__(self, photos: Mapping[str, bytes], seed: int) -> None:
        self._dice = random.Random(seed)
        self.good = good_messages(photos)
        self._tables: Mapping[str, Sequence[Message]] = {
            "good": self.good,
            "hostile": hostile_messages(),
            "garbage": garbage_messages(self._dice),
            "huge": huge_messages(),
        }

    def visits(self, requests: int) -> Iterator[Visit]:
        """Visits that make about this many requests."""
        while requests > 0:
            (kind,) = self._dice.choices(MIX, [kind.share for kind in MIX])
            messages = tuple(self._dice.choice(self._tables[table]) for table in kind.tables)
            requests -= len(messages)
            yield Visit(kind.manner, messages, self._dice.random())

    def stalled(self, count: int) -> Iterator[Visit]:
        """Visits that send half a request and then wait."""
        for message in self._dice.choices(self.good, k=count):
            half = message.wire[: len(message.wire) // 2]
            yield Visit(visits.in_turn, (Message("stalled", half, "request_timeout"),))
