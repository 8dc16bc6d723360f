"""Measurements: throughput, latency, where the time goes."""

import os

# Before numpy is imported: the bare loop is to have what the launcher gives Triton.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
