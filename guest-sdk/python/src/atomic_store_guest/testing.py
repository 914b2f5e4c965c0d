"""Tests rules without WebAssembly and without a store: ``python -m unittest`` is enough.

Every question is put to a state that was folded and to one restored from its snapshot. So each test of the
rules also tests that they are deterministic, keep their hands off the state, and survive a snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from . import host
from .instance import Declined, Instance, Refused, admitted, today
from .payload import Event, Key, Pair, encode
from .validator import Validator
from .verdict import Acceptance, Reason, Refusal

_T = TypeVar("_T")
_HOST_MS = 1_700_000_000_000


@dataclass(frozen=True)
class TestProposal:
    """A proposal as the store passes it on; :func:`proposal` makes one."""

    kind: str
    payload: bytes
    content_type: str = "application/json"
    keys: list[Key] = field(default_factory=list)
    metadata: list[Pair] = field(default_factory=list)
    caller_ms: int | None = None
    host_ms: int = 0

    # Not a test, for those who collect them by name.
    __test__ = False


def proposal(
    kind: str,
    payload: Any = b"",
    *,
    content_type: str = "application/json",
    keys: Iterable[Key] = (),
    metadata: Mapping[str, str] | None = None,
    caller_ms: int | None = None,
) -> TestProposal:
    """A proposal; text and bytes as they are, anything else as JSON."""
    pairs = [Pair(name, value) for name, value in (metadata or {}).items()]
    return TestProposal(kind, _bytes(payload), content_type, list(keys), pairs, caller_ms)


class Harness:
    """A scope under test. Raises ``ValueError`` if the rules decline it."""

    def __init__(
        self, rules: type[Validator], *, scope: str = "test/1", config: Any = None
    ) -> None:
        self._of = rules
        self._scope = scope
        self._config = None if config is None else _bytes(config)
        try:
            self._instance = Instance.init(rules, scope, self._config)
        except Declined as error:
            raise ValueError(str(error)) from None
        #: The events of the scope so far.
        self.events: list[Event] = []
        self._restored()

    @property
    def rules(self) -> Any:
        """The instance under test."""
        return self._instance.rules

    def given(self, *proposals: TestProposal) -> Harness:
        """Folds events of the past, which nobody judges."""
        for each in proposals:
            timed = replace(each, host_ms=self._host_ms())
            self._fold(admitted(timed, Acceptance(), self._instance.head))
        return self

    def propose(self, kind: str, payload: Any = b"", **more: Any) -> Answer:
        """Proposes an event, and folds what it becomes."""
        return self.propose_all(proposal(kind, payload, **more))

    def propose_all(self, *proposals: TestProposal) -> Answer:
        """Proposes an append of several: all or nothing."""
        host_ms = self._host_ms()
        raw = [replace(each, host_ms=host_ms) for each in proposals]
        told = self._ask(lambda instance: instance.validate(raw))
        if isinstance(told, list):
            for each, acceptance in zip(raw, told):
                self._fold(admitted(each, acceptance, self._instance.head))
        return Answer(told)

    def query(self, name: str, args: Any = b"") -> Any:
        """What the JSON of the answer says. Raises ``ValueError`` with the error of the rules."""
        told = self._ask(lambda instance: instance.query(name, _bytes(args)))
        if isinstance(told, Declined):
            raise ValueError(str(told))
        return json.loads(told)

    def take_lines(self) -> list[tuple[str, str]]:
        """The lines logged since the last time; questions are put more than once."""
        lines, host.lines[:] = list(host.lines), []
        return lines

    def _host_ms(self) -> int:
        return _HOST_MS + 1000 * len(self.events)

    def _fold(self, events: list[Event]) -> None:
        newer = [today(self._of, event) for event in events]
        _with_history(self.events, lambda: self._instance.apply(newer))
        self.events = [*self.events, *events]
        self._restored()

    def _restored(self) -> Instance:
        """An instance from a snapshot, which must have the same state."""
        snapshot = self._instance.encode()
        restored = Instance.restore(self._of, self._scope, self._config, snapshot)
        ours, theirs = self._instance.rules.to_state(), restored.rules.to_state()
        assert ours == theirs, (
            "the state does not survive a snapshot, which is JSON: dicts with text as keys, lists, str, "
            f"int, float, bool, None; {ours!r} became {theirs!r}"
        )
        return restored

    def _ask(self, question: Callable[[Instance], _T]) -> Any:
        before = self._instance.encode()
        restored = self._restored()
        tellers = [restored, restored, self._instance, self._instance]
        told = [_outcome(lambda: _with_history(self.events, lambda: question(t))) for t in tellers]
        shown = [_shown(each) for each in told]
        assert shown[0] == shown[1] and shown[2] == shown[3], "the rules answered in two ways"
        assert shown[1] == shown[2], "the rules answer otherwise after a snapshot"
        assert self._instance.encode() == before, "the rules changed the state while they judged"
        assert restored.encode() == before, "the rules changed the state while they judged"
        return told[0]


class Answer:
    """What the rules said to an append. Each method asserts and gives back what it found."""

    def __init__(self, told: Any) -> None:
        self._told = told

    def accepted(self) -> list[Acceptance]:
        """Asserts that it was accepted; gives an acceptance for each proposal."""
        assert isinstance(self._told, list), f"expected acceptance, but {_tell(self._told)}"
        return self._told

    def rejected(self, code: str) -> Reason:
        """Asserts that it was rejected with this code; gives the reason."""
        expected = f'expected rejection with "{code}", but'
        assert isinstance(self._told, Refusal), f"{expected} it was accepted"
        found = [reason for reason in self._told.reasons if reason.code == code]
        assert found, f"{expected} {_tell(self._told)}"
        return found[0]

    def rejected_at(self, index: int, code: str) -> Reason:
        """As :meth:`rejected`, and asserts which proposal was the first to be refused, counted from 0."""
        reason = self.rejected(code)
        assert self._told.index == index, _tell(self._told)
        return reason


def _bytes(data: Any) -> bytes:
    return data.encode() if isinstance(data, str) else encode(data)


def _with_history(events: list[Event], call: Callable[[], _T]) -> _T:
    host.events[:] = events
    try:
        return call()
    finally:
        host.events.clear()


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Refused as refused:
        return refused.refusal
    except Declined as error:
        return error


def _shown(told: Any) -> Any:
    if isinstance(told, list):
        return [vars(acceptance) for acceptance in told]
    return str(told) if isinstance(told, Declined) else told


def _tell(refusal: Refusal) -> str:
    reasons = "; ".join(f"{reason.code}: {reason.message}" for reason in refusal.reasons)
    return f"proposal {refusal.index} was rejected: {reasons}"
