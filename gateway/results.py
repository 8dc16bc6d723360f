"""What an inference gives back, or why it gave nothing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """Why a job failed: a code of gateway.problems.PROBLEMS, and a sentence."""

    code: str
    detail: str
