"""The class that rules subclass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from .payload import Event, NewEvent, Payload, Proposal
from .verdict import Rejection, Verdict, reject


class Validator:
    """The rules of a log, and the state of one scope.

    The store makes one instance for each scope, calls :meth:`apply` for each accepted event in order, and
    :meth:`validate` for each event that somebody wants to append. The rules must be deterministic: what
    they answer depends on the state and the proposal, on nothing else. The sandbox has no clock, no
    randomness, no files and no network; the time is ``proposal.host_ms``. Sets of text have another order
    in each build: sort them.

    The attributes of the instance are its state, and a snapshot is their JSON. So they hold what JSON has:
    ``dict`` with text as keys, ``list``, ``str``, ``int``, ``float``, ``bool``, ``None``. For anything else
    override :meth:`to_state` and :meth:`from_state`.
    """

    #: Its name in the store: 1 to 64 lower-case letters, digits and ``-``.
    name: ClassVar[str]
    #: Its semantic version.
    version: ClassVar[str]
    #: The kinds of event it knows, for people and tools: each a name, or a name and a JSON schema.
    kinds: ClassVar[Sequence[str | tuple[str, dict[str, Any]]]] = ()
    #: False makes the store fold the log instead of keeping snapshots of the state.
    snapshots: ClassVar[bool] = True

    @classmethod
    def configure(cls, value: Any) -> Any:
        """Checks what a binding configures: what its JSON says, or ``None`` for none.

        What comes back is given to ``__init__``. A ``ValueError`` declines the configuration.
        """
        if value is not None:
            raise ValueError("there is nothing to configure")

    def __init__(self, scope: str, config: Any) -> None:
        """The state of a scope without events. A ``ValueError`` declines the scope."""

    def apply(self, event: Event) -> None:
        """Folds an accepted event into the state.

        It cannot say no: the event has been accepted, perhaps by an earlier version of these rules, so
        ignore what you do not understand (``event.try_json()``).
        """
        raise NotImplementedError

    @classmethod
    def upcast(cls, event: Event) -> NewEvent | None:
        """What an older event is today; ``None`` if it is as it was. Number and times stay.

        The store asks only if the module says ``Upcasting = export_upcasting(..)``. It then asks before each
        :meth:`apply`, which so sees the newer forms only, and for readers. ``history`` shows events as they
        are stored.
        """
        return None

    def validate(self, proposal: Proposal) -> Verdict:
        """Judges a proposal against everything before it, earlier members of its batch included.

        Must not change the state.
        """
        raise NotImplementedError

    def query(self, name: str, args: Payload) -> Any:
        """Answers a question about the state. A ``ValueError`` is the answer's text.

        Must not change the state.
        """
        raise ValueError(f'{self.name} has no query "{name}"')

    def unknown_kind(self, proposal: Proposal) -> Rejection:
        """A rejection with the code ``unknown-kind``."""
        return reject("unknown-kind", f'these rules know no event of kind "{proposal.kind}"')

    def to_state(self) -> Any:
        """The state as JSON has it."""
        return vars(self)

    @classmethod
    def from_state(cls, state: Any) -> Self:
        """An instance with this state, which :meth:`to_state` gave. It may keep ``state``."""
        rules = cls.__new__(cls)
        vars(rules).update(state)
        return rules
