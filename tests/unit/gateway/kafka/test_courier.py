from gateway.kafka.courier import MessageCourier
from gateway.metrics.instruments import Instruments
from gateway.settings import Settings


def test_an_outcome_is_never_given_up():
    delays = [
        MessageCourier(Settings(), Instruments().kafka).delay_s(attempts) for attempts in (1, 2, 3, 4, 5, 6, 100_000)
    ]
    assert delays == [1, 2, 4, 8, 16, 30, 30]
