"""Measurements: throughput, latency, where the time goes."""
