"""Measurements: throughput, latency, and where the time goes."""

import os

# Before numpy is imported: the bare loop gets the same environment as the launcher gives Triton.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
