"""Which of the offered media types an Accept header wants (RFC 9110 §12.5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

_MOST = 64
"""A head's 64 KiB may hold 20,000, which would take the event loop for 40 ms."""


@dataclass(frozen=True)
class _Range:
    main: str
    sub: str
    quality: float

    def fits(self, media_type: str) -> int:
        """How specifically this range names a media type: 0 not at all, 3 exactly."""
        main, sub = media_type.split("/")
        if (self.main, self.sub) == ("*", "*"):
            return 1
        if self.main != main:
            return 0
        return {"*": 2, sub: 3}.get(self.sub, 0)


def choose(accept: str | None, offers: Sequence[str]) -> str | None:
    """The offer that the header likes best, the earlier of equals; None where it refuses all.

    No header takes the first offer. Parts that are no media range are passed over, and those after the first _MOST.
    """
    if accept is None or not accept.strip():
        return offers[0]
    ranges = [parsed for part in accept.split(",", _MOST)[:_MOST] if (parsed := _parse(part))]
    best = max(offers, key=lambda offer: _quality(offer, ranges))
    return best if _quality(best, ranges) > 0 else None


def _quality(media_type: str, ranges: Sequence[_Range]) -> float:
    fitting = max(ranges, key=lambda item: item.fits(media_type), default=None)
    return fitting.quality if fitting and fitting.fits(media_type) else 0.0


def _parse(part: str) -> _Range | None:
    name, *options = (item.strip().lower() for item in part.split(";"))
    main, slash, sub = name.partition("/")
    if not (main and slash and sub):
        return None
    quality = next((option[2:] for option in options if option.startswith("q=")), "1")
    try:
        return _Range(main, sub, min(1.0, max(0.0, float(quality))))
    except ValueError:
        return None
