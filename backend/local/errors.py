"""What can go wrong while the system starts, in words for the person who typed the command."""


class LocalError(RuntimeError):
    """The system cannot start or go on. The message says what was found and what to do; no traceback is needed."""
