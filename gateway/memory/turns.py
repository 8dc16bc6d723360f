"""Whose turn it is."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from gateway.jobs.job import Job


def in_turn(unfinished: Iterable[tuple[str, list[Job]]], user_concurrency: int) -> Iterator[Job]:
    """Jobs that wait for no other job of their user; of a user, those that run come first.

    Jobs of nobody wait for none.
    """
    for user, jobs in unfinished:
        yield from heapq.nsmallest(user_concurrency, jobs, key=_turn) if user else jobs


def in_rounds(due: Iterable[Job], busy: Mapping[str, int], after: str) -> list[Job]:
    """Due jobs in the order in which they are claimed, which goes round the tenants.

    A tenant's by priority and age; first those of whoever has fewest running, `busy`, with those before them; of equals
    the next by name past `after`.
    """
    taken, places = Counter(busy), dict[int, tuple[int, bool, str]]()
    jobs = sorted(due, key=lambda job: (-job.request.priority, job.sequence))
    for job in jobs:
        tenant = job.request.tenant
        taken[tenant] += 1
        places[job.sequence] = taken[tenant], tenant <= after, tenant
    return sorted(jobs, key=lambda job: places[job.sequence])


def _turn(job: Job) -> tuple[bool, int, int]:
    return job.state != "running", -job.request.priority, job.sequence
