"""Record batches, as a broker would keep them."""

import struct
from collections.abc import Sequence

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

_PLACE, _NO_UTF8 = "PLACE", b"\xffBAD\xfe"
_CRC_AT, _CHECKED_FROM = 17, 21
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def built(
    values: Sequence[bytes | None], *, base: int = 0, bad: Sequence[int] = (), codec: int = 0, attributes: int = 0
) -> bytes:
    """A batch of records; those with an index in `bad` have a header whose name is not UTF-8, if there is no codec."""
    producer = 7 if attributes else -1
    builder = DefaultRecordBatchBuilder(2, codec, 0, producer, 0, 0, 2**24)
    for index, value in enumerate(values):
        headers = [(_PLACE, b"x"), ("none", None)] if index in bad else [("h", b"x")]
        builder.append(index, timestamp=1_700_000_000_000 + index, key=b"k", value=value, headers=headers)
    data = bytearray(bytes(builder.build()).replace(_PLACE.encode(), _NO_UTF8))
    struct.pack_into(">q", data, 0, base)
    data[22] |= attributes
    return with_checksum(data)


def with_checksum(data: bytearray) -> bytes:
    """The bytes with the checksum that fits them."""
    struct.pack_into(">I", data, _CRC_AT, calc_crc32c(bytes(data[_CHECKED_FROM:])))
    return bytes(data)
