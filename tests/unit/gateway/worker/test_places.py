from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.jobs.outbox import Lane
from gateway.worker.relay import Places

LANES = st.builds(Lane, st.just("webhook"), st.sampled_from("abcdef"), st.sampled_from(["", "t", "u"]))
QUICK_S, LATE_S = 0.1, 30.0


def lanes(count: int, tenant: str = "", name: str = "hanging") -> list[Lane]:
    """So many receivers."""
    return [Lane("webhook", f"{name}-{number}", tenant) for number in range(count)]


def shared(places: Places, due: dict[Lane, int], under_way: Counter[Lane] | None = None) -> Counter[Lane]:
    return Counter(places.shares((under_way or Counter()).elements(), due))


@given(
    under_way=st.lists(LANES, max_size=30),
    due=st.dictionaries(LANES, st.integers(0, 64)),
    ends=st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([QUICK_S, LATE_S]), st.booleans())),
)
def test_no_receiver_has_more_than_its_places_and_none_waits_beside_a_free_one(under_way, due, ends):
    places = Places(4, 16)
    for receiver, took_s, made in ends:
        places.note(receiver, took_s, made=made)
    given_places = places.shares(under_way, due)
    taken = Counter(lane.receiver for lane in under_way)
    taken.update({lane.receiver: 0 for lane in due})
    held = taken.copy()
    for lane, count in given_places.items():
        assert 0 < count <= due[lane]
        held[lane.receiver] += count
    assert all(held[receiver] <= 16 for receiver in held if held[receiver] > taken[receiver])
    for lane, count in due.items():
        assert given_places.get(lane, 0) == count or held[lane.receiver] >= 1


def test_twenty_receivers_that_hang_leave_places_for_others():
    places, good = Places(4, 16), Lane("webhook", "good", "")
    hanging = shared(places, dict.fromkeys(lanes(20), 200))
    assert set(hanging.values()) == {4}
    assert shared(places, {good: 20}, hanging) == {good: 4}
    for lane in lanes(20):
        places.note(lane.receiver, LATE_S, made=False)
        places.note(lane.receiver, LATE_S, made=False)
    assert set(shared(places, dict.fromkeys(lanes(20), 200)).values()) == {1}


def test_receivers_that_were_good_and_hang_leave_places_for_others():
    places, good = Places(4, 16), Lane("webhook", "good", "")
    for lane in lanes(20):
        for _ in range(3):
            places.note(lane.receiver, QUICK_S, made=True)
    hanging = shared(places, dict.fromkeys(lanes(20), 200))
    assert set(hanging.values()) == {16}
    assert shared(places, {good: 20}, hanging) == {good: 4}


def test_a_quick_receiver_gets_more_places_and_a_slow_one_does_not():
    places = Places(4, 16)
    quick, late = lanes(2)
    for _ in range(9):
        places.note(quick.receiver, QUICK_S, made=True)
        places.note(late.receiver, LATE_S, made=True)
    assert shared(places, {quick: 99, late: 99}) == {quick: 16, late: 4}


def test_any_number_of_dead_receivers_leaves_places_for_new_and_good_ones():
    places = Places(4, 16)
    for lane in lanes(1000):
        places.note(lane.receiver, LATE_S, made=False)
    new, good = lanes(2, name="other")
    places.note(good.receiver, QUICK_S, made=True)
    dead = shared(places, dict.fromkeys(lanes(1000), 3))
    assert dead.total() <= 128
    assert shared(places, {**dict.fromkeys(lanes(1000), 3), new: 2, good: 2}, dead) == {new: 2, good: 2}


def test_any_number_of_receivers_of_one_tenant_leaves_places_for_the_others():
    places, other = Places(4, 16), Lane("webhook", "good", "other")
    hogging = shared(places, dict.fromkeys(lanes(1000, "hog"), 64))
    assert hogging.total() < 256
    assert shared(places, {**dict.fromkeys(lanes(1000, "hog"), 64), other: 9}, hogging) == {other: 4}


def test_tenants_share_a_receiver():
    places = Places(4, 16)
    of_one, of_other = Lane("upload", "assets", "one"), Lane("upload", "assets", "other")
    assert shared(places, {of_one: 64, of_other: 64}) == {of_one: 2, of_other: 2}
    assert shared(places, {of_one: 64, of_other: 64}, Counter({of_one: 3})) == {of_other: 1}


def test_a_new_receiver_gets_a_turn_beside_many_good_ones():
    places, new = Places(4, 16), Lane("webhook", "new", "")
    for lane in lanes(100):
        places.note(lane.receiver, QUICK_S, made=True)
    busy = shared(places, dict.fromkeys(lanes(100), 64))
    assert shared(places, {new: 1}, busy) == {}
    busy[lanes(1)[0]] -= 1
    assert shared(places, {**dict.fromkeys(lanes(100), 64), new: 1}, busy) == {new: 1}
