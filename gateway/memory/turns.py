"""Whose turn it is."""

import heapq
from collections.abc import Iterable, Iterator

from gateway.jobs.job import Job


def in_turn(unfinished: Iterable[tuple[str, list[Job]]], user_concurrency: int) -> list[Job]:
    """Jobs that wait for no other job of their user, in the order in which they are claimed: by priority and age.

    Of a user, those that run come first. Jobs of nobody wait for none.
    """
    return sorted(_first(unfinished, user_concurrency), key=lambda job: (-job.request.priority, job.sequence))


def _first(unfinished: Iterable[tuple[str, list[Job]]], user_concurrency: int) -> Iterator[Job]:
    for user, jobs in unfinished:
        yield from heapq.nsmallest(user_concurrency, jobs, key=_turn) if user else jobs


def _turn(job: Job) -> tuple[bool, int, int]:
    return job.state != "running", -job.request.priority, job.sequence
