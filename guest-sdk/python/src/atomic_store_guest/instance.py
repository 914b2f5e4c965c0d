"""One scope's rules at work: the state, and the calls of the contract on it.

What must stay true: this is the only path from a call to the rules. The component and the test harness both
take it, so what a test has seen is what the store runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .payload import Event, Malformed, Payload, Proposal, encode, parse, to_json
from .text import shorten
from .validator import Validator
from .verdict import Acceptance, Refusal, Rejection, reject

_FORMAT = 1


class Declined(Exception):
    """An answer that the contract passes on as an error."""


class Refused(Exception):
    """A refusal on its way out of a call."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class Instance:
    """The rules with their state."""

    def __init__(self, rules: Validator, head: int, origin: list[Any]) -> None:
        self.rules = rules
        # The last event that was folded, for the numbers of events within a batch.
        self.head = head
        self._origin = origin

    @classmethod
    def init(cls, of: type[Validator], scope: str, config: bytes | None) -> Instance:
        """A scope without events."""
        try:
            value = None if config is None else Payload("config", config).json()
            checked = of.configure(value)
            if config is not None and value is None:
                raise ValueError("null is no configuration; bind without one")
        except (ValueError, Malformed) as error:
            raise Declined(f"the configuration of {of.name} is wrong: {error}") from None
        try:
            return cls(of(scope, checked), 0, _origin(of, scope, config))
        except ValueError as error:
            raise Declined(str(error)) from None

    @classmethod
    def restore(
        cls, of: type[Validator], scope: str, config: bytes | None, snapshot: bytes
    ) -> Instance:
        """A scope as it was when the snapshot was taken. Anything else is declined."""
        try:
            parts = parse(snapshot.decode())
        except (ValueError, RecursionError) as error:
            raise Declined(f"the snapshot does not decode: {error}") from None
        origin = _origin(of, scope, config)
        if not isinstance(parts, list) or len(parts) != len(origin) + 2:
            raise Declined("this is no snapshot")
        *made_from, head, state = parts
        if made_from != origin:
            raise Declined("the snapshot is of other rules, another scope or configuration")
        if type(head) is not int or head < 0:
            raise Declined("the snapshot has no head")
        try:
            return cls(of.from_state(state), head, origin)
        except (LookupError, TypeError, ValueError) as error:
            raise Declined(f"the snapshot's state does not fit: {error}") from None

    def apply(self, events: Sequence[Any]) -> None:
        """Folds accepted events."""
        for event in events:
            self.rules.apply(Event(event, event.seq))
            self.head = event.seq

    def validate(self, proposals: Sequence[Any]) -> list[Acceptance]:
        """Judges one append; each proposal as if those before it had been accepted."""
        accepted = []
        rules, head, last = self.rules, self.head, len(proposals) - 1
        for index, raw in enumerate(proposals):
            acceptance = _judge(rules, Proposal(raw), index)
            accepted.append(acceptance)
            # The state is copied only where a later proposal needs to see this one.
            if index < last:
                if rules is self.rules:
                    rules = type(rules).from_state(json.loads(to_json(rules.to_state())))
                for event in admitted(raw, acceptance, head):
                    rules.apply(today(type(rules), event))
                    head = event.seq
        return accepted

    def snapshot(self) -> bytes | None:
        """The state as bytes, unless the rules prefer to fold."""
        return self.encode() if self.rules.snapshots else None

    def encode(self) -> bytes:
        """The state as bytes."""
        return to_json([*self._origin, self.head, self.rules.to_state()])

    def query(self, name: str, args: bytes) -> bytes:
        """Asks the state."""
        try:
            return encode(self.rules.query(name, Payload(name, args)))
        except (ValueError, Malformed) as error:
            raise Declined(str(error)) from None


def admitted(proposal: Any, acceptance: Acceptance, head: int) -> list[Event]:
    """The events that an accepted proposal becomes, numbered after ``head``."""
    if acceptance.events is None:
        return [Event(proposal, head + 1)]
    return [
        Event(_Stored(new, proposal), head + at) for at, new in enumerate(acceptance.events, 1)
    ]


def today(of: type[Validator], event: Event) -> Event:
    """An event as the rules know it today; the store asks the same before it folds."""
    newer = of.upcast(event)
    return event if newer is None else Event(_Stored(newer, event), event.seq)


class _Stored:
    """What stands in the place of a proposal or an event: the other's times, all else its own."""

    def __init__(self, new: Any, proposal: Any) -> None:
        self.kind, self.payload, self.content_type = new.kind, new.payload, new.content_type
        self.keys, self.metadata = new.keys, new.metadata
        self.caller_ms, self.host_ms = proposal.caller_ms, proposal.host_ms


def _judge(rules: Validator, proposal: Proposal, index: int) -> Acceptance:
    verdict: Any
    try:
        verdict = rules.validate(proposal)
    except Rejection as rejection:
        verdict = rejection
    except Malformed as error:
        verdict = reject("malformed", str(error))
    if isinstance(verdict, Acceptance):
        return verdict
    if isinstance(verdict, Rejection):
        raise Refused(Refusal(index, verdict.reasons, verdict.meta))
    raise TypeError("validate must return accept(), accept_instead(..) or reject(..)")


def _origin(of: type[Validator], scope: str, config: bytes | None) -> list[Any]:
    made_with = None if config is None else config.hex()
    return [_FORMAT, of.name, of.version, scope, made_with]


def declined(error: Declined) -> str:
    """What the contract passes on."""
    return shorten(str(error))
