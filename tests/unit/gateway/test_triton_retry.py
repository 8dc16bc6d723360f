import pytest
from tritonclient.utils import InferenceServerException

from gateway.errors import Problem
from gateway.timing import Deadline
from gateway.triton import Retry

AWAY = InferenceServerException("connection refused", status="StatusCode.UNAVAILABLE")
STUB = InferenceServerException("Stub process 'm_0' is not healthy.", status="StatusCode.INTERNAL")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("StatusCode.DEADLINE_EXCEEDED", "deadline_exceeded"),
        ("StatusCode.NOT_FOUND", "model_missing"),
        ("StatusCode.INVALID_ARGUMENT", "inference_failed"),
        ("StatusCode.INTERNAL", "inference_failed"),
    ],
)
async def test_an_error_that_a_retry_cannot_fix_is_final(status: str, code: str) -> None:
    with pytest.raises(Problem) as caught:
        await Retry(Deadline(60), 60).after(InferenceServerException("no", status=status))
    assert caught.value.code == code


async def test_an_absent_triton_is_waited_for() -> None:
    await Retry(Deadline(60), 60).after(AWAY)


@pytest.mark.parametrize(("limit_s", "patience_s"), [(60, 0), (0, 60)])
async def test_patience_and_deadline_end_the_waiting(limit_s: float, patience_s: float) -> None:
    with pytest.raises(Problem) as caught:
        await Retry(Deadline(limit_s), patience_s).after(AWAY)
    assert caught.value.code == "triton_unavailable"
    assert caught.value.headers["Retry-After"] == "1"


async def test_a_photo_that_keeps_killing_the_model_is_given_up() -> None:
    retry = Retry(Deadline(60), 60)
    await retry.after(STUB)
    await retry.after(STUB)
    with pytest.raises(Problem) as caught:
        await retry.after(STUB)
    assert caught.value.code == "inference_failed"


async def test_no_attempt_after_the_deadline() -> None:
    with pytest.raises(Problem) as caught:
        Retry(Deadline(0), 60).attempt_s()
    assert caught.value.code == "deadline_exceeded"
