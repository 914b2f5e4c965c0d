"""Payloads in and out: JSON unless told otherwise.

What must stay true: payloads are untrusted. Reading one gives the whole of it or raises
:class:`Malformed`, which is a rejection when it leaves ``validate``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

# An escape that may be half a character.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# How deep JSON may be nested. Deeper ones could end the call instead of raising an exception.
_DEPTH_MAX = 128
_TOO_DEEP = b"[" * (_DEPTH_MAX + 1)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# Leaves the brackets, and makes braces brackets.
_SHAPE = bytes.maketrans(b"{}", b"[]")
_NO_SHAPE = bytes(byte for byte in range(256) if byte not in b"[]{}")


class Malformed(Exception):
    """A payload that is not what the rules expect."""

    def __init__(self, kind: str, why: object) -> None:
        super().__init__(f'the payload of "{kind}" is malformed: {why}')


@dataclass(frozen=True)
class Key:
    """What an event is about, as in ``Key("book", "Neuromancer")``."""

    kind: str
    id: str


@dataclass(frozen=True)
class Pair:
    """A pair that travels with an event."""

    name: str
    value: str


class Payload:
    """Bytes, and what they say."""

    __slots__ = ("kind", "payload")

    def __init__(self, kind: str, payload: bytes) -> None:
        self.kind = kind
        self.payload = payload

    def json(self) -> Any:
        """As JSON, as the standard has it: no NaN, no half characters.

        Raises :class:`Malformed`, which becomes a rejection with the code ``malformed``.
        """
        text = self.text()
        try:
            value = parse(text)
            if _SURROGATE.search(text):
                json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise Malformed(self.kind, error) from None
        return value

    def fields(self) -> dict[str, Any]:
        """The fields of a JSON object. Raises :class:`Malformed` if it is anything else."""
        value = self.json()
        if not isinstance(value, dict):
            raise Malformed(self.kind, "it is no object")
        return value

    def try_json(self, default: Any = None) -> Any:
        """As JSON; ``default`` if it is none."""
        try:
            return self.json()
        except Malformed:
            return default

    def text(self) -> str:
        """As text. Raises :class:`Malformed` if it is not UTF-8."""
        try:
            return self.payload.decode()
        except UnicodeDecodeError as error:
            raise Malformed(self.kind, error) from None


class _Entry(Payload):
    """What an accepted event and a proposed one have in common."""

    __slots__ = ("content_type", "keys", "metadata", "caller_ms", "host_ms")

    content_type: str
    keys: list[Key]
    metadata: list[Pair]
    #: When the caller says it happened, in milliseconds since 1970.
    caller_ms: int | None
    #: When the store admitted it, in milliseconds since 1970. Never falls within a scope.
    host_ms: int

    def __init__(self, raw: Any) -> None:
        self.kind = raw.kind
        self.payload = raw.payload
        self.content_type = raw.content_type
        self.keys = raw.keys
        self.metadata = raw.metadata
        self.caller_ms = raw.caller_ms
        self.host_ms = raw.host_ms

    def meta(self, name: str) -> str | None:
        """The value of the first metadata pair of that name."""
        return next((pair.value for pair in self.metadata if pair.name == name), None)


class Event(_Entry):
    """An accepted event of this scope."""

    __slots__ = ("seq",)

    #: Its number: 1, 2, 3 and so on without gaps.
    seq: int

    def __init__(self, raw: Any, seq: int) -> None:
        super().__init__(raw)
        self.seq = seq


class Proposal(_Entry):
    """An event that somebody wants to append."""

    __slots__ = ()


@dataclass
class NewEvent:
    """An event to store in place of a proposal; :func:`new_event` makes one."""

    kind: str
    payload: bytes
    content_type: str
    keys: list[Key] = field(default_factory=list)
    metadata: list[Pair] = field(default_factory=list)


def new_event(
    kind: str,
    payload: Any,
    *,
    content_type: str | None = None,
    keys: Iterable[Key] = (),
    metadata: Mapping[str, str] | None = None,
) -> NewEvent:
    """An event to store; bytes stay as they are, anything else becomes JSON."""
    media = "application/octet-stream" if isinstance(payload, bytes) else "application/json"
    pairs = [Pair(name, value) for name, value in (metadata or {}).items()]
    return NewEvent(kind, encode(payload), content_type or media, list(keys), pairs)


def to_json(value: Any) -> bytes:
    """A value as JSON, without spaces. Raises ``TypeError`` or ``ValueError`` if it has no form in JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def parse(text: str) -> Any:
    """What a text says that is JSON as the standard has it. Raises ``ValueError`` or ``RecursionError``."""
    if text.count("[") + text.count("{") > _DEPTH_MAX and _is_deep(text):
        raise ValueError(f"it is nested deeper than {_DEPTH_MAX}")
    return json.loads(text, parse_constant=_no_constant)


def _is_deep(text: str) -> bool:
    """True if it is nested too deep; of what is no JSON also if a bracket is never opened or closed."""
    shape = _STRING.sub(b"", text.encode()).translate(_SHAPE, _NO_SHAPE)
    if shape.count(b"[") != shape.count(b"]"):
        return True
    for _ in range(_DEPTH_MAX):
        # Most of what is too deep is so at a glance; otherwise each level would be a pass over all of it.
        if _TOO_DEEP in shape:
            return True
        # The innermost brackets go, one level of the nesting. No loop over them is as fast.
        rest = shape.replace(b"[]", b"")
        if len(rest) == len(shape):
            break
        shape = rest
    return b"[" in shape


def encode(data: Any) -> bytes:
    """Bytes as they are, anything else as JSON."""
    return data if isinstance(data, bytes) else to_json(data)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
