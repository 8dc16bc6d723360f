import pytest

from exporters.memory import bounded_memory

GIBIBYTE = 1 << 30


def test_memory_beyond_the_bound_is_refused_and_afterwards_given() -> None:
    with bounded_memory(GIBIBYTE // 4):
        assert len(bytearray(GIBIBYTE // 16)) > 0
        with pytest.raises(MemoryError):
            bytearray(GIBIBYTE)
    assert len(bytearray(GIBIBYTE)) == GIBIBYTE


def test_the_bound_ends_with_an_error_within() -> None:
    with pytest.raises(ZeroDivisionError), bounded_memory(GIBIBYTE // 4):
        raise ZeroDivisionError
    assert len(bytearray(GIBIBYTE)) == GIBIBYTE
