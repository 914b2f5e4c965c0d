"""What the store provides; or, in a test that runs without it, what stands in for it."""

from __future__ import annotations

from typing import Any

#: The history of a test.
events: list[Any] = []
#: Lines logged by a test: level and message.
lines: list[tuple[str, str]] = []

try:
    from wit_world.imports import history as _history  # type: ignore[import-not-found]
    from wit_world.imports import log as _log

    head = _history.head
    read = _history.read

    def line(level: str, message: str) -> None:
        _log.line(_log.Level[level], message)

except ImportError:

    def head() -> int:
        return events[-1].seq if events else 0

    def read(after: int, limit: int) -> list[Any]:
        return [event for event in events if event.seq > after][:limit]

    def line(level: str, message: str) -> None:
        lines.append((level, message))
