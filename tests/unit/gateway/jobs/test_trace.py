from uuid import UUID

import pytest

from gateway.logs import trace_id_of, traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
JOB = UUID("6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11")


@pytest.mark.parametrize("header", [f"00-{TRACE}-00f067aa0ba902b7-01", f" 01-{TRACE}-00f067aa0ba902b7-00-more "])
def test_the_trace_id_of_a_header(header):
    assert trace_id_of(header) == TRACE


@pytest.mark.parametrize(
    "header",
    [
        "",
        TRACE,
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01\n00",
    ],
)
def test_malformed_traceparent_headers_have_no_trace_id(header):
    assert trace_id_of(header) is None


def test_deliveries_of_a_job_keep_its_trace():
    header = traceparent(TRACE, JOB)
    assert header == f"00-{TRACE}-6f1c0e4e0d0e4a57-01"
    assert trace_id_of(header) == TRACE
