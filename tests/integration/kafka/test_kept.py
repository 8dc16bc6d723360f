from dataclasses import replace
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.jobs.store import BadMessage
from gateway.kafka.messages import Arrival, ArrivalStore, Message, MessageReader
from gateway.metrics.instruments import Instruments
from gateway.pipelines.registry import build_registry
from tests.unit.gateway.kafka.values import KEYS, VALUES

OFFSETS = count()


@given(st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_stores_keep_any_message(settings, stores, messages):
    reader = MessageReader(settings, build_registry(settings)["body_masks"])
    read = [reader.read(Message("in", 0, next(OFFSETS), 0, key, value)) for key, value in messages]
    arrivals = [one for one in read if isinstance(one, Arrival)]
    arrival_store = ArrivalStore(stores.jobs, stores.photos, reader, Instruments("worker").tasks, stores.dead_letters)
    await arrival_store.keep(arrivals, [one for one in read if isinstance(one, BadMessage)])
    for arrival in arrivals:
        kept = await stores.jobs.jobs.get(arrival.job.id)
        assert kept is None or kept.request == replace(arrival.job, outcome=None, parameters="")
