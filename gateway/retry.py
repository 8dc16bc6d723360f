"""When a call to Triton is worth repeating, and until when.

Its addresses and its files are in the log alone; callers are told that it did not answer.
"""

import asyncio
import random

from tritonclient.utils import InferenceServerException

from gateway.deadline import Deadline
from gateway.logs import get_logger
from gateway.problems import Problem

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_STUB_DEATHS_BORNE = 2

_log = get_logger(__name__)


class Retry:
    """The attempts of one request: exponential backoff with jitter, within its deadline and the patience allowed."""

    def __init__(self, deadline: Deadline, patience_s: float) -> None:
        self._deadline = deadline
        self._patience = Deadline(patience_s)
        self._is_patient = patience_s > 0
        self._pause_s = _FIRST_PAUSE_S
        self._stub_deaths = 0

    def attempt_s(self) -> float:
        """Seconds the next attempt may take. Raises Problem `deadline_exceeded`."""
        remaining = self._deadline.remaining()
        if remaining <= 0:
            raise self._deadline.exceeded()
        return remaining

    async def after(self, error: InferenceServerException) -> None:
        """Pause before the next attempt.

        Raises Problem where another would be useless or too late: `deadline_exceeded`, `triton_unavailable`,
        `model_missing`, `inference_failed`.
        """
        if not self._transient(error):
            raise self._final(error)
        pause_s = self._pause_s * random.uniform(0.7, 1.3)  # noqa: S311 jitter, not a secret
        if pause_s > min(self._deadline.remaining(), self._patience.remaining()):
            if self._is_patient:  # who is not asks each second whether Triton is there
                _log.warning("Triton did not answer", reason=error.message())
            raise Problem("triton_unavailable", "Triton did not answer.", retry_after=self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        await asyncio.sleep(pause_s)

    def _transient(self, error: InferenceServerException) -> bool:
        """Whether Triton is away, or its python process died; a photo that kills it again and again is given up."""
        if "stub process" in error.message().lower():
            self._stub_deaths += 1
            return self._stub_deaths <= _STUB_DEATHS_BORNE
        return bool(error.status() == "StatusCode.UNAVAILABLE")

    def _final(self, error: InferenceServerException) -> Problem:
        if error.status() == "StatusCode.DEADLINE_EXCEEDED":
            return self._deadline.exceeded()
        if error.status() == "StatusCode.NOT_FOUND":
            detail = f"Triton answered: {error.message()}; `maskwright models verify` says what is missing."
            return Problem("model_missing", detail)
        _log.warning("Triton failed", reason=error.message())
        return Problem("inference_failed", f"Triton answered: {_first_line(error.message())}")


def _first_line(message: str) -> str:
    """Without the traceback that a python model's error has below it: callers are told no paths."""
    return next(iter(message.strip().splitlines()), "nothing")
