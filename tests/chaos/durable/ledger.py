"""What was accepted, what became of it, and whether the table, the topics and the objects tell the same story."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from rich.table import Table

from tests.chaos.durable.work import Errand

ARTIFACT = "upper_body_mask.png"


@dataclass(frozen=True)
class Ledger:
    """`outputs` and `webhooks` are the contents received for each request, as often as they came.

    `jobs` are the gateway's views by request id, `objects` the content of each request's mask, `poison` how often each
    malformed message is in the poison topic: as its sender sent it anew where the broker died before it answered, or as
    the relay did. `expected` are the masks of each photo.
    """

    accepted: Mapping[str, Errand]
    jobs: Mapping[str, list[dict[str, object]]]
    outputs: Mapping[str, list[bytes]]
    webhooks: Mapping[str, list[bytes]]
    objects: Mapping[str, bytes | None]
    poison: Counter[bytes]
    expected: Mapping[str, bytes]
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def check(self) -> Mapping[str, list[str]]:
        """Every broken promise, by its name."""
        for request_id, errand in self.accepted.items():
            if errand.poison:
                self._expect("malformed message not in the poison topic", self.poison[errand.message] > 0, errand)
            else:
                self._check_job(request_id, errand)
        return self.faults

    def _check_job(self, request_id: str, errand: Errand) -> None:
        jobs = self.jobs.get(request_id, [])
        self._expect("job lost or doubled", len(jobs) == 1, errand)
        if not jobs:
            return
        wanted = "completed" if errand.photo else "failed"
        self._expect(f"outcome is not {wanted}", jobs[0]["state"] == wanted, errand)
        told = self.outputs if errand.way == "kafka" else self.webhooks
        contents = told.get(request_id, [])
        self._expect("outcome not told", bool(contents), errand)
        self._expect("told with different contents", len(set(contents)) <= 1, errand)
        self._expect("told another outcome than the table has", _states(contents) <= {jobs[0]["state"]}, errand)
        if errand.photo:
            self._expect("mask missing", self.objects.get(request_id) is not None, errand)
            self._expect("mask partial or wrong", self.objects.get(request_id) == self.expected[errand.photo], errand)

    def _expect(self, promise: str, kept: bool, errand: Errand) -> None:  # noqa: FBT001 what is checked
        if not kept:
            self.faults[promise].append(errand.request_id)

    def table(self) -> Table:
        """The ledger for a person to read."""
        table = Table("", "http", "kafka", title="ledger", title_justify="left")
        for name, counts in self._rows():
            table.add_row(name, *(str(counts[way]) for way in ("http", "kafka")))
        return table

    def _rows(self) -> Iterable[tuple[str, Counter[str]]]:
        errands = self.accepted.values()
        told = {**self.webhooks, **self.outputs}
        yield "accepted", Counter(errand.way for errand in errands)
        for state in ("completed", "failed", "queued", "running"):
            yield (
                state,
                Counter(
                    item.way for item in errands for job in self.jobs.get(item.request_id, []) if job["state"] == state
                ),
            )
        yield "in the poison topic", Counter(item.way for item in errands if item.poison and self.poison[item.message])
        yield "told of", Counter(item.way for item in errands if item.request_id in told)
        yield (
            "told more than once, the same",
            Counter(item.way for item in errands if len(told.get(item.request_id, [])) + self.poison[item.message] > 1),
        )
        yield "masks stored, whole", Counter(item.way for item in errands if self.objects.get(item.request_id))
        yield (
            "attempts beyond the first",
            Counter(
                {
                    way: sum(
                        _attempts(self.jobs.get(item.request_id, [])) - 1
                        for item in errands
                        if item.way == way and not item.poison
                    )
                    for way in ("http", "kafka")
                }
            ),
        )


def _attempts(jobs: Sequence[Mapping[str, object]]) -> int:
    return max((int(str(job["attempts"])) for job in jobs), default=1) or 1


def _states(contents: Iterable[bytes]) -> set[object]:
    """Outcomes that messages or webhooks tell of."""
    told = [json.loads(content) for content in contents]
    return {item["status"] if "status" in item else item["data"]["state"] for item in told}


async def read_jobs(client: httpx.AsyncClient) -> dict[str, list[dict[str, object]]]:
    """All jobs the gateway lists, by request id."""
    found: dict[str, list[dict[str, object]]] = defaultdict(list)
    cursor = None
    while True:
        answer = await client.get("/v1/jobs", params={"limit": 200} | ({"cursor": cursor} if cursor else {}))
        page = answer.raise_for_status().json()
        for job in page["jobs"]:
            found[job["request_id"]].append(job)
        cursor = page["next"]
        if cursor is None:
            return found


async def read_objects(client: httpx.AsyncClient, jobs: Iterable[dict[str, object]]) -> dict[str, bytes | None]:
    """The mask of every completed job."""
    found: dict[str, bytes | None] = {}
    for job in jobs:
        if job["state"] == "completed":
            answer = await client.get(f"/v1/jobs/{job['id']}/artifacts/{ARTIFACT}")
            found[str(job["request_id"])] = answer.content if answer.is_success else None
    return found
