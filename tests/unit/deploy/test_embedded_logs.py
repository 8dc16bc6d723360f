"""Logs stay small while they are written to, and a reader misses nothing."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deploy.embedded import logs
from deploy.embedded.logs import LogReader, follow, last_lines, older, rotate_all

BOUND = 64 * 1024
LINES = 40_000
CHATTY = f"for n in range({LINES}): print(f'line {{n}} ' + 'x' * (n % 90), flush=True)"


@pytest.fixture(params=["takes beginnings away", "truncates"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """On a file system that can take a file's beginning away, as ext4 and XFS can, and on one that cannot."""
    if request.param == "takes beginnings away":
        yield tmp_path / "chatty.log"
    else:
        with TemporaryDirectory(dir="/dev/shm") as folder:
            yield Path(folder, "chatty.log")


def test_a_large_log_is_rotated_and_its_reader_loses_no_line(log: Path) -> None:
    reader, seen, largest = LogReader(log), b"", 0
    log.touch()
    rotated = 0
    with log.open("ab") as output, subprocess.Popen([sys.executable, "-c", CHATTY], stdout=output) as chatty:
        while chatty.poll() is None:
            before = older(log).stat().st_ino if older(log).exists() else None
            rotate_all(log.parent, BOUND)
            seen += reader.read()
            rotated += older(log).exists() and older(log).stat().st_ino != before
            largest = max(largest, log.stat().st_size)
    seen += reader.read()
    rotate_all(log.parent, BOUND)
    lines = seen.decode().splitlines()
    numbers = [int(line.split()[1]) for line in lines if re.fullmatch("line [0-9]+ x*", line)]
    assert rotated > 10
    assert numbers == sorted(set(numbers))
    assert LINES - len(numbers) <= (0 if _can_collapse(log.parent) else LINES // 5)
    assert b"\0" not in seen + log.read_bytes() + older(log).read_bytes()
    assert log.stat().st_size <= BOUND
    assert last_lines(log, 3) == lines[-3:]
    assert sorted(path.name for path in log.parent.iterdir()) == ["chatty.log", "chatty.log.1"]


def _can_collapse(folder: Path) -> bool:
    with (folder / "trial").open("w+b") as file:
        file.write(bytes(3 * 4096))
        file.flush()
        done = logs._fallocate(file.fileno(), logs._COLLAPSE_RANGE, 0, 4096) == 0
    (folder / "trial").unlink()
    return done


def test_following_a_log_continues_after_a_rotation(log: Path) -> None:
    log.write_bytes(b"before\n")
    lines = follow([log])
    found = []
    for text in (b"one\ntw", b"o\n" + b"y" * 5000 + b"\nthree\nfo"):
        _append(log, text)
        rotate_all(log.parent, 0)
        found.append(next(lines)[1])
    _append(log, b"ur\n")
    found += [next(lines)[1] for _ in range(3)]
    assert found == ["one", "two", "y" * 5000, "three", "four"]


def _append(log: Path, text: bytes) -> None:
    with log.open("ab") as file:
        file.write(text)


def test_a_log_below_the_limit_is_not_rotated(log: Path) -> None:
    _append(log, b"x" * 100)
    rotate_all(log.parent, 100)
    assert not older(log).exists()
    rotate_all(log.parent, 99)
    assert older(log).stat().st_mode & 0o777 == 0o600
    assert older(log).read_bytes() + log.read_bytes() == b"x" * 100


def test_a_log_that_somebody_emptied_is_read_from_its_beginning(log: Path) -> None:
    _append(log, b"old and long\n")
    reader = LogReader(log)
    os.truncate(log, 0)
    _append(log, b"new\n")
    assert reader.read() == b"new\n"


@pytest.mark.parametrize("blocked", ["folder", "a reader"])
def test_a_log_keeps_its_lines_if_rotation_fails(log: Path, blocked: str) -> None:
    _append(log, b"x" * 10_000)
    reader = LogReader(log)
    if blocked == "folder":
        older(log).mkdir()
        rotate_all(log.parent, 100)
    else:
        with reader._open():
            rotate_all(log.parent, 100)
    assert log.read_bytes() == b"x" * 10_000
