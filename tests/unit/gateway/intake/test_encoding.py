import gzip
import itertools
import tracemalloc
import zlib
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.fetching.codings import PIECE_BYTES
from gateway.intake.bodies import decoder_for

gzipped = partial(gzip.compress, mtime=0)
"""The same bytes whenever the tests are collected: they are in their names."""

CONTENTS = st.binary(max_size=3000) | st.integers(0, 300_000).map(bytes)
CUTS = st.lists(st.integers(0, 10_000), max_size=6)


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def decoded(encoding: str, body: bytes, cuts: list[int] | None = None) -> bytes:
    decoder = decoder_for(encoding)
    assert decoder is not None
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts or []), len(body)]
    whole = b""
    for start, end in itertools.pairwise(edges):
        for piece in decoder.pieces(body[start:end]):
            assert 0 < len(piece) <= PIECE_BYTES
            whole += piece
    decoder.finish()
    return whole


@given(CONTENTS, CUTS, st.sampled_from([("gzip", gzipped), ("X-GZip", gzipped), (" deflate, identity", zlib.compress), ("deflate", raw_deflate)]))  # fmt: skip  # noqa: E501
def test_compressed_data_is_decoded_however_it_is_split(content, cuts, way) -> None:
    encoding, compress = way
    assert decoded(encoding, compress(content), cuts) == content


@given(st.lists(CONTENTS, max_size=4), CUTS, st.integers(0, 600))
def test_several_gzip_members_are_one_body_and_padding_is_ignored(contents, cuts, padding) -> None:
    body = b"".join(map(gzipped, contents)) + (bytes(padding) if contents else b"")
    assert decoded("gzip", body, cuts) == b"".join(contents)


@given(st.binary(min_size=1, max_size=400), st.data())
def test_a_stream_that_ends_early_is_refused(content: bytes, data: st.DataObject) -> None:
    encoding, compress = data.draw(st.sampled_from([("gzip", gzipped), ("deflate", zlib.compress), ("deflate", raw_deflate)]))  # fmt: skip  # noqa: E501
    body = compress(content)
    with pytest.raises(Problem, match="invalid_encoding"):
        decoded(encoding, body[: data.draw(st.integers(1, len(body) - 1))])


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=300), CUTS)
def test_any_bytes_are_decoded_or_a_problem(encoding: str, body: bytes, cuts: list[int]) -> None:
    assert code_of(encoding, body, cuts) in {None, "invalid_encoding"}


def code_of(encoding: str, body: bytes, cuts: list[int]) -> str | None:
    try:
        decoded(encoding, body, cuts)
    except Problem as problem:
        return problem.code
    return None


@pytest.mark.parametrize(
    ("encoding", "body", "what"),
    [
        ("gzip", b"x", "ends early"),
        ("gzip", b"no gzip", "damaged"),
        ("gzip", gzipped(b"a") + b"more", "damaged"),
        ("gzip", gzipped(b"a")[:-8] + bytes(8), "damaged"),
        ("gzip", gzipped(b"") * 5000, "goes on"),
        ("deflate", zlib.compress(b"a") + b"more", "goes on"),
        ("deflate", zlib.compress(b"a") * 2, "goes on"),
    ],
)
def test_a_corrupt_encoding_is_reported_with_the_reason(encoding: str, body: bytes, what: str) -> None:
    with pytest.raises(Problem, match=f"invalid_encoding: The {encoding} stream .*{what}"):
        decoded(encoding, body)


@pytest.mark.parametrize("encoding", ["", "identity", "identity, identity"])
def test_uncompressed_data_is_left_unchanged(encoding: str) -> None:
    assert decoder_for(encoding) is None


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip;q=1", "*", "x" * 1000])
def test_another_encoding_is_refused_with_those_that_are_taken(encoding: str) -> None:
    with pytest.raises(Problem) as caught:
        decoder_for(encoding)
    assert caught.value.code == "encoding_unsupported"
    assert caught.value.headers["Accept-Encoding"] == "gzip, deflate"


def test_a_decompression_bomb_is_opened_piece_by_piece() -> None:
    bomb, decoder = gzipped(bytes(64 * 2**20)), decoder_for("gzip")
    assert decoder is not None
    tracemalloc.start()
    pieces = decoder.pieces(bomb)
    assert len(next(pieces)) == PIECE_BYTES
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
