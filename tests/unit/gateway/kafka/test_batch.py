import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kafka import batches
from gateway.kafka.batches import Reading, Record
from tests.unit.gateway.kafka.batches import CODECS, built, with_checksum

VALUES = st.lists(st.none() | st.binary(max_size=20), min_size=1, max_size=8)
TRANSACTIONAL, CONTROL = 0x10, 0x20


def read_on(data: bytes, offset: int, aborted, until: int = 2**62, limit: int = 1000) -> Reading:
    return batches.read_on(data, offset, aborted, until, limit)


def offsets(read):
    return [one.offset for one in read.records], [(one.offset, one.end) for one in read.unreadable], read.end


@given(VALUES, st.sampled_from(sorted(CODECS.values())), st.integers(0, 2**40))
def test_written_data_is_read_back(values, codec, base):
    read = read_on(built(values, base=base, codec=codec), base, [])
    wanted = [
        Record(base + index, 1_700_000_000_000 + index, b"k", value, {"h": b"x"}) for index, value in enumerate(values)
    ]
    assert (read.records, read.unreadable, read.end) == (wanted, [], base + len(values))


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(0, 7))
def test_only_the_bad_records_are_left_out_and_what_was_taken_before_is_passed_over(good, start):
    start = min(start, len(good) - 1)
    bad = [index for index, is_good in enumerate(good) if not is_good]
    read = read_on(built([b"v"] * len(good), base=100, bad=bad), 100 + start, [])
    wanted = [100 + index for index in range(start, len(good))]
    assert [one.offset for one in read.records] == [offset for offset in wanted if offset - 100 not in bad]
    assert [(one.offset, one.value) for one in read.unreadable] == [
        (offset, b"v") for offset in wanted if offset - 100 in bad
    ]
    assert read.end == 100 + len(good)


@given(st.integers(min_value=12), st.integers(1, 255))
def test_only_the_batch_with_altered_bytes_is_skipped(at, change):
    broken = bytearray(built([b"a", b"b", b"c"], base=3))
    broken[12 + at % (len(broken) - 12)] ^= change
    read = read_on(bytes(broken) + built([b"d"], base=6), 3, [])
    first, *others = read.unreadable or read.records
    if read.unreadable:
        assert (first.offset, others) == (3, [])
        assert first.end <= 6
        assert read.end in (7, first.end)
        assert [record.value for record in read.records] == ([b"d"] if read.end == 7 else [])
    else:  # the leader's epoch is not in the checksum
        assert [record.value for record in read.records] == [b"a", b"b", b"c", b"d"]


@given(st.binary(max_size=200), st.integers(0, 100))
def test_any_bytes_are_read_without_an_error_and_the_end_is_never_before_the_beginning(data, offset):
    read = read_on(data, offset, [])
    assert read.end >= offset


@given(st.data())
def test_any_records_with_a_good_checksum_are_read_without_an_error_and_within_their_batch(data):
    batch = bytearray(built([b"a", b"b", b"c"], base=3))
    for _ in range(data.draw(st.integers(1, 4))):
        batch[data.draw(st.integers(61, len(batch) - 1))] = data.draw(st.integers(0, 255))
    read = read_on(with_checksum(batch), 3, [])
    assert read.end == 6
    assert read.records or read.unreadable


def test_each_batch_with_a_wrong_checksum_gets_its_own_retries():
    broken = built([b"b"], base=1)[:-1] + b"\xff"
    assert offsets(read_on(built([b"a"]) + broken, 0, [])) == ([0], [], 1)


def test_a_batch_that_is_cut_off_is_left_for_the_next_fetch_unless_it_is_the_only_one():
    whole, cut = built([b"a"]), built([b"b"], base=1)[:-1]
    assert offsets(read_on(whole + cut, 0, [])) == ([0], [], 1)
    assert offsets(read_on(cut, 1, [])) == ([], [(1, 2)], 2)


def test_only_the_aborted_transaction_of_a_producer_is_passed_over():
    data = b"".join(
        [
            built([b"aborted"], base=0, attributes=TRANSACTIONAL),
            built([b"marker"], base=1, attributes=TRANSACTIONAL | CONTROL),
            built([b"committed"], base=2, attributes=TRANSACTIONAL),
            built([b"marker"], base=3, attributes=TRANSACTIONAL | CONTROL),
        ]
    )
    assert offsets(read_on(data, 0, [(7, 0)])) == ([2], [], 4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda batch: batch.__setitem__(22, 7), "codec 7 is not known"),
        (lambda batch: batch.__setitem__(22, 1), "incorrect header check"),
        (lambda batch: batch.__setitem__(16, 1), "message format 1"),
        (lambda batch: batch.__setitem__(slice(57, 61), b"\x00\x00\x00\x01"), "bytes are left after 1 of 1 records"),
    ],
)
def test_the_reason_is_said(change, reason):
    batch = bytearray(built([b"a", b"b"]))
    change(batch)
    [one] = read_on(with_checksum(batch), 0, []).unreadable
    assert reason in one.reason


BOMB = [bytes(1000)] * 4


@pytest.mark.parametrize("codec", sorted(CODECS.values())[1:])
def test_a_batch_that_decompresses_to_too_much_is_skipped_whole(codec, monkeypatch):
    data = built(BOMB, codec=codec)
    monkeypatch.setattr(batches, "_MOST_BYTES", 3000)
    read = read_on(data, 0, [])
    assert offsets(read) == ([], [(0, 4)], 4)
    assert "3000" in read.unreadable[0].reason or codec in (1, 2)
    assert read.unreadable[0].value == data


def changed(batch: bytes, at: int, layout: str, number: int) -> bytes:
    data = bytearray(batch)
    struct.pack_into(layout, data, at, number)
    return bytes(data)


LAST_AT, COUNT_AT = 23, 57


def test_an_endless_record_count_skips_the_batch_after_a_hundred_unreadable_records():
    batch = bytearray(built([b"v"] * 300, bad=range(300)))
    struct.pack_into(">i", batch, COUNT_AT, 2**31 - 1)
    read = read_on(with_checksum(batch), 0, [])
    assert [(one.offset, one.end) for one in read.unreadable] == [(at, at + 1) for at in range(100)] + [(100, 300)]
    assert len(read.unreadable[-1].value) <= 2**20
    assert read.end == 300


def test_an_offset_beyond_its_batch_makes_the_rest_unreadable():
    data = with_checksum(bytearray(changed(built([b"a", b"b", b"c"]), LAST_AT, ">i", 1)))
    assert offsets(read_on(data, 0, [])) == ([0, 1], [(1, 2)], 2)


@pytest.mark.parametrize(("until", "end"), [(2**62, 3), (2, 2), (0, 1)])
def test_a_broken_length_in_offsets_leads_no_further_than_the_partition_or_the_batch(until, end):
    data = changed(built([b"a", b"b", b"c"]), LAST_AT, ">i", 2**31 - 1)
    assert read_on(data, 0, [], until).end == end


def test_no_more_than_the_limit_is_read_also_of_what_is_unreadable():
    data = built([b"v"] * 6, bad=[1, 3])
    first = read_on(data, 0, [], limit=3)
    assert (offsets(first), first.is_all) == (([0, 2], [(1, 2)], 3), False)
    rest = read_on(data, first.end, [], limit=3)
    assert (offsets(rest), rest.is_all) == (([4, 5], [(3, 4)], 6), True)
