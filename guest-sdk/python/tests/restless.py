"""Rules as nobody should write them: they read the clock and draw random numbers. Built for tests of the store."""

from __future__ import annotations

import os
import time
from typing import Any

from atomic_store_guest import Event, Payload, Proposal, Validator, Verdict, accept, export, reject


class Restless(Validator):
    name = "restless"
    version = "1.0.0"

    def __init__(self, scope: str, config: Any) -> None:
        self.seen: list[str] = []

    def apply(self, event: Event) -> None:
        self.seen = [*self.seen[-3:], look()]

    def validate(self, proposal: Proposal) -> Verdict:
        lucky = int(look().split()[1], 16) % 4 != 0
        return accept().because(look()) if lucky else reject("unlucky", look())

    def query(self, name: str, args: Payload) -> Any:
        return look()


def look() -> str:
    return f"{time.time_ns() // 1_000_000} {os.urandom(8).hex()}"


Rules = export(Restless)
