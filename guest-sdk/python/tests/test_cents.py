"""Older events, tested natively."""

import tempfile
import unittest
from pathlib import Path

from atomic_store_guest import Event
from atomic_store_guest.build import _names
from atomic_store_guest.testing import Harness, proposal

from cents import Cents, Upcasting


class UpcastingTest(unittest.TestCase):
    def test_older_events_are_folded_as_what_they_are_today_within_a_batch_too(self) -> None:
        cents = Harness(Cents)
        cents.given(proposal("euros", 3), proposal("cents", 7))
        self.assertEqual(cents.query("sum"), 307)
        cents.propose_all(proposal("euros", 2), proposal("euros", 2)).rejected_at(1, "full")
        cents.propose("euros", 2).accepted()
        self.assertEqual(cents.query("sum"), 507)
        self.assertEqual([event.kind for event in cents.events], ["euros", "cents", "euros"])

    def test_the_store_is_told_what_is_newer_and_none_for_what_is_as_it_was(self) -> None:
        raw = [Event(proposal("euros", 3), 1), Event(proposal("cents", 7), 2)]
        newer, same = Upcasting().upcast(raw)
        assert newer is not None
        self.assertEqual((newer.kind, newer.payload), ("cents", b"300"))
        self.assertIsNone(same)

    def test_a_build_sees_what_the_module_exports(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            module = Path(folder) / "rules.py"
            for text, found in [
                ("Upcasting = 1", True),
                ("Rules, Upcasting = 1, 2", True),
                ("Rules = 1  # Upcasting = 2", False),
                ("def f():\n    Upcasting = 1", False),
            ]:
                module.write_text(text)
                self.assertIs(_names(module, "Upcasting"), found, text)


if __name__ == "__main__":
    unittest.main()
