"""Rules whose events have changed their form: what was ``euros`` is a hundred ``cents`` today.

They are tested in ``test_cents.py``, and built for tests of the store.
"""

from __future__ import annotations

from typing import Any

from atomic_store_guest import (
    Event,
    NewEvent,
    Payload,
    Proposal,
    Validator,
    Verdict,
    accept,
    export,
    export_upcasting,
    new_event,
    reject,
)


class Cents(Validator):
    name = "cents"
    version = "2.0.0"

    def __init__(self, scope: str, config: Any) -> None:
        self.sum = 0

    @classmethod
    def upcast(cls, event: Event) -> NewEvent | None:
        if event.kind != "euros":
            return None
        return new_event("cents", event.json() * 100, keys=event.keys)

    def apply(self, event: Event) -> None:
        if event.kind != "cents":
            raise RuntimeError("apply sees the newer form only")
        self.sum += event.json()

    def validate(self, proposal: Proposal) -> Verdict:
        if type(proposal.json()) is not int:
            return reject("malformed", "how many?")
        return reject("full", "more than 500 cents") if self.sum > 500 else accept()

    def query(self, name: str, args: Payload) -> Any:
        return self.sum


Rules = export(Cents)
Upcasting = export_upcasting(Cents)
