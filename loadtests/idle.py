"""`python -m loadtests.idle`: how soon a stack answers, and what it holds in memory when nobody asks, and at most."""

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.folders import StackState
from deploy.embedded.processes import process_ids
from exporters.catalogue import DEFAULT_PATHS
from gateway.settings import Settings
from loadtests.caller import call_repeatedly, multipart_request
from loadtests.comparison import CALLERS
from loadtests.stack import bench_stack, benchmark_jpeg

ADDRESS, FIELDS = "/v1/run/privacy_blur", {"hide": "faces"}
_KIB = 1024
_PSS = re.compile(r"^Pss:\s+(\d+)", re.MULTILINE)
_ANONYMOUS = re.compile(r"^Pss_Anon:\s+(\d+)", re.MULTILINE)
_SAMPLE_S = 0.5
"""The pause between two looks: each takes some hundredths of a second of a core."""
_SETTLED_S = 5.0
"""The stack is idle so long after its first answer."""


def main(seconds: Annotated[float, typer.Option(help="Length of the load; 0 for none.")] = 8.0) -> None:
    """Start a stack, ask once, wait, and let callers hide faces in a 1024×768 JPEG. Print memory by service.

    Set DB_USE_DATABASE=false for the memory mode, and PIPELINES=privacy_blur for one pipeline. The seconds do not
    include those of the command that starts the launcher.
    """
    photo = benchmark_jpeg(DEFAULT_PATHS.files / "astronaut.png")
    began = time.perf_counter()
    with bench_stack(CACHE_ENABLED="false") as settings:  # every request is the same one
        ready_s = time.perf_counter() - began
        _ask(settings, photo, callers=1, seconds=0.001)
        answer_s = time.perf_counter() - began
        time.sleep(_SETTLED_S)
        idle, own = memory(settings), memory(settings, _ANONYMOUS)
        with watched(settings) as most:
            _ask(settings, photo, CALLERS, seconds)
    _print(idle, own, most, f"ready after {ready_s:.1f} s, first answer after {answer_s:.1f} s")


def memory(settings: Settings, field: re.Pattern[str] = _PSS) -> Counter[str]:
    """MiB that each service and the launcher hold: shares of pages (PSS), with their children's.

    A page that n processes share counts as 1/n in each, so that the sum is what the machine has less. Other stacks on
    the machine make it smaller, because they share the files of libraries: compare anonymous memory then.
    Source: /proc/PID/smaps_rollup, proc_pid_smaps(5).
    """
    state = StackState.read(settings.maskwright_home.resolve() / "stack.json")
    if state is None:
        return Counter()
    names = {state.pid: "launcher", **{one.pid: one.name for one in state.services.values() if one.pid}}
    held = Counter[str]()
    for pid in process_ids():
        with suppress(OSError):  # it has ended
            if name := _service_of(pid, names):
                held[name] += _share(pid, field) // _KIB
    return held


@contextmanager
def watched(settings: Settings) -> Iterator[Counter[str]]:
    """The most that each has held while the context lasts, and all together under `all`. Complete at its end."""
    most, ended = Counter[str](), threading.Event()

    def look() -> None:
        while not ended.wait(_SAMPLE_S):
            now = memory(settings)
            for name, value in (*now.items(), ("all", now.total())):
                most[name] = max(most[name], value)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def _service_of(pid: int, names: dict[int, str]) -> str | None:
    """The first of these processes among a process and its ancestors."""
    while pid > 1 and pid not in names:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        pid = int(text.rpartition(")")[2].split()[1])
    return names.get(pid)


def _share(pid: int, field: re.Pattern[str]) -> int:
    """KiB. A process that has just ended has none."""
    found = field.search(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))
    return int(found[1]) if found else 0


def _ask(settings: Settings, photo: bytes, callers: int, seconds: float) -> None:
    if seconds:
        address = ("127.0.0.1", settings.api_port)
        post = multipart_request(*address, ADDRESS, photo, FIELDS)
        asyncio.run(call_repeatedly(*address, post, callers, seconds))


def _print(idle: Counter[str], own: Counter[str], most: Counter[str], title: str) -> None:
    heads = ("service", "idle, MiB", "of it anonymous", f"at most with {CALLERS} callers, MiB")
    table = Table(*heads, title=title, title_justify="left")
    for name, value in idle.most_common():
        table.add_row(name, str(value), str(own[name]), str(most[name]))
    table.add_row("all", str(idle.total()), str(own.total()), str(most["all"]))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
