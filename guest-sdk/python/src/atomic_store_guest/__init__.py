"""Write validators for Atomic Store in Python.

A validator holds the rules of a log: the store asks it about every event that somebody wants to append,
and stores the event only if the validator accepts. Subclass :class:`Validator`, and export it:

    Rules = export(Seats)

``python -m atomic_store_guest.build seats.py`` makes the component that the store loads.
:mod:`atomic_store_guest.testing` tests the rules without one.
"""

from . import history, log
from .export import export, export_upcasting
from .payload import Event, Key, Malformed, NewEvent, Payload, Proposal, new_event, to_json
from .validator import Validator
from .verdict import Acceptance, Rejection, Verdict, accept, accept_instead, reject

__all__ = [
    "Acceptance",
    "Event",
    "Key",
    "Malformed",
    "NewEvent",
    "Payload",
    "Proposal",
    "Rejection",
    "Validator",
    "Verdict",
    "accept",
    "accept_instead",
    "export",
    "export_upcasting",
    "history",
    "log",
    "new_event",
    "reject",
    "to_json",
]
