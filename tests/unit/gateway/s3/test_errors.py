import pytest
from minio.error import InvalidResponseError
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from gateway.errors import Problem
from gateway.jobs.objects import UnansweredError
from gateway.s3.client import storage_errors

POOL = HTTPConnectionPool("s3")


@pytest.mark.parametrize(
    ("error", "may_be_done"),
    [
        (TimeoutError(), True),
        (MaxRetryError(POOL, "/", ReadTimeoutError(POOL, "/", "read timed out")), True),
        (MaxRetryError(POOL, "/", ProtocolError("Connection aborted.")), True),
        (MaxRetryError(POOL, "/", NewConnectionError(HTTPConnection("s3"), "refused")), False),
        (MaxRetryError(POOL, "/", ConnectTimeoutError(HTTPConnection("s3"), "timed out")), False),
        (InvalidResponseError(502, "text/html", "Bad Gateway"), False),
    ],
)
def test_a_request_without_an_answer_may_still_take_effect(error: Exception, may_be_done: bool) -> None:  # noqa: FBT001
    with pytest.raises(Problem, match="storage_unavailable") as raised, storage_errors():
        raise error
    assert isinstance(raised.value, UnansweredError) is may_be_done
