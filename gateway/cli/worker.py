"""`maskwright worker`."""

from gateway.worker.process import main as worker

__all__ = ["worker"]
