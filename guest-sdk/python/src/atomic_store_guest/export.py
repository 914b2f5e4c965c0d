"""Makes a component of rules: the exported functions, and the place where the one instance lives."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from . import log
from .instance import Declined, Instance, Refused, declined
from .payload import Event, NewEvent
from .validator import Validator
from .verdict import Acceptance

try:
    from componentize_py_types import Err  # type: ignore[import-not-found]
except ImportError:

    class Err(Exception):  # type: ignore[no-redef]
        """What the contract passes on as an error, in a test that runs without the sandbox."""

        def __init__(self, value: Any) -> None:
            super().__init__(value)
            self.value = value


_T = TypeVar("_T")


@dataclass
class _Kind:
    name: str
    schema: str | None


@dataclass
class _Description:
    name: str
    version: str
    kinds: list[_Kind]


class Exported:
    """What :func:`export` makes; the component's functions. Not for rules to call.

    The sandbox may make an object of it for each call, so the one instance is the class's.
    """

    of: ClassVar[type[Validator]]
    instance: ClassVar[Instance | None] = None

    def describe(self) -> _Description:
        of = self.of
        return _Description(of.name, of.version, [_kind(kind) for kind in of.kinds])

    def init(self, scope: str, config: bytes | None) -> None:
        type(self).instance = _guarded(lambda: Instance.init(self.of, scope, config))

    def restore(self, scope: str, config: bytes | None, snapshot: bytes) -> None:
        type(self).instance = _guarded(lambda: Instance.restore(self.of, scope, config, snapshot))

    def apply(self, events: Sequence[Any]) -> None:
        _guarded(lambda: self._started.apply(events))

    def validate(self, proposals: Sequence[Any]) -> list[Acceptance]:
        return _guarded(lambda: self._started.validate(proposals))

    def snapshot(self) -> bytes | None:
        return _guarded(lambda: self._started.snapshot())

    def query(self, name: str, args: bytes) -> bytes:
        return _guarded(lambda: self._started.query(name, args))

    @property
    def _started(self) -> Instance:
        if self.instance is None:
            raise RuntimeError("the store calls init or restore before anything else")
        return self.instance


def export(of: type[Validator]) -> type[Exported]:
    """The component's rules. The module that is built keeps them under the name ``Rules``."""
    return type("Rules", (Exported,), {"of": of})


class _Upcasts:
    """What :func:`export_upcasting` makes. Not for rules to call."""

    of: ClassVar[type[Validator]]

    def upcast(self, events: Sequence[Any]) -> list[NewEvent | None]:
        return _guarded(lambda: [self.of.upcast(Event(event, event.seq)) for event in events])


def export_upcasting(of: type[Validator]) -> type[_Upcasts]:
    """What makes the store ask :meth:`Validator.upcast`. The module keeps it under the name ``Upcasting``."""
    return type("Upcasting", (_Upcasts,), {"of": of})


def _kind(kind: str | tuple[str, dict[str, Any]]) -> _Kind:
    if isinstance(kind, str):
        return _Kind(kind, None)
    name, schema = kind
    return _Kind(name, json.dumps(schema, ensure_ascii=False, separators=(",", ":")))


def _guarded(call: Callable[[], _T]) -> _T:
    """Turns what the rules raised into what the contract has a place for; all else becomes a trap."""
    try:
        return call()
    except Refused as refused:
        raise Err(refused.refusal) from None
    except Declined as error:
        raise Err(declined(error)) from None
    except Exception as error:
        # The trap that follows carries no text.
        log.error(repr(error))
        log.error(_calls(error))
        raise


def _calls(error: BaseException) -> str:
    """Where it was raised, innermost call first. Module traceback would look for the source files."""
    calls, step = [], error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        calls.append(f"{code.co_filename}:{step.tb_lineno} in {code.co_name}")
        step = step.tb_next
    return ", called from ".join(reversed(calls))
