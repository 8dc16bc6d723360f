"""Requests that share a name: two at once, a deleted one and its successor; and whose the objects are at last."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

STAGES = ("queued", "soon", "running", "finished")
"""When a job is deleted: as soon as it was taken, within a second, or in a state."""
_BUSY = frozenset({429, 502, 503, 504})
_DELETED = frozenset({202, 204, 404})
"""404 where the answer to an earlier try was lost."""
_PAUSE_S = 0.2


@dataclass
class Names:
    """Sends photos under names. `winners` says whose photo each name's job must be of; None where none may be left."""

    client: httpx.AsyncClient
    photos: Mapping[str, bytes]
    winners: dict[str, str | None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    async def twins(self, number: int) -> None:
        """Two photos under one id at once: one is taken, the other refused."""
        name, (one, other) = f"twins-{number}", self._two()
        answers = await asyncio.gather(self._post(name, number, one), self._post(name, number, other))
        codes = [answer.status_code for answer in answers]
        assert sorted(code == httpx.codes.UNPROCESSABLE_ENTITY for code in codes) == [False, True], codes
        self.counts["twins"] += 1
        self.winners[name] = one if answers[0].is_success else other

    async def deletion(self, number: int) -> None:
        """A job is deleted at some stage; of every second one another photo is sent under its id at once."""
        name, stage, (one, other) = f"deleted-{number}", STAGES[number // 2 % len(STAGES)], self._two()
        answer = await self._post(name, number // 2, one)
        job = str(answer.raise_for_status().json()["id"])
        await self._reach(job, stage)
        await self._delete(job)
        self.counts[f"deleted {stage}"] += 1
        if number % 2:
            (await self._post(name, number // 2, other)).raise_for_status()
        self.winners[name] = other if number % 2 else None

    def _two(self) -> Sequence[str]:
        return random.sample(sorted(self.photos), 2)

    async def _post(self, name: str, number: int, photo: str) -> httpx.Response:
        """Every third photo is like no other, so that no cache answers; the same one each time it is sent."""
        fields = {"user_id": f"user {name}", "request_id": name, "gender": "M", "mask_types": "upper_body"}
        data = _commented(self.photos[photo], name) if number % 3 == 0 else self.photos[photo]
        while True:
            answer = await self._answer("POST", "/v1/jobs", data=fields, files={"image": data})
            if answer is not None:
                return answer
            await asyncio.sleep(_PAUSE_S)  # the caller's own pause, not a wait for a condition

    async def _reach(self, job: str, stage: str) -> None:
        if stage == "soon":
            await asyncio.sleep(random.uniform(0.0, 1.0))
        while stage in {"running", "finished"}:
            answer = await self._answer("GET", f"/v1/jobs/{job}")
            if answer and (answer.json()["finished_at"] or answer.json()["state"] == stage):
                return
            await asyncio.sleep(0.02)

    async def _delete(self, job: str) -> None:
        while (answer := await self._answer("DELETE", f"/v1/jobs/{job}")) is None:
            await asyncio.sleep(_PAUSE_S)
        assert answer.status_code in _DELETED, answer.text

    async def _answer(self, method: str, path: str, **sent: Any) -> httpx.Response | None:
        try:
            answer = await self.client.request(method, path, **sent)
        except httpx.TransportError:
            return None
        return None if answer.status_code in _BUSY else answer


def faults(
    names: Names, jobs: Mapping[str, list[dict[str, object]]], objects: Mapping[str, bytes], masks: Mapping[str, bytes]
) -> Mapping[str, list[str]]:
    """Every broken promise: `jobs` by request id, `objects` by key, `masks` by photo."""
    found: dict[str, list[str]] = {}

    def expect(promise: str, name: str, *, kept: bool) -> None:
        if not kept:
            found.setdefault(promise, []).append(name)

    named: set[str] = set()
    for name, photo in names.winners.items():
        key, own = f"user%20{name}/{name}/upper_body_mask.png", jobs.get(name, [])
        states = ", ".join(str(job["state"]) for job in own) or "none"
        expect(f"job lost, doubled or left: {states}", name, kept=len(own) == (photo is not None))
        if photo:
            expect("not completed", name, kept=[job["state"] for job in own] == ["completed"])
            expect("mask missing", name, kept=key in objects)
            expect("mask of another photo", name, kept=objects.get(key) in {None, masks[photo]})
            named.add(key)
    for key in objects.keys() - named:
        expect("orphan", key, kept=False)
    return found


def _commented(jpeg: bytes, text: str) -> bytes:
    """The same picture with a comment, right after the first marker."""
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]
