import numpy as np
import pytest

from steps.tensors import (
    InputError,
    Tensors,
    carrying_failures,
    failure_context,
    json_object,
    json_tensor,
    require_success,
)

BLANK = {"pixels": np.zeros(3)}


def refuse(_: Tensors) -> Tensors:
    raise InputError("no_person", "nobody")


def work(_: Tensors) -> Tensors:
    return {"pixels": np.ones(3), "context": json_tensor({})}


def test_a_failure_becomes_data_beside_blank_outputs() -> None:
    outputs = carrying_failures(lambda _: BLANK)(refuse)({})
    assert json_object(outputs["context"]) == {"failure": {"code": "no_person", "detail": "nobody"}}
    assert outputs["pixels"] is BLANK["pixels"]


def test_an_earlier_failure_is_handed_on_without_running_the_step() -> None:
    context = json_tensor({"failure": {"code": "image_corrupt", "detail": "x"}})
    outputs = carrying_failures(lambda _: BLANK)(work)({"context": context})
    assert outputs["context"] is context
    assert outputs["pixels"] is BLANK["pixels"]


def test_valid_input_passes_unchanged() -> None:
    assert carrying_failures(lambda _: BLANK)(work)({"context": json_tensor({})})["pixels"].all()


def test_an_internal_error_is_not_reported_as_an_input_error() -> None:
    def broken(_: Tensors) -> Tensors:
        raise KeyError("x")

    with pytest.raises(KeyError):
        carrying_failures(lambda _: BLANK)(broken)({})


def test_a_failure_that_was_handed_on_is_raised_again() -> None:
    failure = InputError("no_face", "nobody")
    with pytest.raises(InputError) as raised:
        require_success(failure_context(failure))
    assert (raised.value.code, raised.value.detail) == ("no_face", "nobody")
    require_success({"regions": []})
