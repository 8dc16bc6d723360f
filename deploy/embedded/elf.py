"""Changes which function of the C library a program calls.

Layouts: elf(5), 64 bits, little endian, as on x86-64 and ARM64.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from deploy.embedded.errors import StackError

_SECTIONS_AT, _SECTIONS = 0x28, 0x3C
"""Where the header says where the section headers are, and how many."""
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNAMIC_SYMBOLS = 11


def call_instead(program: Path, function: str, other: str) -> None:
    """Let the program call `other` wherever it calls `function`; it must call both, in the same version.

    Raises StackError where it does not.
    """
    content = bytearray(program.read_bytes())
    symbols = {name: (place, offset) for place, offset, name in _symbols(content)}
    try:
        (place, _), (_, offset) = symbols[function.encode()], symbols[other.encode()]
    except KeyError as error:
        raise StackError(f"{program} does not call {error}; install another version of it") from error
    struct.pack_into("<I", content, place, offset)
    program.write_bytes(content)


def _symbols(content: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Where each symbol stands, where its name does in the table of names, and the name."""
    (at,), (count,) = struct.unpack_from("<Q", content, _SECTIONS_AT), struct.unpack_from("<H", content, _SECTIONS)
    sections = [_SECTION.unpack_from(content, at + number * _SECTION.size) for number in range(count)]
    for _, kind, _, _, start, size, link, *_ in sections:
        if kind == _DYNAMIC_SYMBOLS:
            names = sections[link][4]
            for place in range(start, start + size, _SYMBOL.size):
                offset = _SYMBOL.unpack_from(content, place)[0]
                yield place, offset, bytes(content[names + offset : content.index(0, names + offset)])
