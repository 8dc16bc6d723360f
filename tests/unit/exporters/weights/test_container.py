from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.errors import WrongFileError
from exporters.weights.container import contents
from tests.unit.exporters.networks import drawn

WRITERS = (drawn.legacy, drawn.zipped, drawn.stored)
TENSORS = st.dictionaries(
    st.text("abc.1", min_size=1, max_size=8),
    st.tuples(st.lists(st.integers(0, 4), max_size=4), st.sampled_from(list(drawn.STORAGES))),
    min_size=1,
    max_size=6,
)
Writer = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@given(
    tensors=TENSORS,
    writer=st.sampled_from(WRITERS),
    prefix=st.sampled_from(["", "module.", "model.", "module._orig_mod."]),
)
def test_every_tensor_is_found_with_its_shape(
    folder: Path, tensors: dict[str, tuple[list[int], np.dtype]], writer: Writer, prefix: str
) -> None:
    tensors["weight"] = ([3], np.dtype(np.float32))  # no words stand before all keys
    values = {prefix + key: np.zeros(shape, dtype) for key, (shape, dtype) in tensors.items()}
    found = contents(writer(folder / "some.pth", values)).tensors
    assert {key: (list(one.shape), np.dtype(one.dtype)) for key, one in found.items()} == tensors


@given(data=st.data(), writer=st.sampled_from(WRITERS))
def test_a_damaged_file_is_read_or_refused(folder: Path, data: st.DataObject, writer: Writer) -> None:
    path = writer(folder / "some.pth", {"a.weight": np.ones((3, 2), np.float32), "b": np.ones(4, np.float32)})
    content = bytearray(path.read_bytes())
    places = data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8))
    for place in places:
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(WrongFileError):
        contents(path)


@given(length=st.integers(0, 10_000))
@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_that_was_cut_short_is_refused(folder: Path, writer: Writer, length: int) -> None:
    path = writer(folder / "some.pth", {"a.weight": np.ones((30, 20), np.float32)})
    content = path.read_bytes()
    path.write_bytes(content[: min(length, len(content) - 1)])
    with pytest.raises(WrongFileError):
        contents(path)
