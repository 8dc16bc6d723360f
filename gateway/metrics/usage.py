"""What this process takes of the machine."""

import os
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_SHORTEST_S = 1.0
"""A share of less time than that says nothing."""


class UsageFigures:
    """Memory and processor time; the latter as a share of the seconds before."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._memory = Gauge("memory_usage_bytes", "Resident memory of a process.", registry=registry)
        self._cpu = Gauge("cpu_usage_percent", "Processor time of a process; 100 is one core.", registry=registry)
        self._read_at, self._used_s = time.monotonic(), time.process_time()

    def read(self) -> None:
        """Measure now (proc(5), statm: the second field is the resident pages)."""
        now, used_s = time.monotonic(), time.process_time()
        if now - self._read_at >= _SHORTEST_S:
            self._cpu.set(100 * (used_s - self._used_s) / (now - self._read_at))
            self._read_at, self._used_s = now, used_s
        self._memory.set(int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE_BYTES)
