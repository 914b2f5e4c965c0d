"""The earlier events of the scope, for rules that would rather look than fold."""

from __future__ import annotations

from collections.abc import Iterator

from . import host
from .payload import Event

_PAGE = 256


def head() -> int:
    """The number of the last event, 0 for none."""
    return host.head()


def read(after: int, limit: int) -> list[Event]:
    """Events after ``after``, in order: at most ``limit``, fewer if they are large, none at the end."""
    return [Event(event, event.seq) for event in host.read(after, limit)]


def since(after: int) -> Iterator[Event]:
    """All events after ``after``, in order, fetched in pages as they are needed."""
    while page := read(after, _PAGE):
        yield from page
        after = page[-1].seq
