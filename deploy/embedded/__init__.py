"""The one-machine stack: servers from pip wheels, started, watched and stopped together."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


class StackError(Exception):
    """The stack cannot start or stop. The message says why and what to do."""
