import pytest

from gateway.worker.webhooks import UPLOAD, WEBHOOK, Schedule

HOUR = 3600


def test_webhooks_are_tried_ten_times_over_three_days() -> None:
    nominal = [5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
    assert [WEBHOOK.delay_s(attempts) for attempts in range(1, 10)] == pytest.approx(nominal, rel=0.1)
    assert WEBHOOK.delay_s(10) is None


def test_uploads_are_tried_five_times_each_wait_the_double() -> None:
    assert [UPLOAD.delay_s(attempts) for attempts in range(1, 7)] == [1, 2, 4, 8, None, None]


def test_long_waits_differ_and_short_ones_do_not() -> None:
    schedule = Schedule((5.0, 300.0))
    assert {schedule.delay_s(1) for _ in range(20)} == {5.0}
    assert len({schedule.delay_s(2) for _ in range(20)}) > 1
