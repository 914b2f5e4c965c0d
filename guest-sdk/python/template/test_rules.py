import unittest

from atomic_store_guest.testing import Harness
from rules import Seats


class SeatsTest(unittest.TestCase):
    def test_a_seat_is_taken_once(self) -> None:
        flight = Harness(Seats)
        flight.propose("reserve", {"seat": "4A"}).accepted()
        reason = flight.propose("reserve", {"seat": "4A"}).rejected("taken")
        self.assertEqual(reason.seqs, [1])
        flight.propose("reserve", {"seat": "4B"}).accepted()
        self.assertEqual(flight.query("taken"), {"taken": 2})

    def test_what_is_no_reservation_is_refused(self) -> None:
        flight = Harness(Seats)
        for payload in ["", "null", "{", {"seat": 4}, {"seat": "4a"}]:
            flight.propose("reserve", payload).rejected("malformed")
        flight.propose("cancel", {}).rejected("unknown-kind")
