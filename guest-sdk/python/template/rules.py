"""Seats of a flight: each is taken once."""

import re
from typing import Any

from atomic_store_guest import Event, Payload, Proposal, Validator, Verdict, accept, export, reject


class Seats(Validator):
    name = "seats"
    version = "1.0.0"
    # For people and tools; `check` takes the examples to try the rules out.
    _seat = {"type": "string", "examples": ["1A", "4A", "4B", "12C"]}
    kinds = [("reserve", {"type": "object", "required": ["seat"], "properties": {"seat": _seat}})]

    def __init__(self, scope: str, config: Any) -> None:
        self.taken: dict[str, int] = {}

    def apply(self, event: Event) -> None:
        seat = seat_of(event.try_json())
        if seat is not None:
            self.taken[seat] = event.seq

    def validate(self, proposal: Proposal) -> Verdict:
        if proposal.kind != "reserve":
            return self.unknown_kind(proposal)
        seat = seat_of(proposal.json())
        if seat is None:
            return reject("malformed", 'a reservation is like {"seat": "4A"}')
        if seat in self.taken:
            return reject("taken", f"seat {seat} is taken").with_seqs(self.taken[seat])
        return accept()

    def query(self, name: str, args: Payload) -> Any:
        return {"taken": len(self.taken)}


def seat_of(value: Any) -> str | None:
    """The seat of a payload, which may be anything."""
    seat = value.get("seat") if isinstance(value, dict) else None
    return seat if isinstance(seat, str) and re.fullmatch("[0-9]{1,2}[A-K]", seat) else None


Rules = export(Seats)
