"""Reads record batches record by record, so that one broken record loses no others; the client cannot do that.

The layout is that of Kafka's documentation, "Message Format", version 2.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from operator import itemgetter
from types import MappingProxyType

import cramjam
import numpy as np
from aiokafka.record.util import calc_crc32c

_FRAME = struct.Struct(">qi")
"""The first record's offset, and the number of bytes that follow."""
_HEADER = struct.Struct(">iBIhiqqqhii")
"""Leader epoch, magic, checksum, attributes, last offset delta, first and last timestamp, producer id, producer epoch,
first sequence number, records."""
_CHECKED_FROM = 21
"""Where the bytes begin that the checksum covers."""
_MAGIC = 2
_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_VARINT_BITS = 70
_MOST_BYTES = 64 * 1024 * 1024
"""The largest decompressed batch: a hundred times what brokers accept by default."""
_MOST_UNREADABLE = 100
"""So many unreadable records of a batch are told one by one; after them the whole rest counts as unreadable."""
_REST_BYTES = 1024 * 1024
"""How many bytes are kept of the rest of a broken batch."""
_XERIAL = b"\x82SNAPPY\0"
_XERIAL_BYTES = 16
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Record:
    """A record; `timestamp` in ms since 1970."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Unreadable:
    """A record, or several, that cannot be read: the offsets from `offset` to before `end`, and why.

    `value` is the record's own value if it could be read, or else the raw bytes.
    """

    offset: int
    end: int
    reason: str
    value: bytes
    key: bytes | None = None


class _BrokenError(ValueError):
    """The bytes do not follow the format."""


@dataclass(frozen=True)
class Batch:
    """The bytes of one batch, perhaps cut short; `following` is the next batch's first offset, if it is known."""

    raw: bytes
    base: int
    following: int | None = None

    @property
    def end(self) -> int:
        """The offset after the batch, never beyond the next batch's first: the header itself may be broken."""
        header = self._header()
        declared = self.base + header[4] + 1 if header and header[1] == _MAGIC else self.base + 1
        if self.following is not None:
            declared = min(declared, self.following)
        elif header and not self.is_intact:  # one of the two numbers may be broken
            declared = min(declared, self.base + header[-1])
        return max(self.base + 1, declared)

    @property
    def producer(self) -> int | None:
        """The producer's id, if the batch belongs to a transaction or ends one."""
        header = self._header()
        return header[7] if header and header[3] & (_TRANSACTIONAL | _CONTROL) else None

    @property
    def is_control(self) -> bool:
        """Whether it holds the end of a transaction instead of records."""
        header = self._header()
        return bool(header and header[1] == _MAGIC and header[3] & _CONTROL)

    @cached_property
    def is_intact(self) -> bool:
        """Whether the checksum is right."""
        header = self._header()
        return bool(header and header[1] == _MAGIC and header[2] == calc_crc32c(self.raw[_CHECKED_FROM:]))

    def records(self) -> Iterator[Record | Unreadable]:
        """Its records in order; a batch that cannot be opened is one Unreadable. Raises nothing."""
        try:
            yield from self._records()
        except Exception as error:  # noqa: BLE001 decoders raise errors of many kinds
            yield Unreadable(self.base, self.end, _reason(error), self.raw)

    def _header(self) -> tuple[int, ...] | None:
        is_whole = len(self.raw) >= _FRAME.size + _HEADER.size
        return _HEADER.unpack_from(self.raw, _FRAME.size) if is_whole else None

    def _records(self) -> Iterator[Record | Unreadable]:
        header = self._header()
        if header is None or len(self.raw) < _FRAME.size + _FRAME.unpack_from(self.raw)[1]:
            raise _BrokenError("the batch is cut short")
        _, magic, _, attributes, _, first_ms, last_ms, *_, count = header
        if magic != _MAGIC:
            raise _BrokenError(f"message format {magic} is not read; {_MAGIC} is")
        if not self.is_intact:
            raise _BrokenError("the checksum is wrong")
        if attributes & _CODEC not in _DECODERS:
            raise _BrokenError(f"codec {attributes & _CODEC} is not known")
        body = _DECODERS[attributes & _CODEC](self.raw[_FRAME.size + _HEADER.size :])
        times = (last_ms, 0) if attributes & _APPEND_TIME else (first_ms, 1)
        yield from self._split(body, count, times)

    def _split(self, body: bytes, count: int, times: tuple[int, int]) -> Iterator[Record | Unreadable]:
        """The records; each one's length says where the next begins. After a broken one, the rest is one Unreadable."""
        reader, expected, end, unreadable, read, at, broken = _Reader(body), self.base, self.end, 0, 0, 0, ""
        while read < count and expected < end and not broken:
            at = reader.at
            try:
                one = _record(reader.take(reader.varint()), self.base, times, expected)
            except _BrokenError as error:
                at, broken = reader.at, _reason(error)
                break
            if one.offset >= end:
                broken = f"a record has offset {one.offset}, where the batch ends before {end}"
                break
            yield one
            read, expected, at = read + 1, one.offset + 1, reader.at
            unreadable += isinstance(one, Unreadable)
            broken = f"{unreadable} records of the batch cannot be read" if unreadable >= _MOST_UNREADABLE else ""
        if (broken and expected < end) or read != count or at != len(body):
            reason = broken or f"{len(body) - at} bytes are left after {read} of {count} records"
            yield Unreadable(min(expected, end - 1), end, reason, body[at : at + _REST_BYTES])


