"""Bodies that are made to keep us busy."""

import gzip
import time
from contextlib import suppress
from functools import partial

import pytest

from gateway.fetching.codings import CodingError, decoded

gzipped = partial(gzip.compress, mtime=0)
"""The same bytes whenever the tests are collected: they are in their names."""

MEMBER = gzipped(b"")


@pytest.mark.parametrize("body", [MEMBER * 100_000, MEMBER * 4000 + gzipped(bytes(8_000_000), compresslevel=0)])
def test_empty_members_are_read_fast(body: bytes) -> None:
    began = time.process_time()
    with suppress(CodingError):
        assert decoded(body, "gzip", 32_000_000) == bytes(8_000_000)
    assert time.process_time() - began < 0.5


def test_more_members_than_anybody_makes_are_refused() -> None:
    with pytest.raises(CodingError, match="goes on after its end"):
        decoded(MEMBER * 4097, "gzip", 1)
