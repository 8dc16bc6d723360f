import pytest

from steps.onnx_session import SessionOptions


@pytest.mark.parametrize(
    ("value", "arena"), [("0", False), ("False", False), ("off", False), ("1", True), ("ON", True)]
)
def test_the_arena_is_chosen_as_by_nvidias_backend(value: str, arena: bool) -> None:  # noqa: FBT001
    assert SessionOptions.from_parameters({"enable_mem_arena": value}, None).enable_mem_arena is arena


def test_another_value_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 0, 1, false, true, off or on"):
        SessionOptions.from_parameters({"enable_mem_arena": "no"}, None)