def split(data: bytes) -> Iterator[Batch]:
    """The batches of a fetch. A last one that is cut off counts only if it is the only one."""
    at, found = 0, False
    while len(data) - at >= _FRAME.size:
        base, length = _FRAME.unpack_from(data, at)
        end = at + _FRAME.size + max(0, length)
        if end > len(data) and found:
            return
        following = _FRAME.unpack_from(data, end)[0] if len(data) - end >= _FRAME.size else None
        yield Batch(data[at:end], base, following if following is not None and following > base else None)
        at, found = end, True


@dataclass(frozen=True)
class Reading:
    """What was read of a fetch; `end` is the offset to go on from, `is_all` says whether nothing of it is left."""

    records: Sequence[Record]
    unreadable: Sequence[Unreadable]
    end: int
    is_all: bool


def read_on(data: bytes, offset: int, aborted: Sequence[tuple[int, int]], until: int, limit: int) -> Reading:
    """Read at most `limit` records from an offset on. Raises nothing.

    Reading ends before a batch with a wrong checksum, which is fetched again; if it is the first, it is unreadable.
    `aborted` are the aborted transactions: their producers and first offsets. `until` is the end of the partition,
    beyond which no broken number may lead.
    """
    read: list[Record | Unreadable] = []
    pending, given_up, end, most = sorted(aborted, key=itemgetter(1)), set[int](), offset, max(until, offset + 1)
    for batch in split(data):
        while pending and pending[0][1] <= batch.base:
            given_up.add(pending.pop(0)[0])
        if end > offset and not batch.is_intact:
            break
        if batch.is_intact and batch.is_control:
            given_up.discard(batch.producer or 0)
        elif not batch.is_intact or batch.producer not in given_up:
            found = (one for one in batch.records() if _reaches(one, offset))
            read += islice(found, limit - len(read))
            if (more := next(found, None)) is not None:
                return _reading(read, min(max(offset + 1, more.offset), most), is_all=False)
        end = min(max(end, batch.end), most)
    return _reading(read, end, is_all=True)


def _reading(read: Sequence[Record | Unreadable], end: int, *, is_all: bool) -> Reading:
    records = [one for one in read if isinstance(one, Record)]
    return Reading(records, [one for one in read if isinstance(one, Unreadable)], end, is_all)


