"""The rules, tested natively. The table in examples/auction-cases.txt tests the component."""

import unittest

from atomic_store_guest.testing import Harness, proposal
from auction import Auction
from fields import WrongField, cents, money


class AuctionTest(unittest.TestCase):
    def test_a_bid_must_beat_the_highest(self) -> None:
        auction = Harness(Auction)
        auction.propose("bid", {"bidder": "jake", "amount": 95, "opening": 95}).accepted()
        auction.propose("bid", {"bidder": "dave", "amount": "115", "opening": "95"}).accepted()
        reason = auction.propose("bid", {"bidder": "glad", "amount": 100}).rejected("too-low")
        self.assertEqual(reason.message, "the highest bid is 115.00; bid at least 115.01")
        self.assertEqual(reason.seqs, [2])
        auction.propose("bid", {"bidder": "glad", "amount": "115.01"}).accepted()
        highest = {"amount": "115.01", "bidder": "glad", "seq": 3}
        self.assertEqual(auction.query("highest"), highest)

    def test_a_batch_sees_its_earlier_members_and_all_or_nothing_is_stored(self) -> None:
        def bid(amount: int) -> object:
            return proposal("bid", {"bidder": "ann", "amount": amount})

        auction = Harness(Auction)
        auction.propose_all(bid(1), bid(2), bid(2)).rejected_at(2, "too-low")
        self.assertEqual(auction.events, [])
        auction.propose_all(bid(1), bid(2), proposal("close")).accepted()
        auction.propose("bid", {"bidder": "ann", "amount": 3}).rejected("closed")

    def test_a_command_bids_what_is_enough_up_to_the_most(self) -> None:
        auction = Harness(Auction, config={"increment": "0.50"})
        auction.given(proposal("bid", {"bidder": "ann", "amount": 10}))
        auction.propose("outbid", {"bidder": "bob", "most": 10.49}).rejected("too-low")
        auction.propose("outbid", {"bidder": "bob", "most": 20}).accepted()
        self.assertEqual(auction.events[-1].json(), {"bidder": "bob", "amount": "10.50"})

    def test_a_wrong_configuration_is_declined(self) -> None:
        for config in [{"step": 1}, {"increment": 0.005}, [], ""]:
            with self.assertRaisesRegex(ValueError, "^the configuration of auction is wrong"):
                Harness(Auction, config=config)

    def test_amounts_are_exact_in_every_notation(self) -> None:
        for amount in range(200_000):
            self.assertEqual(cents(money(amount)), amount)
            self.assertEqual(cents(float(money(amount))), amount)
        infinite = float("inf"), float("nan")
        for wrong in [-1, 0.001, 10**10, 1e10, "1e3", "+1", ".5", "5.", "", None, True, *infinite]:
            with self.assertRaises(WrongField):
                cents(wrong)
