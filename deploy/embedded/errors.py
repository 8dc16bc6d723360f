"""What can keep the embedded stack from starting."""


class StackError(Exception):
    """The stack cannot start or stop; the message says why and what to do."""
