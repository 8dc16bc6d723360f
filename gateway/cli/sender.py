"""Send photos to a gateway, several at a time; save the artifacts; show the progress."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from gateway.cli.client import (
    Artifact,
    RefusedError,
    content_of,
    expect_gateway,
    open_client,
    run_pipeline,
)
from gateway.cli.photo_paths import Layout, PhotoFile
from gateway.cli.terminal import Screen, cell, screen, table
from gateway.untrusted_text import shown

Item = TypeVar("Item")
Result = TypeVar("Result")

FAILURES = (RefusedError, OSError, httpx.HTTPError)
"""Errors that end one photo but not the others; see `failure_of`."""


class _Answer(BaseModel):
    status: Literal["completed"]
    artifacts: Mapping[str, Artifact]


_ANSWER = TypeAdapter(_Answer)


@dataclass(frozen=True)
class VideoOptions:
    """Which videos are accepted, and whether their copies have sound."""

    max_frames: int
    max_seconds: float
    sound: bool


@dataclass(frozen=True)
class Outcome:
    """The outcome of one photo: the written files, or code and detail of the failure."""

    photo: PhotoFile
    files: tuple[Path, ...] = ()
    code: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Sender:
    """One pipeline of one gateway, with the same parameters for every photo."""

    url: str
    pipeline: str
    parameters: Mapping[str, str]

    async def send_all(
        self, photos: Sequence[PhotoFile], in_flight: int, done: Callable[[Outcome], None]
    ) -> list[Outcome]:
        """The outcomes in the photos' order. `done` is called with each at once. Raises GatewayAwayError before all."""
        async with open_client(self.url) as client:
            await expect_gateway(client)
            return await for_each(photos, in_flight, lambda photo: self._send(client, photo), done)

    async def _send(self, client: httpx.AsyncClient, photo: PhotoFile) -> Outcome:
        try:
            return _save(photo, await run_pipeline(client, self.pipeline, photo.photo.read(), self.parameters))
        except FAILURES as error:
            code, detail = failure_of(error)
            return Outcome(photo, code=code, detail=detail)


async def for_each(
    items: Iterable[Item],
    in_flight: int,
    work: Callable[[Item], Awaitable[Result]],
    done: Callable[[Result], None],
) -> list[Result]:
    """The results in the items' order. `done` is called with each at once."""
    limit = asyncio.Semaphore(in_flight)

    async def one(item: Item) -> Result:
        async with limit:
            result = await work(item)
        done(result)
        return result

    return await asyncio.gather(*map(one, items))


def failure_of(error: Exception) -> tuple[str, str]:
    """The code and the detail of one of the FAILURES."""
    if isinstance(error, RefusedError):
        return error.code, error.detail
    if isinstance(error, OSError):
        return "file_error", f"{error.strerror}: {error.filename}"
    return "connection_failed", str(error) or type(error).__name__


def _save(photo: PhotoFile, answer: httpx.Response) -> Outcome:
    artifacts = content_of(answer, _ANSWER).artifacts
    for name in artifacts:
        photo.place(name)  # all or none: one hostile name makes the answer so
    return Outcome(photo, tuple(photo.save(name, item.base64) for name, item in artifacts.items()))


def told_column() -> TextColumn:
    """A column for the text that is given by `bar.update(bar.task, told=…)`."""
    return TextColumn("{task.fields[told]}", markup=False)


class Bar(Progress):
    """A progress bar on standard error, with further columns."""

    def __init__(self, name: str, total: int | None, *columns: ProgressColumn) -> None:
        described = TextColumn("{task.description}", markup=False)
        super().__init__(described, BarColumn(), MofNCompleteColumn(), *columns, console=Screen(stderr=True))
        self.task = self.add_task(name, total=total, told="")

    def count(self, name: object, code: str | None, detail: str) -> None:
        """Count a photo, and print its failure at once, if there is one."""
        if code:
            self.console.print(shown(f"{name}: {code}: {detail}"), soft_wrap=True, style="red")
        self.advance(self.task)


@contextmanager
def progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """A bar of photos. The function that it gives counts an outcome, and prints a failure at once."""
    with Bar("photos", total, TimeRemainingColumn()) as bar:
        yield lambda outcome: bar.count(outcome.photo.source, outcome.code, outcome.detail)


@contextmanager
def video_progress(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar of a video's frames: how many are done, frames a second, and the remaining time.

    The function that it gives takes the stage, how many frames are done, and of how many.
    """
    label = shown(name)
    with Bar(label, None, told_column(), TimeRemainingColumn()) as bar:

        def told(stage: str, done: int, total: int) -> None:
            description = f"{label}: {stage}"
            if bar.tasks[0].description != description:
                bar.reset(bar.task, description=description, total=total)
            bar.update(bar.task, completed=done, total=total)
            speed = bar.tasks[0].speed
            bar.update(bar.task, told=f"{speed:.1f} frames/s" if speed else "")

        yield told


def print_summary(outcomes: Sequence[Outcome]) -> None:
    """Print a row for each photo, and the totals."""
    failed = sum(outcome.code is not None for outcome in outcomes)
    caption = f"{len(outcomes) - failed} of {len(outcomes)} photos done" + (f", {failed} failed" if failed else "")
    rows = table("photo", "result", "where", caption=caption)
    for outcome in outcomes:
        count = len(outcome.files)
        result = outcome.code or f"{count} {'file' if count == 1 else 'files'}"
        rows.add_row(*map(cell, (outcome.photo.source, result, "" if outcome.code else _where(outcome))))
    screen().print(rows)


def _where(outcome: Outcome) -> Path:
    """The folder of a photo's artifacts. In a mirror, its copy, which is the first file."""
    return outcome.photo.target if outcome.photo.layout is Layout.FOLDERS else outcome.files[0]