def _reaches(one: Record | Unreadable, offset: int) -> bool:
    return one.offset >= offset if isinstance(one, Record) else one.end > offset


def _unzipped(data: bytes) -> bytes:
    reader = zlib.decompressobj(_GZIP)
    body = reader.decompress(data, _MOST_BYTES)
    if not reader.eof:
        raise _BrokenError("its gzip stream is cut short" if len(body) < _MOST_BYTES else _TOO_LARGE)
    return body


def _from_snappy(data: bytes) -> bytes:
    """One block, or several as Java's library writes them, each after its length."""
    blocks = [data] if not data.startswith(_XERIAL) else list(_blocks(_Reader(data, _XERIAL_BYTES), len(data)))
    if sum(cramjam.snappy.decompress_raw_len(block) for block in blocks) > _MOST_BYTES:
        raise _BrokenError(_TOO_LARGE)
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


def _blocks(reader: "_Reader", end: int) -> Iterator[bytes]:
    while reader.at < end:
        yield reader.take(int.from_bytes(reader.take(4), "big", signed=True))


def _into(unpack: Callable[[bytes, memoryview], int]) -> Callable[[bytes], bytes]:
    """Decompress into a buffer of the largest size; the system gives memory only for what is written."""

    def unpacked(data: bytes) -> bytes:
        room = np.empty(_MOST_BYTES, np.uint8).data
        try:
            size = unpack(data, room)
        except cramjam.DecompressionError as error:
            raise _BrokenError(f"it cannot be unpacked, or into more than {_MOST_BYTES} bytes: {error}") from error
        return bytes(room[:size])

    return unpacked


_TOO_LARGE = f"unpacked it has more than {_MOST_BYTES} bytes"
_DECODERS: Mapping[int, Callable[[bytes], bytes]] = MappingProxyType(
    {
        0: bytes,
        1: _unzipped,
        2: _from_snappy,
        3: _into(cramjam.lz4.decompress_into),
        4: _into(cramjam.zstd.decompress_into),
    }
)


def _record(piece: bytes, base: int, times: tuple[int, int], expected: int) -> Record | Unreadable:
    """One record; if it is unreadable, with the offset that it tells, or else the expected one."""
    reader, offset, key, value = _Reader(piece, 1), expected, None, None
    try:
        timestamp = times[0] + times[1] * reader.varint()
        offset = max(expected, base + reader.varint())
        key, value = reader.nullable(), reader.nullable()
        headers = {_name(reader): reader.nullable() or b"" for _ in range(reader.varint())}
        if reader.at != len(piece):
            raise _BrokenError(f"{len(piece) - reader.at} bytes are left after the headers")
    except ValueError as error:
        return Unreadable(offset, offset + 1, _reason(error), piece if value is None else value, key)
    return Record(offset, timestamp, key, value, headers)


def _name(reader: "_Reader") -> str:
    name = reader.take(reader.varint())
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise _BrokenError(f"the name of a header is not UTF-8: {name!r:.80}") from error


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _BrokenError) else f"{type(error).__name__}: {error}"


class _Reader:
    """Reads numbers and bytes in order. Every method raises _BrokenError if the bytes end too early."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at

    def take(self, count: int) -> bytes:
        """So many bytes."""
        if not 0 <= count <= len(self._data) - self.at:
            raise _BrokenError(f"{count} bytes are announced where {len(self._data) - self.at} are left")
        self.at += count
        return self._data[self.at - count : self.at]

    def nullable(self) -> bytes | None:
        """Bytes with their length before them; -1 stands for none."""
        length = self.varint()
        return None if length == -1 else self.take(length)

    def varint(self) -> int:
        """A signed number of variable length, zigzag."""
        number = shift = 0
        while shift < _VARINT_BITS:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 the highest bit says that more follow
                return (number >> 1) ^ -(number & 1)
            shift += 7
        raise _BrokenError("a number does not end")
