import pytest

from gateway.timing import Stopwatch


def test_stages_add_up_and_none_is_negative() -> None:
    watch = Stopwatch()
    watch.add("queue", 0.25)
    watch.add("queue", 0.5)
    watch.add("fetch", -1.0)  # two machines' clocks
    assert watch.timings_ms == {"queue": 750.0, "fetch": 0.0}


def test_a_failed_stage_is_timed_too() -> None:
    watch = Stopwatch()
    with pytest.raises(RuntimeError), watch.stage("infer"):
        raise RuntimeError
    assert list(watch.timings_ms) == ["infer"]
