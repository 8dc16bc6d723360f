import asyncio

from gateway.kafka import sender as module
from gateway.kafka.sender import MessageSender
from gateway.metrics.instruments import Instruments
from gateway.settings import Settings


def test_an_outcome_is_never_given_up():
    delays = [
        MessageSender(Settings(), Instruments("worker").kafka).delay_s(attempts)
        for attempts in (1, 2, 3, 4, 5, 6, 100_000)
    ]
    assert delays == [1, 2, 4, 8, 16, 30, 30]


async def test_a_topic_that_does_not_answer_is_reported_until_it_does(monkeypatch):
    monkeypatch.setattr(module, "_GIVEN_UP_S", 0)
    sender, sent = MessageSender(Settings(), Instruments("worker").kafka), asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(sender._answered(sent, "mask_output"))
    while sender.trouble is None:
        await asyncio.sleep(0)
    assert "mask_output" in sender.trouble
    sent.set_result(None)
    await waiting
    assert sender.trouble is None
