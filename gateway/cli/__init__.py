"""The console script `maskwright`."""

from gateway.cli.main import app

__all__ = ["app"]
