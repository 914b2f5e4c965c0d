"""Lines for the author of the validator; at most 32 of 1 KiB are kept of each call.

They never influence a verdict.
"""

from . import host


def debug(message: object) -> None:
    """A line for finding errors."""
    host.line("DEBUG", _text(message))


def info(message: object) -> None:
    """A line worth knowing."""
    host.line("INFO", _text(message))


def warn(message: object) -> None:
    """A line worth looking into."""
    host.line("WARN", _text(message))


def error(message: object) -> None:
    """A line about something broken."""
    host.line("ERROR", _text(message))


def _text(message: object) -> str:
    return str(message).encode("utf-8", "replace").decode()
