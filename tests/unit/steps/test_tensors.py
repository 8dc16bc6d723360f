import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.tensors import bytes_tensor, first_bytes, json_object, json_tensor

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON))
def test_json_survives_a_tensor_unchanged(value: dict[str, object]) -> None:
    assert json_object(json_tensor(value)) == value


@given(st.lists(st.binary()))
def test_bytes_survive_a_tensor_unchanged(values: list[bytes]) -> None:
    tensor = bytes_tensor(values)
    assert tensor.shape == (len(values),)
    assert tensor.tolist() == values
    assert first_bytes(tensor) == (values[0] if values else b"")


def test_json_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a JSON object, got list"):
        json_object(np.array([b"[1]"], np.object_))
