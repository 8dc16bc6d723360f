from prometheus_client import CollectorRegistry

from gateway.jobs.job import Callback, Outcome
from gateway.metrics.deliveries import DeliveryFigures, MeasuredOutbox
from tests.outboxes import take_due
from tests.unit.gateway.worker.jobs import memory, with_callbacks


async def test_who_lost_a_delivery_is_not_counted() -> None:
    registry = CollectorRegistry()
    async with memory() as stores:
        outbox = MeasuredOutbox(stores.outbox, DeliveryFigures(registry))
        await stores.jobs.submit([with_callbacks(Callback("message", "mask_output"))])
        (lease,) = await stores.jobs.claim("worker-1", 1, 10)
        assert await stores.jobs.finish(lease, Outcome())
        (lost,) = await take_due(outbox, 0.0)
        (taken,) = await take_due(outbox, 60.0)
        assert not await outbox.postpone(lost, "late", 0.0)
        assert not await outbox.give_up(lost, "late")
        assert await outbox.postpone(taken, "busy", 0.0)
        (again,) = await take_due(outbox, 60.0)
        assert await outbox.give_up(again, "gone")
    counts = {
        status: registry.get_sample_value("outbox_deliveries_total", {"kind": "message", "status": status})
        for status in ("retried", "given_up", "delivered")
    }
    assert counts == {"retried": 1, "given_up": 1, "delivered": 0}
