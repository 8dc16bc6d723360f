"""Who carries deliveries of one kind to their destination."""

from typing import Protocol

from gateway.jobs.deliveries import Delivery


class DeliveryError(Exception):
    """A delivery was not made; `lasting` where another attempt is useless; `retry_after_s` where a server named it."""

    def __init__(self, reason: str, *, lasting: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lasting = lasting
        self.retry_after_s = retry_after_s


class Courier(Protocol):
    """Carries deliveries of one kind."""

    @property
    def trouble(self) -> str | None:
        """What keeps deliveries under way for too long, in words; not the fault of one receiver."""

    async def deliver(self, delivery: Delivery) -> None:
        """Carry one. Raises DeliveryError."""

    def delay_s(self, attempts: int) -> float | None:
        """Seconds to wait after so many failed attempts; None to give up."""
