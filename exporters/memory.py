"""A limit on the memory that this process takes while it works on what others wrote."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATM = Path("/proc/self/statm")


@contextmanager
def bounded_memory(more: int) -> Iterator[None]:
    """Let this process's address space grow by at most `more` bytes. Beyond, allocations fail with MemoryError.

    Where the system does not tell how large it is (not Linux), there is no limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if not _STATM.exists():
        yield
        return
    present = int(_STATM.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    bound = min(size for size in (present + more, soft, hard) if size != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
