import os
import signal
from collections.abc import Iterator

import pytest

from gateway.background import stop_signals, stopping

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ALL}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ALL)
def test_a_signal_is_noted_and_interrupts_only_where_it_may(number: signal.Signals) -> None:
    for one in ALL:
        signal.signal(one, signal.SIG_DFL)
    with stopping() as stop:
        os.kill(os.getpid(), number)
        assert stop.told
        with pytest.raises(KeyboardInterrupt), stop.interrupting():
            pass
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_second_signal_does_not_interrupt_the_cleanup() -> None:
    with stopping() as stop:
        with pytest.raises(KeyboardInterrupt), stop.interrupting():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)


def test_ignored_signals_stay_ignored_except_sigterm() -> None:
    for number in ALL:
        signal.signal(number, signal.SIG_IGN)
    assert stop_signals() == (signal.SIGTERM,)
    with stopping() as stop:
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert not stop.told
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.told
