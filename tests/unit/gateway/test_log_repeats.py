import logging

import pytest

from gateway.logs import Repeats


def record(name: str, level: int, line: int = 1) -> logging.LogRecord:
    return logging.LogRecord(name, level, "client.py", line, "again", (), None)


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def repeats(now: list[float]) -> Repeats:
    return Repeats("noisy", 30, lambda: now[0])


def test_a_repeated_warning_is_logged_once_in_a_while(repeats, now):
    logged = []
    for now[0] in range(70):
        logged += [now[0]] if repeats.filter(record("noisy.client", logging.ERROR)) else []
    assert logged == [0, 30, 60]


def test_each_line_of_code_counts_for_itself(repeats):
    assert [repeats.filter(record("noisy", logging.WARNING, line)) for line in (1, 2, 1, 2)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("name", "level"), [("noisy", logging.INFO), ("other", logging.ERROR), ("noisyother", logging.ERROR)]
)
def test_other_records_are_always_logged(repeats, name, level):
    assert all(repeats.filter(record(name, level)) for _ in range(3))
