from structlog.testing import capture_logs

from gateway.background import Heartbeat, reason_of
from gateway.errors import Problem


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_silence_counts_from_the_last_sign_of_life_of_any_kind() -> None:
    clock = Time()
    heartbeat = Heartbeat("relay", clock)
    clock.now += 5
    assert heartbeat.silent_s == 5
    heartbeat.beat()
    assert heartbeat.silent_s == 0
    clock.now += 3
    heartbeat.fail("no database")
    assert heartbeat.silent_s == 0


def test_an_outage_is_logged_when_it_begins_and_when_it_ends() -> None:
    heartbeat = Heartbeat("relay")
    with capture_logs() as logs:
        heartbeat.beat()
        for _ in range(5):
            heartbeat.fail("no database")
        heartbeat.beat()
        heartbeat.beat()
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("warning", "relay waits: no database"),
        ("info", "relay works again"),
    ]


def test_an_unexpected_error_is_logged_every_time_with_its_traceback() -> None:
    heartbeat, error = Heartbeat("relay"), RuntimeError("a bug")
    with capture_logs() as logs:
        heartbeat.fail("a bug", error)
        heartbeat.fail("a bug", error)
    assert [line["exc_info"] for line in logs] == [error, error]


def test_the_pause_grows_until_the_part_works() -> None:
    heartbeat = Heartbeat("relay")
    pauses = []
    for _ in range(8):
        heartbeat.fail("no database")
        pauses.append(heartbeat.pause_s)
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    heartbeat.beat()
    heartbeat.fail("no database")
    assert heartbeat.pause_s == 0.2


def test_the_cause_of_a_problem_is_reported_in_one_line() -> None:
    problem = Problem("store_unavailable", "PostgreSQL did not answer.")
    assert reason_of(problem) == "store_unavailable: PostgreSQL did not answer."
    problem.__cause__ = OSError("no route\nto host")
    assert reason_of(problem) == "store_unavailable: PostgreSQL did not answer. (no route to host)"
