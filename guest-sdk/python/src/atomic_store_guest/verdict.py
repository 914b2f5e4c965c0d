"""A validator's answer to one proposal, and the words to make one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Union

from .payload import NewEvent, encode
from .text import shorten


@dataclass
class Output:
    """Something for a channel."""

    channel: str
    payload: bytes


@dataclass
class Reason:
    """One reason of a refusal."""

    code: str
    message: str
    data: bytes | None = None
    seqs: list[int] = field(default_factory=list)


class Acceptance:
    """Yes to a proposal; :func:`accept` makes one."""

    def __init__(self, events: list[NewEvent] | None = None) -> None:
        self.events = events
        self.reason: str | None = None
        self.meta: bytes | None = None
        self.outputs: list[Output] = []

    def because(self, sentence: str) -> Acceptance:
        """Adds a sentence for the caller. Of a batch the caller gets the first one."""
        self.reason = shorten(sentence)
        return self

    def with_meta(self, data: Any) -> Acceptance:
        """Adds data for the caller, at most 64 KiB. It is not stored."""
        self.meta = encode(data)
        return self

    def with_output(self, channel: str, data: Any) -> Acceptance:
        """Adds something for a channel, committed together with the event."""
        self.outputs.append(Output(channel, encode(data)))
        return self


class Rejection(Exception):
    """No to a proposal; :func:`reject` makes one. It may be returned or raised."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.reasons = [Reason(code, shorten(message))]
        self.meta: bytes | None = None

    def with_data(self, data: Any) -> Rejection:
        """Adds details for programs to the last reason, at most 64 KiB."""
        self.reasons[-1].data = encode(data)
        return self

    def with_seqs(self, *seqs: int) -> Rejection:
        """Names the earlier events that caused the last reason."""
        self.reasons[-1].seqs = list(seqs)
        return self

    def with_meta(self, data: Any) -> Rejection:
        """Adds data for the caller, at most 64 KiB."""
        self.meta = encode(data)
        return self

    def also(self, other: Rejection) -> Rejection:
        """Adds the reasons of another rejection; at most 16 in all."""
        self.reasons += other.reasons
        self.meta = other.meta if self.meta is None else self.meta
        return self


#: Yes or no to one proposal.
Verdict = Union[Acceptance, Rejection]


@dataclass
class Refusal:
    """No to an append, as the contract has it."""

    index: int
    reasons: list[Reason]
    meta: bytes | None


def accept() -> Acceptance:
    """Yes: store the event as proposed."""
    return Acceptance()


def accept_instead(*events: NewEvent) -> Acceptance:
    """Yes, but store these events instead: a command becomes its effects. None at all is allowed."""
    return Acceptance(list(events))


def reject(code: str, message: str) -> Rejection:
    """No, with a short word for programs and a sentence for people."""
    return Rejection(code, message)
