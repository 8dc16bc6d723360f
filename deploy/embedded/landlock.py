"""Run a program that can reach only the named files: `python -I -S landlock.py RULES PROGRAM [ARGUMENT…]`.

RULES is JSON: lists of paths by what may be done below them. "read" (and run), "list" names, "write", "device", and
"entries" (folders and sockets may be made there, and nothing read). The kernel's Landlock enforces this for the program
and all that it starts. From its version 6 on, signals do not reach other processes either. A program can still ask
whether a file exists and who owns it. Numbers are from the kernel's include/uapi/linux/landlock.h. Only the standard
library is used, because our own code may not be readable yet.
"""

import ctypes
import json
import os
import stat
import sys
from collections.abc import Mapping, Sequence

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""System calls. They are the same on every architecture."""
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38
_O_PATH = 0o10000000

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO = (1 << bit for bit in (7, 8, 9, 10))
_MAKE_SYM, _REFER, _TRUNCATE = (1 << bit for bit in (12, 13, 14))
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_HANDLED = (1 << 13) - 1
"""What the first version knows, and so forbids unless a rule allows it."""
_LATER = ((2, _REFER), (3, _TRUNCATE))
"""The version that introduced each right. The first one does not allow moving a file to another folder."""
_SCOPED, _SCOPES_FROM = 3, 6
"""Sockets without a path, and signals, of processes outside."""

_READ = _EXECUTE | _READ_FILE | _READ_DIR
_MADE = _MAKE_DIR | _MAKE_REG | _MAKE_SOCK | _MAKE_FIFO | _MAKE_SYM
_WRITE = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MADE | _REFER | _TRUNCATE
_ALLOWED = {
    "read": _READ,
    "list": _READ_DIR,
    "write": _WRITE,
    "device": _READ_FILE | _READ_DIR | _WRITE_FILE,
    "entries": _MAKE_DIR | _REMOVE_DIR | _MAKE_SOCK | _REMOVE_FILE,
}

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Rule(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def abi() -> int:
    """The version of Landlock that this kernel has. 0 if it has none, or a container's rules forbid it."""
    version: int = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    return max(version, 0)


def confine(rules: Mapping[str, Sequence[str]]) -> None:
    """Restrict this process to the rules for ever. A path that does not exist is ignored. Raises OSError."""
    version = abi()
    handled = _HANDLED | sum(right for since, right in _LATER if version >= since)
    scoped = version >= _SCOPES_FROM
    given = _Ruleset(handled, 0, _SCOPED if scoped else 0)
    size = ctypes.c_size_t(ctypes.sizeof(given) if scoped else 8)
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(given), size, ctypes.c_uint32(0)))
    for kind, paths in rules.items():
        for path in paths:
            _allow(ruleset, path, _ALLOWED[kind] & handled)
    _checked(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)))
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, _O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _OF_FILES
        rule = _Rule(rights, opened)
        _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0)))
    finally:
        os.close(opened)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return result


if __name__ == "__main__":
    confine(json.loads(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the program is the launcher's choice
