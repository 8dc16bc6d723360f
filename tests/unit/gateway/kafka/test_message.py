from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kafka.messages import Message

MESSAGE = Message("mask_input", 3, 17, 1_700_000_000_000, b"k", b"v")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "changes", [{"topic": "t"}, {"partition": 4}, {"offset": 18}, {"timestamp": 5}, {"value": b"w"}, {"value": None}]
)
def test_every_message_has_an_id_of_its_own(changes):
    assert replace(MESSAGE, **changes).job_id != MESSAGE.job_id


def test_a_message_delivered_again_has_its_id_again():
    assert str(replace(MESSAGE).job_id) == "34f85ca8-10cd-5616-94ca-945a987455c3"


def test_the_senders_trace_is_continued():
    header = f"00-{TRACE}-00f067aa0ba902b7-01".encode()
    assert replace(MESSAGE, headers={"traceparent": header}).trace_id == TRACE


@given(st.binary())
def test_a_trace_id_has_32_hex_digits_whatever_the_header_says(header):
    assert len(bytes.fromhex(replace(MESSAGE, headers={"traceparent": header}).trace_id)) == 16
