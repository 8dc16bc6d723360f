"""One POST of a delivery, and what its answer means."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import anyio
import httpx

from gateway.fetching.client import Client
from gateway.fetching.urls import shown
from gateway.jobs.outbox import DeliveryError
from gateway.problems import Problem

_LONGEST_RETRY_AFTER_S = 86_400.0


async def post(client: Client, request: httpx.Request, lasting: frozenset[int] = frozenset()) -> None:
    """Send a request and see it taken with a 2xx, all within the client's time.

    Raises DeliveryError, for good where the answer's status is one of `lasting`; a redirect is a failure.
    """
    with _told(request.url, client.timeout_s), anyio.fail_after(client.timeout_s):
        async with client.send(request) as response:
            if not response.is_success:
                raise _refusal(request.url, response, lasting)


@contextmanager
def problems_told() -> Iterator[None]:
    """Turns a Problem into a DeliveryError, lasting where the problem is."""
    try:
        yield
    except Problem as problem:
        raise DeliveryError(problem.detail, lasting=not problem.transient) from problem


@contextmanager
def _told(url: httpx.URL, timeout_s: float) -> Iterator[None]:
    try:
        with problems_told():
            yield
    except (TimeoutError, httpx.TimeoutException) as error:
        raise DeliveryError(f"{shown(url)}: no answer within {timeout_s:g} s") from error
    except httpx.TransportError as error:
        raise DeliveryError(f"{shown(url)}: {error}") from error


def _refusal(url: httpx.URL, response: httpx.Response, lasting: frozenset[int]) -> DeliveryError:
    """Without the body: callers read the reason, and could have pages fetched that are not theirs to read."""
    return DeliveryError(
        f"{shown(url)} answered {response.status_code}",
        lasting=response.status_code in lasting,
        retry_after_s=_retry_after_s(response.headers.get("retry-after")),
    )


def _retry_after_s(value: str | None) -> float:
    """Seconds from now, at most a day; 0 where the header is missing or makes no sense (RFC 9110, 10.2.3)."""
    if not value:
        return 0.0
    try:
        seconds = float(value) if value.isdecimal() else _seconds_until(parsedate_to_datetime(value))
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER_S)


def _seconds_until(moment: datetime) -> float:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()
