from structlog.testing import capture_logs

from gateway.errors import Problem
from gateway.supervision import Pulse, reason_of


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_silence_is_counted_from_the_last_sign_of_life_of_either_kind() -> None:
    clock = Time()
    pulse = Pulse("relay", clock)
    clock.now += 5
    assert pulse.silent_s == 5
    pulse.beat()
    assert pulse.silent_s == 0
    clock.now += 3
    pulse.fail("no database")
    assert pulse.silent_s == 0


def test_an_outage_is_logged_when_it_begins_and_when_it_ends() -> None:
    pulse = Pulse("relay")
    with capture_logs() as logs:
        pulse.beat()
        for _ in range(5):
            pulse.fail("no database")
        pulse.beat()
        pulse.beat()
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("warning", "relay waits: no database"),
        ("info", "relay works again"),
    ]


def test_an_unexpected_error_is_logged_every_time_with_its_traceback() -> None:
    pulse, error = Pulse("relay"), RuntimeError("a bug")
    with capture_logs() as logs:
        pulse.fail("a bug", error)
        pulse.fail("a bug", error)
    assert [line["exc_info"] for line in logs] == [error, error]


def test_the_pause_grows_until_the_part_works() -> None:
    pulse = Pulse("relay")
    pauses = []
    for _ in range(8):
        pulse.fail("no database")
        pauses.append(pulse.pause_s)
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    pulse.beat()
    pulse.fail("no database")
    assert pulse.pause_s == 0.2


def test_what_is_behind_a_problem_is_told_in_one_line() -> None:
    problem = Problem("store_unavailable", "PostgreSQL did not answer.")
    assert reason_of(problem) == "store_unavailable: PostgreSQL did not answer."
    problem.__cause__ = OSError("no route\nto host")
    assert reason_of(problem) == "store_unavailable: PostgreSQL did not answer. (no route to host)"
