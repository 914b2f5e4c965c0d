// The rules, tested natively. The table in examples/auction-cases.txt tests the component.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Harness, proposal } from "atomic-store-guest/testing";
import { rules } from "./auction.ts";
import { cents, money } from "./fields.ts";

test("a bid must beat the highest", () => {
  const auction = new Harness(rules);
  auction.propose("bid", { bidder: "jake", amount: 95, opening: 95 }).accepted();
  auction.propose("bid", { bidder: "dave", amount: "115", opening: "95" }).accepted();
  const reason = auction.propose("bid", { bidder: "glad", amount: 100 }).rejected("too-low");
  assert.equal(reason.message, "the highest bid is 115.00; bid at least 115.01");
  assert.deepEqual(reason.seqs, [2]);
  auction.propose("bid", { bidder: "glad", amount: "115.01" }).accepted();
  assert.deepEqual(auction.query("highest"), { amount: "115.01", bidder: "glad", seq: 3 });
});

test("a batch sees its earlier members, and all or nothing is stored", () => {
  const auction = new Harness(rules);
  const bid = (amount: number) => proposal("bid", { bidder: "ann", amount });
  auction.proposeAll(bid(1), bid(2), bid(2)).rejectedAt(2, "too-low");
  assert.equal(auction.events.length, 0);
  auction.proposeAll(bid(1), bid(2), proposal("close")).accepted();
  auction.propose("bid", { bidder: "ann", amount: 3 }).rejected("closed");
});

test("a command bids what is enough, up to the most", () => {
  const auction = new Harness(rules, { config: { increment: "0.50" } });
  auction.given(proposal("bid", { bidder: "ann", amount: 10 }));
  auction.propose("outbid", { bidder: "bob", most: 10.49 }).rejected("too-low");
  auction.propose("outbid", { bidder: "bob", most: 20 }).accepted();
  assert.deepEqual(auction.events.at(-1)?.json(), { bidder: "bob", amount: "10.50" });
});

test("a wrong configuration is declined", () => {
  for (const config of [{ step: 1 }, { increment: 0.005 }, [], ""]) {
    assert.throws(() => new Harness(rules, { config }), /^Error: the configuration of auction is wrong/);
  }
});

test("amounts are exact in every notation", () => {
  for (let amount = 0; amount < 200_000; amount += 1) {
    assert.equal(cents(money(amount)), amount);
    assert.equal(cents(Number(money(amount))), amount);
  }
  for (const wrong of [-1, 0.001, 1e10, "1e3", "+1", ".5", "5.", "", null, true, NaN]) {
    assert.throws(() => cents(wrong), `${wrong}`);
  }
});
